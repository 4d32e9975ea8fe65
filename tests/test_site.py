"""The site that `make docs` builds, if it is there, and how its pages are gathered."""

import functools
import http.server
import importlib.util
import json
import os
import shutil
import threading
import warnings
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from browser import console_errors

PROJECT = Path(__file__).parent.parent
SITE = PROJECT / "site"
NO_SITE = "no site: its pages were not looked at; make docs builds it"


@pytest.fixture(scope="module")
def pages():
    if not (SITE / "index.html").exists():
        warnings.warn(pytest.PytestWarning(NO_SITE), stacklevel=1)
        pytest.skip(NO_SITE)
    return sorted(set(SITE.rglob("*.html")) - {SITE / "404.html"})  # which a server shows anywhere


class Page(HTMLParser):
    """The places that can be linked to, and the addresses of links and of what is shown."""

    def __init__(self, path):
        super().__init__()
        self.path, self.ids, self.links, self.shown = path, {""}, [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids |= {attributes.get("id"), attributes.get("name")}
        links = self.links if tag == "a" else self.shown
        links += filter(None, [attributes.get("href"), attributes.get("src")])


def test_all_that_is_linked_and_shown_is_there_and_nothing_is_fetched(pages):
    read = {path: Page(path) for path in pages}
    missing, fetched = [], []

    def ids_of(target):
        return read[target].ids if target in read else {""}

    for page in read.values():
        for address in page.links + page.shown:
            parts = urlsplit(address)
            target = page.path.parent.joinpath(unquote(parts.path)).resolve()
            target = page.path if not parts.path else target
            if parts.scheme or parts.netloc:
                fetched += [address] * (address in page.shown and parts.scheme != "data")
            elif not target.is_file() or unquote(parts.fragment) not in ids_of(target):
                missing.append((str(page.path.relative_to(SITE)), address))
    assert missing == []
    assert fetched == []
    assert len(read) > 30  # a page for each module at least


@pytest.fixture
def address():
    """Where a server shows the site: the search does not work from the disk."""
    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.browser
def test_every_page_opens_in_a_browser_with_all_its_images(pages, browser, address):
    for path in pages:
        browser.get(f"{address}{path.relative_to(SITE).as_posix()}")
        said = console_errors(browser)
        broken = browser.execute_script(
            "return [...document.images].filter(i => !i.naturalWidth).map(i => i.src.slice(0, 200))"
        )
        gone = [
            link
            for link in browser.execute_script("return [...document.links].map(a => a.href)")
            if link.startswith(address)
            and not (SITE / file_of(link.removeprefix(address))).is_file()
        ]
        assert (said, broken, gone) == ([], [], []), path
        source = PROJECT / "build" / "docs" / path.relative_to(SITE).with_suffix(".ipynb")
        if source.exists():
            cells = nbformat.read(source, 4).cells
            drawn = [o for cell in cells for o in cell.get("outputs", []) if "image/png" in str(o)]
            formulas = sum(cell.source.count("<math") for cell in cells)
            count = "return document.querySelectorAll(arguments[0]).length"
            assert browser.execute_script(count, ".jp-OutputArea img") == len(drawn) > 0
            assert browser.execute_script(count, "math") == formulas


def file_of(address):
    return SITE / unquote(urlsplit(address).path)


@pytest.fixture
def gather(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("site_hook", PROJECT / "docs" / "site.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    monkeypatch.setattr(hook, "PROJECT", tmp_path)
    monkeypatch.setattr(hook, "SITE", tmp_path / "build" / "docs")
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return lambda: hook.on_config(SimpleNamespace()).nav


FILES = {
    "README.md": "[a](docs/a.md#b) [n](notebooks/02_x.ipynb) [m](ganlib/b.py) [f](figures/quick/)",
    "docs/a.md": "[back](../README.md), `[no](link.md)` [licence](../LICENSE)",
    "docs/unlinked.md": "# b",
    "LICENSE": "mine",
    "figures/quick/one.png": "",
    "ganlib/__init__.py": "",
    "ganlib/b.py": "",
    "build/docs/command-line.md": "`a <path>` of <kind>",
}


def test_without_a_run_the_site_says_so_and_has_every_page(gather, tmp_path):
    nav = {title: pages for entry in gather() for title, pages in entry.items()}
    assert nav["Guide"] == ["docs/a.md", "docs/unlinked.md"]
    assert nav["Python"] == [
        {"ganlib": [{"ganlib": "api/ganlib.md"}, {"ganlib.b": "api/ganlib.b.md"}]}
    ]
    assert nav["More"] == ["figures/quick/README.md"]
    site = tmp_path / "build" / "docs"
    assert "No notebook has been run" in (site / "notebooks" / "README.md").read_text()
    links = "[a](docs/a.md#b) [n](notebooks/README.md) [m](api/ganlib.b.md) "
    assert (site / "README.md").read_text() == f"{links}[f](figures/quick/README.md)"
    assert (site / "docs" / "a.md").read_text() == FILES["docs/a.md"]
    assert "![one.png](one.png)" in (site / "figures" / "quick" / "README.md").read_text()
    assert (site / "LICENSE").exists() and (site / "figures" / "quick" / "one.png").exists()
    assert (site / "command-line.md").read_text() == "`a <path>` of &lt;kind>"


def test_notebooks_are_those_of_the_last_run_and_their_links_lead_to_pages(gather, tmp_path):
    for place in ("smoke/c/paper/seed-0", "smoke/c/grouped/seed-0", "old/c/paper/seed-0"):
        folder = tmp_path / "runs" / place
        folder.mkdir(parents=True)
        cell = nbformat.v4.new_markdown_cell("[code](../ganlib/b.py) [home](../README.md)")
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "02_x.ipynb")
        (folder / "02_x.done.json").write_text(json.dumps({}))
        shutil.copy(folder / "02_x.ipynb", folder / "03_failed.ipynb")
    os.utime(tmp_path / "runs/old/c/paper/seed-0/02_x.done.json", (1, 1))
    nav = {title: pages for entry in gather() for title, pages in entry.items()}
    first, second = "notebooks/02_x.ipynb", "notebooks/c/paper/seed-0/02_x.ipynb"
    folders = [{"c, grouped, seed-0": [{"02_x": first}]}, {"c, paper, seed-0": [{"02_x": second}]}]
    assert nav["Notebooks"] == ["notebooks/README.md", *folders]
    site = tmp_path / "build" / "docs"
    assert "[n](notebooks/02_x.ipynb)" in (site / "README.md").read_text()
    (cell,) = nbformat.read(site / first, 4).cells
    assert cell.source == "[code](../api/ganlib.b.html) [home](../index.html)"
    (cell,) = nbformat.read(site / second, 4).cells
    assert cell.source == "[code](../../../../api/ganlib.b.html) [home](../../../../index.html)"
