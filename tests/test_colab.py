"""The notebooks' first cell where TensorFlow is installed and ganlib is not, as in Colab."""

import json
import shutil
import subprocess
import sys
import sysconfig
import warnings
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.browser

PROJECT = Path(__file__).parent.parent
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
NO_INDEX = "no package index: what the first cell installs was not tried; pip cannot reach PyPI"
THERE = (
    "import keras, numpy, tensorflow\n"
    "print([(each.__version__, each.__file__) for each in (keras, numpy, tensorflow)])"
)


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A Python that sees the packages of this one without ganlib, and a kernel "bare" of it."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    # Of a folder named there the .pth files are not read, so an editable ganlib is not on the path.
    own_packages(python).joinpath("others.pth").write_text(sysconfig.get_path("purelib"))
    kernel = {"argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
    place = tmp_path / "jupyter" / "kernels" / "bare"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps({**kernel, "display_name": "", "language": ""}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.delenv("PYTHONPATH")  # it names this checkout
    return python


def own_packages(python):
    return Path(sysconfig.get_path("purelib", "venv", {"base": python.parent.parent}))


def said_by(python, code):
    asked = [python, "-c", code]
    return subprocess.check_output(asked, text=True, cwd=python.parent, stderr=subprocess.DEVNULL)


def first_cell():
    cells = [code_cells(path)[0] for path in NOTEBOOKS]
    assert len(set(cells)) == 1
    return cells[0]


def code_cells(path):
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def run(sources, folder, **options):
    """Execute cells one after the other in `folder`; returns their outputs."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    place = {"metadata": {"path": folder}}
    NotebookClient(notebook, kernel_name="bare", resources=place, timeout=300, **options).execute()
    return [cell.outputs for cell in notebook.cells]


def test_it_installs_ganlib_and_leaves_the_tensorflow_that_is_there(bare, tmp_path):
    asked = [bare, "-m", "pip", "download", "-q", "--no-deps", "--retries", "0", "setuptools>=77"]
    if subprocess.run([*asked, "-d", tmp_path / "wheels"], capture_output=True).returncode:
        warnings.warn(pytest.PytestWarning(NO_INDEX), stacklevel=1)
        pytest.skip(NO_INDEX)
    clone = tmp_path / "clone"
    for name in ("ganlib", "notebooks"):
        shutil.copytree(PROJECT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, clone)
    installed, there = distributions(bare), said_by(bare, THERE)
    assert "ganlib" not in installed
    assert said_by(bare, "import importlib.util as i; print(i.find_spec('ganlib'))") == "None\n"

    for _ in NOTEBOOKS:  # the first installs, the others find it
        cells = [first_cell(), "import ganlib; print(ganlib.__file__)"]
        *_, (found,) = run(cells, clone / "notebooks")
        assert Path(found.text.strip()).parent == own_packages(bare) / "ganlib"
    assert distributions(bare) == installed | {"ganlib"}
    assert said_by(bare, THERE) == there

    cells = code_cells(clone / "notebooks" / "02_ganomaly.ipynb")
    end = next(i for i, source in enumerate(cells) if source.startswith("settings = "))
    begin = [*cells[:2], "profile = 'smoke'", *cells[2 : end + 1]]
    *_, device, (settings,) = run(begin, clone / "notebooks")
    assert "with tensorflow" in device[-1].text
    assert settings.data["text/plain"].startswith("Settings(image_size=32")


def distributions(python):
    return {each.name for each in metadata.distributions(path=[str(own_packages(python))])}


def test_without_the_project_around_it_says_what_to_do(bare, tmp_path):
    alone = tmp_path / "alone" / "notebooks"
    alone.mkdir(parents=True)
    (outputs,) = run([first_cell()], alone, allow_errors=True)
    (error,) = [output for output in outputs if output.output_type == "error"]
    assert error.ename == "SystemExit"
    assert error.evalue.startswith("Clone the whole project")
    assert not [line for line in error.traceback if "find_spec" in line]  # the message alone
