"""What make figures repeats, and what it leaves alone, in a small project of its own."""

import json
import os
import shutil
import subprocess
from unittest import mock

import nbformat
import pytest
from filelock import FileLock
from refusals import refused

from ganlib import data, pipeline
from ganlib.errors import GanlibError

NAMES = "profile dataset source on_error resize protocol seed datasets protocols seeds runs_dir"
PARAMETERS = "\n".join(f"{name} = ''" for name in [*NAMES.split(), "figures_dir"])
# Each notebook draws a file; one of them looks at METHODS.
BODY = """
from pathlib import Path
import ganlib.{module}
folder = Path(figures_dir) / profile
folder.mkdir(parents=True, exist_ok=True)
(folder / f"{name}_{{dataset}}_{{seed}}.txt").write_text("drawn")
"""
MODULES = {name: f"code_{name[:3].strip('_')}" for name in pipeline.NOTEBOOKS}
ALL = list(pipeline.NOTEBOOKS)


def begin(folder):
    """Write a project with the real notebooks' names and a library of its own."""
    library = folder / "ganlib"
    for place in (library, folder / "notebooks", folder / "images"):
        place.mkdir()
    (library / "__init__.py").touch()
    (library / "shared.py").touch()
    for name, module in MODULES.items():
        imports = "" if name.startswith("03") else "from ganlib import shared\n"
        (library / f"{module}.py").write_text(imports)
        body = BODY.format(module=module, name=name) + "# METHODS" * name.startswith("02b")
        cells = [nbformat.v4.new_code_cell(text) for text in (PARAMETERS, body)]
        cells[0].metadata["tags"] = ["parameters"]
        kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "x"}}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    (folder / "images" / "a.png").write_bytes(b"1")
    return folder


def enter(folder, monkeypatch):
    monkeypatch.setattr(pipeline, "PROJECT", folder)
    monkeypatch.setattr(data, "locate", lambda name, source, _: folder / "images")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.fixture(scope="session")
def executed_once(tmp_path_factory):
    folder = begin(tmp_path_factory.mktemp("executed"))
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        pipeline.run(steps(), "smoke")
    return folder


@pytest.fixture
def project(executed_once, tmp_path, monkeypatch):
    shutil.copytree(executed_once, tmp_path / "project")  # times too
    return enter(tmp_path / "project", monkeypatch)


def steps(protocols=("paper",), seeds=(0,), **options):
    return pipeline.plan("smoke", ["casting"], list(protocols), list(seeds), **options)


def waiting(**options):
    return [s.notebook.stem for s in steps(**options) if not pipeline.is_done(s)]


def append(path, text="y = 2\n"):
    path.write_text(path.read_text() + text)


def append_cell(path):
    notebook = nbformat.read(path, 4)
    notebook.cells.append(nbformat.v4.new_code_cell("pass"))
    nbformat.write(notebook, path)


