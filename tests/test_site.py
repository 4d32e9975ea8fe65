"""The site that `make docs` builds, if it is there, and how its pages are gathered."""

import importlib.util
import os
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
BROKEN = "return [...document.images].filter(i => !i.naturalWidth).map(i => i.src.slice(0, 200))"
LINKS = "return [...document.links].map(link => link.href)"
COUNT = "return document.querySelectorAll(arguments[0]).length"


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
        self.ids, self.links, self.shown = {""}, [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids |= {attributes.get("id"), attributes.get("name")}
        links = self.links if tag == "a" else self.shown
        links += filter(None, [attributes.get("href"), attributes.get("src")])


def test_all_that_is_linked_and_shown_is_there_and_nothing_is_fetched(pages):
    read = {path: Page(path) for path in pages}
    ids = {path: page.ids for path, page in read.items()}
    missing = []
    for path, page in read.items():
        for address in page.links + page.shown:
            parts = urlsplit(address)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if parts.scheme or parts.netloc:
                is_there = parts.scheme == "data" or address not in page.shown
            else:
                is_there = target.is_file() and unquote(parts.fragment) in ids.get(target, {""})
            missing += [] if is_there else [(path.name, address)]
    assert missing == []
    assert len(pages) > 30  # a page for each module at least


@pytest.mark.browser
def test_every_page_opens_in_a_browser_with_all_its_images(pages, browser):
    for path in pages:
        browser.get(path.as_uri())
        links = [urlsplit(link) for link in browser.execute_script(LINKS)]
        files = [Path(unquote(link.path)) for link in links if link.scheme == "file"]
        gone = [file for file in files if not file.is_file()]
        found = console_errors(browser), browser.execute_script(BROKEN), gone
        assert found == ([], [], []), path
        source = PROJECT / "build" / "docs" / path.relative_to(SITE).with_suffix(".ipynb")
        if source.exists():
            cells = nbformat.read(source, 4).cells
            drawn = [o for cell in cells for o in cell.get("outputs", []) if "image/png" in str(o)]
            assert browser.execute_script(COUNT, ".jp-OutputArea img") == len(drawn) > 0
            formulas = sum(cell.source.count("<math") for cell in cells)
            assert browser.execute_script(COUNT, "math") == formulas


FILES = {
    "README.md": "[a](docs/a.md#b) [n](notebooks/02_x.ipynb) [m](ganlib/b.py) [f](figures/quick/)",
    "docs/a.md": "[back](../README.md), `[no](link.md)` [ci](../.ci/run)",
    "docs/unlinked.md": "# b",
    ".ci/run": "",
    "figures/quick/one.png": "",
    "ganlib/b.py": "",
    "build/docs/command-line.md": "`a <path>` of <kind>",
}
RUNS = ["smoke/c/grouped/seed-0", "smoke/c/paper/seed-0", "old/c/paper/seed-0"]
EXECUTED = ["notebooks/02_x.ipynb", "notebooks/c/paper/seed-0/02_x.ipynb"]


@pytest.mark.parametrize("has_run", [False, True])
def test_pages_are_gathered_with_what_they_link_to(has_run, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("site_hook", PROJECT / "docs" / "site.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    site = tmp_path / "build" / "docs"
    monkeypatch.setattr(hook, "PROJECT", tmp_path)
    monkeypatch.setattr(hook, "SITE", site)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    cell = nbformat.v4.new_markdown_cell("[code](../ganlib/b.py) [home](../README.md)")
    for time, folder in enumerate([tmp_path / "runs" / place for place in RUNS] * has_run):
        folder.mkdir(parents=True)
        for name in ("02_x", "03_failed"):
            nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / f"{name}.ipynb")
        (folder / "02_x.done.json").touch()
        os.utime(folder / "02_x.done.json", (time % 2, time % 2))  # the last but one is the last
    nav = hook.on_config(SimpleNamespace()).nav
    pages = {name: each for entry in nav for name, each in entry.items()}

    assert pages["Guide"] == ["docs/a.md", "docs/unlinked.md"]
    assert pages["Python"] == [{"ganlib": [{"ganlib.b": "api/ganlib.b.md"}]}]
    assert pages["More"] == ["figures/quick/README.md"]
    notebook = EXECUTED[0] if has_run else "notebooks/README.md"
    links = f"[a](docs/a.md#b) [n]({notebook}) [m](api/ganlib.b.md) [f](figures/quick/README.md)"
    assert (site / "README.md").read_text() == links
    assert (site / "docs" / "a.md").read_text() == FILES["docs/a.md"].replace(".ci", "ci")
    assert (site / "ci" / "run").exists() and (site / "figures" / "quick" / "one.png").exists()
    assert (site / "command-line.md").read_text() == "`a <path>` of &lt;kind>"
    says_so = "No notebook has been run" in (site / "notebooks" / "README.md").read_text()
    assert says_so is not has_run
    found = sorted(str(path.relative_to(site)) for path in site.rglob("*.ipynb"))
    assert found == EXECUTED * has_run
    for name in EXECUTED * has_run:
        up = "../" * name.count("/")
        (cell,) = nbformat.read(site / name, 4).cells
        assert cell.source == f"[code]({up}api/ganlib.b.html) [home]({up}index.html)"
