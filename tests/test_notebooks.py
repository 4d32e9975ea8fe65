"""The notebooks as files: what they promise before they are run."""

import ast
import os
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import pytest
from noise import noise

from ganlib import pipeline

PROJECT = Path(__file__).parent.parent
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


@each_notebook
def test_notebook_is_clean_short_and_explains_its_parameters(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    cells = code_cells(path)
    assert cells[0].source == code_cells(NOTEBOOKS[0])[0].source  # finds ganlib
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert max(len(cell.source.splitlines()) for cell in cells) <= 20
    source = "\n".join(cell.source for cell in cells)
    assert not re.search(r"^\s*class ", source, re.M)
    assert len(re.findall(r"^\s*def ", source, re.M)) <= 1
    (parameters,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert all("  # " in line for line in parameters.source.splitlines())
    # Unknown parameters are refused before anything is done; `Run` checks them too.
    number = next(i for i, c in enumerate(cells) if "parameters" in c.metadata.get("tags", []))
    body = ast.parse(cells[number + 1].source).body
    first = next(node for node in body if not isinstance(node, ast.Import | ast.ImportFrom))
    assert re.match(r"(run = Run\(|check_parameters\(\))", ast.unparse(first))


def test_there_are_these_and_their_code_is_short():
    known = {*pipeline.NOTEBOOKS, pipeline.YOUR_IMAGES, "07_experiments"}
    assert {path.stem for path in NOTEBOOKS} == known
    lines = [line for path in NOTEBOOKS for c in code_cells(path) for line in c.source.splitlines()]
    assert sum(bool(line.strip()) for line in lines) <= 860


def test_one_opened_first_in_a_fresh_clone_gets_its_images_and_is_quiet(tmp_path, monkeypatch):
    """With castings; .ci/run has looked at clouds, and at the other notebooks, before."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")  # set for tests alone
    clone = shutil.copytree(PROJECT / "notebooks", tmp_path / "notebooks")
    given = {"datasets": "casting", "protocols": "paper", "seeds": "0", "questions": "channels"}
    given |= {"profile": "smoke", "source": "generated", "limit": 24, "steps": 1}
    place = {"cwd": clone, "kernel_name": "python3", "progress_bar": False}
    executed = papermill.execute_notebook(clone / "07_experiments.ipynb", None, given, **place)
    assert len(list(tmp_path.glob("data/generated/*"))) == 1
    place = "runs/smoke/casting/paper/seed-0/experiments"
    assert len(list(tmp_path.glob(f"{place}/ganomaly-*.json"))) == 2
    table = pd.read_csv(tmp_path / "figures/smoke-generated/experiments.csv")
    assert table["verdict"].notna().all() and set(table["source"].dropna()) == {"generated"}
    assert noise(executed) == []


# Of .ci/run, which executes them just before: runs of a person may be old, or of another machine.
EXECUTED = sorted((PROJECT / "runs").glob("**/*.ipynb")) if os.environ.get("CI") else []


@pytest.mark.parametrize("path", EXECUTED, ids=str)
def test_what_make_figures_has_executed_is_quiet(path):
    assert noise(nbformat.read(path, 4)) == []
