"""The notebooks as files: what they promise before they are run."""

import ast
import json
import re
from pathlib import Path

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from ganlib import pipeline

PROJECT = Path(__file__).parent.parent
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
IDS = [path.stem for path in NOTEBOOKS]


def code_cells(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def test_there_are_these():
    assert set(IDS) == {*pipeline.NOTEBOOKS, pipeline.YOUR_IMAGES}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_notebook_is_clean_short_and_parameterised(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.kernelspec.language == "python"
    cells = code_cells(path)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert max(len(cell.source.splitlines()) for cell in cells) <= 20
    assert not any(re.search(r"^\s*class ", cell.source, re.M) for cell in cells)
    assert sum(len(re.findall(r"^\s*def ", cell.source, re.M)) for cell in cells) <= 1
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
    # Every parameter is explained where it is set.
    lines = next(c.source for c in cells if "parameters" in c.metadata.get("tags", []))
    assert all("  # " in line for line in lines.splitlines())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_every_notebook_begins_by_finding_ganlib(path):
    assert code_cells(path)[0].source == code_cells(NOTEBOOKS[0])[0].source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_an_unknown_parameter_is_an_error(path, tmp_path):
    """Only the cells up to the check are run: it must come before anything but imports is done."""
    notebook = nbformat.read(path, 4)
    check = next(i for i, c in enumerate(notebook.cells) if "check_parameters()" in c.source)
    given = next(
        i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])
    )
    for cell in notebook.cells[given + 1 : check]:
        if cell.cell_type == "code":
            body = ast.parse(cell.source).body
            assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in body)
    notebook.cells = notebook.cells[: given + 1] + notebook.cells[check : check + 1]
    notebook.cells[-1].source = "from ganlib.notebook import check_parameters\ncheck_parameters()"
    nbformat.write(notebook, tmp_path / "start.ipynb")
    run = {"cwd": path.parent, "progress_bar": False}
    papermill.execute_notebook(
        tmp_path / "start.ipynb", tmp_path / "good.ipynb", {"profile": "smoke"}, **run
    )
    with pytest.raises(PapermillExecutionError) as error:
        papermill.execute_notebook(
            tmp_path / "start.ipynb", tmp_path / "bad.ipynb", {"epocs": 3}, **run
        )
    assert error.value.ename == "GanlibError"
    assert "no parameter 'epocs'. It has: " in error.value.evalue
    shown = json.dumps(error.value.traceback)
    assert "check_parameters" not in shown  # the message alone, no traceback


def test_every_figure_is_shown_and_not_the_first_alone(tmp_path):
    draw = (
        "import numpy as np\nfrom ganlib import figures\n"
        "figures.image_grid(np.zeros((1, 8, 8, 1), 'uint8'), ['a'], title='t', caption='c');"
    )
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "x"}}
    cells = [nbformat.v4.new_code_cell(draw) for _ in range(2)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "two.ipynb")
    executed = papermill.execute_notebook(tmp_path / "two.ipynb", None, progress_bar=False)
    shown = [["image/png" in output.data for output in cell.outputs] for cell in executed.cells]
    assert shown == [[True], [True]]
