"""Gather the pages of the site: a hook of MkDocs, for `make docs`.

Pages, linked files, the notebooks executed by the last run, and a page per module go to build/docs.
Files keep their folders, so links between them do not change.
"""

import os
import re
import shutil
from pathlib import Path

import nbformat

PROJECT = Path(__file__).parent.parent
SITE = PROJECT / "build" / "docs"
CODE = re.compile(r"(```.*?```|`[^`]*`)", re.DOTALL)
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)]*)?\)")  # to a file, not a URL
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$]+)\$", re.DOTALL)
PAGES: list[str] = []  # in link order
NO_RUN = "No notebook has been run yet. Run `make figures`, then `make docs` again."


def on_config(config):
    """Gather the pages and set the navigation."""
    modules = _write_api()
    notebooks = _write_notebooks()
    for page in [PROJECT / "README.md", *sorted(PROJECT.glob("docs/*.md"))]:
        _bring(page)
    command_line = SITE / "command-line.md"
    command_line.write_text(
        _outside_code(command_line.read_text(), lambda s: s.replace("<", "&lt;"))
    )
    guide = [page for page in PAGES if page.startswith("docs/")]
    known = ("README.md", "api/", "docs/", "notebooks/")
    others = [page for page in PAGES if not page.startswith(known)]
    config.nav = [{"Start": "README.md"}, {"Guide": guide}, {"Notebooks": notebooks}]
    config.nav += [{"Command line": "command-line.md"}, {"Python": modules}, {"More": others}]
    return config


def _outside_code(text: str, change) -> str:
    parts = CODE.split(text)
    parts[::2] = map(change, parts[::2])
    return "".join(parts)


def _link(text: str, folder: Path, page: Path) -> str:
    """Rewrite the links of a text written for `folder` so that they work from `page`."""

    def place(match):
        target = _bring(Path(os.path.normpath(PROJECT / folder / match[2])))
        if page.suffix == ".ipynb":  # MkDocs does not rewrite links in notebooks
            target = target.with_name(target.name.replace("README", "index"))
            target = target.with_suffix(re.sub("md|ipynb", "html", target.suffix))
        return f"{match[1]}{os.path.relpath(target, page.parent)}{match[3] or ''})"

    return _outside_code(text, lambda part: LINK.sub(place, part))


def _bring(path: Path) -> Path:
    """Copy the target of a link and everything it links to; return its path on the site."""
    name = path.relative_to(PROJECT)
    if name.suffix == ".py" and name.parts[0] == "ganlib":
        return Path("api", f"{_module(name)}.md")
    if name.suffix == ".ipynb":
        return name if (SITE / name).exists() else Path("notebooks/README.md")
    if path.is_dir():
        if (path / "README.md").exists():
            return _bring(path / "README.md")
        files = [file.name for file in sorted(path.iterdir()) if file.suffix in (".png", ".csv")]
        lines = [f"{'!' * file.endswith('png')}[{file}]({file})" for file in files]
        return _write(name / "README.md", "\n\n".join([f"# {name}", *lines]))
    if path.suffix == ".md":
        return _write(name, path.read_text())
    name = Path(*(part.lstrip(".") for part in name.parts))  # MkDocs skips hidden files
    if path.exists() and not (SITE / name).exists():
        (SITE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, SITE / name)
    return name


def _write(name: Path, text: str) -> Path:
    page = SITE / name
    if not page.exists():
        page.parent.mkdir(parents=True, exist_ok=True)
        page.touch()  # pages may link to each other
        PAGES.append(name.as_posix())
        page.write_text(_link(text, name.parent, name))
    return name


def _module(name: Path) -> str:
    return ".".join(name.with_suffix("").parts).removesuffix(".__init__")


def _write_api() -> list:
    """Write a page per module; return the navigation by package."""
    packages = {}
    for path in sorted(PROJECT.glob("ganlib/**/*.py")):
        name = _module(path.relative_to(PROJECT))
        if path.stem == "__main__":
            continue
        package = _module(path.parent.relative_to(PROJECT))
        page = _write(Path("api", f"{name}.md"), f"::: {name}\n")
        packages.setdefault(package, []).append({name: str(page)})
    return [{package: pages} for package, pages in packages.items()]


def _write_notebooks() -> list:
    """Write the executed notebooks of the last run; return the navigation by run folder.

    The first notebook of each name replaces the one in the project.
    """
    notes = sorted(PROJECT.glob("runs/*/**/*.done.json"), key=lambda path: path.stat().st_mtime)
    if not notes:
        print(NO_RUN)
        return [str(_write(Path("notebooks/README.md"), f"# Notebooks\n\n{NO_RUN}\n"))]
    profile = notes[-1].relative_to(PROJECT / "runs").parts[0]
    run, folders, places = PROJECT / "runs" / profile, {}, {}
    lines = [f"# Notebooks\n\nExecuted by the last run, with the profile `{profile}`.\n"]
    for note in sorted(path for path in notes if path.is_relative_to(run)):
        source = note.with_name(note.name.replace(".done.json", ".ipynb"))
        folder, page = source.parent.relative_to(run), Path("notebooks", source.name)
        if (SITE / page).exists():
            page = Path("notebooks", folder, source.name)
        (SITE / page).parent.mkdir(parents=True, exist_ok=True)
        (SITE / page).touch()  # pages may link to each other
        places[source] = page
        name = ", ".join(folder.parts) or "all"
        folders.setdefault(name, []).append({source.stem: str(page)})
        lines.append(f"- [{source.stem}: {name}]({page.relative_to('notebooks')})")
    for source, page in places.items():
        notebook = nbformat.read(source, 4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _link(_outside_code(cell.source, _formulas), Path("notebooks"), page)
        nbformat.write(notebook, SITE / page)
    (SITE / "notebooks" / "README.md").write_text("\n".join(lines))
    return ["notebooks/README.md", *({name: pages} for name, pages in folders.items())]


def _formulas(text: str) -> str:
    """Convert formulas to MathML, which browsers render themselves."""

    def one(match):
        from latex2mathml.converter import convert  # only in .venv-docs, unlike the imports above

        return convert(match[1] or match[2], display="block" if match[1] else "inline")

    return FORMULA.sub(one, text)