GANOMALY = "figures/smoke/02_ganomaly_casting_0.txt"
# What changes, how, and which notebooks are repeated
CHANGES = {
    "nothing": (lambda p: None, []),
    "time stamps of the library": (lambda p: os.utime(p / "ganlib/shared.py"), []),
    "time stamps of the images": (lambda p: os.utime(p / "images/a.png"), []),
    "library file of one notebook": (
        lambda p: append(p / "ganlib/code_02.py"),
        ["02_ganomaly", "03_comparison"],
    ),
    "library file imported by another": (lambda p: append(p / "ganlib/shared.py"), ALL),
    "notebook": (lambda p: append_cell(p / "notebooks/01_dcgan_anogan.ipynb"), [ALL[1], ALL[-1]]),
    "another image": (lambda p: (p / "images/b.png").write_bytes(b"2"), ALL),
    "an image, as long as it was": (lambda p: (p / "images/a.png").write_bytes(b"2"), ALL),
    "a figure is gone": (lambda p: (p / GANOMALY).unlink(), ["02_ganomaly"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_repeats_what_depends_on_it_and_nothing_else(project, change):
    make, expected = CHANGES[change]
    make(project)
    assert waiting() == expected


def test_another_own_model_source_seed_or_backend_repeats_what_depends_on_it(project, monkeypatch):
    mine = project / "mine.py"
    mine.write_text("x = 1\n")
    monkeypatch.setenv("GANLIB_MODELS", str(mine))
    assert waiting() == ["02b_baselines", "03_comparison"]
    monkeypatch.delenv("GANLIB_MODELS")
    assert waiting(source="generated") == ALL
    assert waiting(seeds=[0, 1]) == [*ALL[1:5], "03_comparison"]
    with monkeypatch.context() as patch:
        patch.setenv("GANLIB_PUBLISH", "1")
        assert waiting() == ALL
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert waiting() == ALL


def test_only_what_is_waiting_is_executed_and_noted(project, capsys):
    (project / GANOMALY).unlink()
    pipeline.run(steps(), "smoke")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "6 of 7 notebooks are up to date."
    assert said[1].startswith("[1/1] 02_ganomaly: casting, paper, seed 0 (about ")
    assert said[-1].endswith(" s. Figures: figures/smoke.")
    note = project / "runs/smoke/casting/paper/seed-0/02_ganomaly.done.json"
    assert GANOMALY in json.loads(note.read_text())["made"]
    assert waiting() == []


def test_plan_repeats_training_per_protocol_and_seed_and_draws_the_first_only():
    plan = pipeline.plan("quick", ["casting", "cloud"], ["paper", "grouped"], [3, 4])
    runs = [f"{p}, seed {s}" for p in ("paper", "grouped") for s in (3, 4)]
    trained = [f"{name}: {{0}}, {run}" for run in runs for name in ALL[1:5]]
    each = ["00_download: {0}", *trained, "04_errata: {0}, seed 3"]
    assert [step.label for step in plan] == [
        *(label.format(name) for name in ("casting", "cloud") for label in each),
        "03_comparison: casting and cloud",
    ]
    assert len({step.output for step in plan}) == len(plan)
    drawn = {step.label: step.parameters["figures_dir"] for step in plan}
    first = {label for label, place in drawn.items() if place == drawn[plan[-1].label]}
    assert first == {s.label for s in plan if "grouped" not in s.label and "seed 4" not in s.label}
    assert len(plan[-1].after) == 2 * (2 * 2 * 4 + 1)
    plan = pipeline.plan("quick", ["casting"], ["grouped", "kfold"], [3])
    used = [step.parameters["protocol"] for step in plan[1:-2:4]]
    assert used == ["grouped", *(f"kfold-{fold}" for fold in range(1, 7))]
    assert plan[-1].parameters["protocols"] == "grouped kfold"


def make_parts(folder, kinds=("train/good", "test/good", "test/hole")):
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        (folder / kind / "0.png").touch()
    return str(folder)


def test_folders_are_called_by_their_names_and_those_without_anomalies_get_05(tmp_path):
    parts, good = make_parts(tmp_path / "My parts"), make_parts(tmp_path / "good", ["train/good"])
    options = {"source": "auto", "on_error": "skip", "resize": "crop"}
    plan = pipeline.plan("smoke", [parts, good, "casting"], ["paper"], [4, 5], **options)
    labels = [step.label for step in plan]
    assert "02_ganomaly: my-parts, paper, seed 5" in labels
    assert labels[-1] == "03_comparison: my-parts and casting"
    assert plan[-1].parameters["datasets"] == "my-parts casting"
    (step,) = [step for step in plan if "good" in step.label]
    assert step.output == pipeline.PROJECT / "runs/smoke/good/05_your_images.ipynb"
    given = {name: step.parameters[name] for name in ("folder", "seed", "on_error", "resize")}
    assert given == {"folder": good, "seed": 4, "on_error": "skip", "resize": "crop"}
    with pytest.raises(GanlibError, match="good and good in runs"):
        pipeline.plan("smoke", [good, make_parts(tmp_path / "b/good")], ["paper"], [0])


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_hands_quotes_over_and_the_command_takes_them(tmp_path, monkeypatch):
    make_parts(tmp_path / "my  parts")
    command = ["make", "figures", "RUN=echo", "-o", ".venv/ready", "DATASETS=cloud 'my  parts'"]
    project = pipeline.PROJECT
    said = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
    assert "--datasets cloud 'my  parts' --protocols paper grouped" in said
    plans = []
    monkeypatch.setattr(pipeline, "run", lambda steps, profile: plans.append(steps))
    monkeypatch.setattr(pipeline, "PROJECT", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert pipeline.main(["--profile", "smoke", "--datasets", "cloud 'my  parts'"]) == 0
    found = {step.parameters.get("dataset") for step in plans[0]}
    assert found == {"cloud", str(tmp_path / "my  parts"), None}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('on purpose')", "02_ganomaly.ipynb failed: RuntimeError: on purpose"),
        ("import os\nos.kill(os.getpid(), 9)", "02_ganomaly.ipynb was killed"),
        ("class GanlibError(Exception): pass\nraise GanlibError('choose 32')", "choose 32\n(in "),
    ],
)
def test_a_notebook_that_ends_badly_says_why_and_is_repeated(project, code, message):
    (project / "ganlib/code_02.py").write_text(code)
    with pytest.raises(GanlibError) as error:
        pipeline.run(steps(), "smoke")
    assert str(error.value).startswith(message)
    assert "seed-0/02_ganomaly." in str(error.value)  # where to look
    assert waiting() == ["02_ganomaly", "03_comparison"]


def test_a_kernel_that_did_not_start_is_started_once_more(project, monkeypatch):
    died = RuntimeError("Kernel died before replying to kernel_info")
    execute = mock.Mock(side_effect=[died, None, died, died])
    monkeypatch.setattr(pipeline.papermill, "execute_notebook", execute)
    pipeline.execute(steps()[0])
    refused("was killed", pipeline.execute, steps()[0])
    assert execute.call_count == 4


def test_two_runs_at_once_are_refused_and_leavings_of_the_dead_go(project, monkeypatch, capsys):
    ended = subprocess.Popen(["true"])
    ended.wait()
    for place in ("runs", "figures/smoke", "data/cache"):
        (project / place).mkdir(parents=True, exist_ok=True)
        (project / place / f".{ended.pid}.unfinished-a.npy").touch()
        (project / place / f".{os.getpid()}.unfinished-b.npy").touch()
    asked = ["--profile", "smoke", "--datasets", "casting", "--data", "generated"]
    with FileLock(project / "runs/.lock"):  # as another process holds it
        assert pipeline.main(asked) == 1
    assert "in use" in capsys.readouterr().err
    assert len(list(project.rglob(".*.unfinished-*"))) == 6  # it touched nothing
    monkeypatch.setattr(pipeline, "run", lambda steps, profile: None)
    assert pipeline.main(asked) == 0
    left = {path.name for path in project.rglob(".*.unfinished-*")}
    assert left == {f".{os.getpid()}.unfinished-b.npy"}


@pytest.mark.parametrize(
    ("asked", "answer", "begins"),
    [("paper", "", False), ("paper", "yes", True), ("smoke", None, True)],
)
def test_what_takes_days_on_a_processor_is_begun_on_a_word(
    project, monkeypatch, capsys, asked, answer, begins
):
    ran = mock.Mock()
    monkeypatch.setattr(pipeline, "run", ran)
    monkeypatch.setattr(pipeline.subprocess, "getoutput", lambda command: "")
    monkeypatch.setattr("sys.stdin", mock.Mock(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", mock.Mock(return_value=answer))
    assert pipeline.main(["--profile", asked, "--data", "generated"]) == (not begins)
    assert ran.called == begins
    output = capsys.readouterr()
    assert ("takes about" in output.out) == (asked == "paper")
    assert ("Nothing was started" in output.err) == (not begins)


def test_wrong_arguments_are_one_line_and_status_1(capsys):
    for arguments, word in (
        (["--profile", "fast"], "'fast'"),
        (["--datasets", "clouds"], "clouds does not exist"),
        (["--datasets", ""], "at least one name"),
        (["--datasets", "'a b"], "--datasets"),
        (["--seeds", "one"], "'one'"),
        (["--protocols"], "--protocols"),
        (["--resize", "stretch"], "'stretch'"),
        (["--notebooks", "03"], "00_download"),  # and the others that there are
    ):
        assert pipeline.main(["--profile", "smoke", *arguments]) == 1
        error = capsys.readouterr().err
        assert error.startswith("Error: ") and word in error


def test_named_notebooks_are_executed_alone(monkeypatch, tmp_path):
    plans = []
    monkeypatch.setattr(pipeline, "run", lambda steps, profile: plans.append(steps))
    monkeypatch.setattr(pipeline, "PROJECT", tmp_path)
    asked = ["--profile", "smoke", "--datasets", "casting cloud"]
    for named in (["--notebooks"], ["--notebooks", "03_comparison"], []):
        assert pipeline.main([*asked, *named]) == 0
    every, (comparison,), default = plans
    assert every == default
    assert comparison == every[-1]  # its parameters and what it depends on are the same


def test_real_notebooks_depend_on_the_library_they_use():
    def files(name):
        cells = nbformat.read(pipeline.PROJECT / "notebooks" / f"{name}.ipynb", 4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        paths = pipeline.imported_files(code)
        return {path.relative_to(pipeline.PROJECT / "ganlib").as_posix() for path in paths}

    anogan, ganomaly, comparison = map(files, ["01_dcgan_anogan", "02_ganomaly", "03_comparison"])
    assert {"models/networks.py", "data/images.py", "run.py"} <= anogan & ganomaly
    assert "models/anogan.py" in anogan - ganomaly
    assert "models/ganomaly.py" in ganomaly - anogan
    assert "figures/__init__.py" in anogan & ganomaly & comparison
    assert "pipeline.py" not in anogan | ganomaly | comparison
