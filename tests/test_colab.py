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
NO_INDEX = "no package index: what the first cell installs was not tried; pip cannot reach PyPI"
THERE = (
    "import keras, numpy, tensorflow\n"
    "print([(each.__version__, each.__file__) for each in (keras, numpy, tensorflow)])"
)
FIRST_CELL = next(
    cell.source
    for cell in nbformat.read(PROJECT / "notebooks" / "00_download.ipynb", 4).cells
    if cell.cell_type == "code"
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


def distributions(python):
    return {each.name for each in metadata.distributions(path=[str(own_packages(python))])}


def said_by(python, code):
    command = [python, "-c", code]
    return subprocess.check_output(command, text=True, cwd=python.parent, stderr=subprocess.DEVNULL)


def run(sources, folder, **options):
    """Execute cells one after the other in `folder`; returns their outputs."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    place = {"metadata": {"path": folder}}
    NotebookClient(notebook, kernel_name="bare", resources=place, timeout=300, **options).execute()
    return [cell.outputs for cell in notebook.cells]


def test_it_installs_ganlib_and_leaves_the_tensorflow_that_is_there(bare, tmp_path):
    command = [bare, "-m", "pip", "download", "-q", "--no-deps", "--retries", "0", "setuptools>=77"]
    if subprocess.run([*command, "-d", tmp_path / "wheels"], capture_output=True).returncode:
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

    for _ in range(2):  # the first installs, the second finds it
        cells = [FIRST_CELL, "import ganlib.run; print(ganlib.__file__)"]
        *_, outputs = run(cells, clone / "notebooks")
        assert Path(outputs[-1].text.strip()).parent == own_packages(bare) / "ganlib"
    assert distributions(bare) == installed | {"ganlib"}
    assert said_by(bare, THERE) == there


def test_without_the_project_around_it_says_what_to_do(bare, tmp_path):
    (outputs,) = run([FIRST_CELL], tmp_path, allow_errors=True)
    (error,) = [output for output in outputs if output.output_type == "error"]
    assert "install.py" in error.evalue
    assert "clone it" in FIRST_CELL
