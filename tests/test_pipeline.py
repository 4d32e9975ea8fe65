"""What make figures repeats, and what it leaves alone."""

import json
import os
import shutil
import subprocess

import nbformat
import pytest

from ganlib import data, pipeline
from ganlib.errors import GanlibError
from ganlib.files import only_one

PARAMETERS = "\n".join(
    [
        "profile = 'smoke'",
        "dataset = ''",
        "data = ''",
        "on_error = ''",
        "resize = ''",
        "protocol = ''",
        "seed = 0",
        "datasets = ''",
        "protocols = ''",
        "seeds = ''",
        "runs_dir = ''",
        "figures_dir = ''",
    ]
)
# A notebook that draws a file and counts how often it was run.
BODY = """
from pathlib import Path
import ganlib.{module}
folder = Path(figures_dir) / profile
folder.mkdir(parents=True, exist_ok=True)
(folder / f"{name}_{{dataset}}_{{seed}}.txt").write_text("drawn")
with open("runs.txt", "a") as log:
    log.write("{name} " + dataset + protocol + str(seed) + "\\n")
"""
MODULES = {
    "00_download": "data_code",
    "01_dcgan_anogan": "anogan_code",
    "02_ganomaly": "ganomaly_code",
    "02b_baselines": "baselines_code",
    "04_errata": "errata_code",
    "03_comparison": "figure_code",
}


def begin(folder):
    """Write a small project with the same notebooks' names and a library of its own."""
    (folder / "notebooks").mkdir()
    library = folder / "ganlib"
    library.mkdir()
    (library / "__init__.py").write_text("")
    (library / "shared.py").write_text("x = 1\n")
    for name, module in MODULES.items():
        imports = "" if name.startswith("03") else "from ganlib import shared\n"
        (library / f"{module}.py").write_text(imports)
        cells = [
            nbformat.v4.new_markdown_cell("# title"),
            nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(BODY.format(module=module, name=name)),
        ]
        kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "x"}}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    images = folder / "images"
    images.mkdir()
    (images / "a.png").write_bytes(b"1")
    return folder


def enter(folder, monkeypatch):
    monkeypatch.setattr(pipeline, "PROJECT", folder)
    monkeypatch.setattr(data, "locate", lambda name, source, _: folder / "images")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch):
    return enter(begin(tmp_path), monkeypatch)


@pytest.fixture(scope="module")
def executed_once(tmp_path_factory):
    folder = begin(tmp_path_factory.mktemp("executed"))
    with pytest.MonkeyPatch.context() as patch:
        assert executed(enter(folder, patch)) == ALL
    return folder


@pytest.fixture
def done(executed_once, tmp_path, monkeypatch):
    """A project of which everything has been executed."""
    folder = tmp_path / "done"
    shutil.copytree(executed_once, folder)  # times too
    return enter(folder, monkeypatch)


def executed(project, **options):
    log = project / "notebooks" / "runs.txt"
    log.unlink(missing_ok=True)
    asked = {
        "profile": "smoke",
        "datasets": ["casting"],
        "protocols": ["paper"],
        "seeds": [0],
        "source": "auto",
    }
    steps = pipeline.plan(**{**asked, **options})
    pipeline.run(steps, "smoke")
    return log.read_text().splitlines() if log.exists() else []


ALL = [
    "00_download casting0",
    "01_dcgan_anogan castingpaper0",
    "02_ganomaly castingpaper0",
    "02b_baselines castingpaper0",
    "04_errata casting0",
    "03_comparison 0",
]


def test_everything_runs_once_and_then_nothing(done, capsys):
    assert executed(done) == []
    assert "Nothing to do: all 6 notebooks are up to date." in capsys.readouterr().out


def test_plan_repeats_training_per_protocol_and_seed_and_draws_the_first_only():
    steps = pipeline.plan("quick", ["casting", "cloud"], ["paper", "grouped"], [3, 4], "auto")
    trainings = ["01_dcgan_anogan", "02_ganomaly", "02b_baselines"]
    assert [step.label for step in steps] == [
        label
        for dataset in ("casting", "cloud")
        for label in [
            f"00_download: {dataset}",
            *[
                f"{name}: {dataset}, {protocol}, seed {seed}"
                for protocol in ("paper", "grouped")
                for seed in (3, 4)
                for name in trainings
            ],
            f"04_errata: {dataset}, seed 3",
        ]
    ] + ["03_comparison: casting and cloud"]
    assert len({step.output for step in steps}) == len(steps)
    drawn = [step.parameters["figures_dir"] for step in steps]
    places = {step.label: step.parameters["figures_dir"] for step in steps}
    assert places["02_ganomaly: casting, paper, seed 3"] == drawn[0] == drawn[-1]
    others = [
        place
        for label, place in places.items()
        if ", grouped," in label or label.endswith("seed 4")
    ]
    assert drawn[0] not in others
    assert len(steps[-1].after) == 2 * (2 * 2 * 3 + 1)


def append(path, text):
    path.write_text(path.read_text() + text)


CHANGES = {
    "library file of one notebook": (
        lambda project: append(project / "ganlib" / "ganomaly_code.py", "y = 2\n"),
        ["02_ganomaly castingpaper0", "03_comparison 0"],
    ),
    "library file of the figures": (
        lambda project: append(project / "ganlib" / "figure_code.py", "y = 2\n"),
        ["03_comparison 0"],
    ),
    "library file imported by another": (
        lambda project: append(project / "ganlib" / "shared.py", "y = 2\n"),
        ALL,
    ),
    "notebook": (
        lambda project: append_cell(project / "notebooks" / "01_dcgan_anogan.ipynb"),
        ["01_dcgan_anogan castingpaper0", "03_comparison 0"],
    ),
    "images": (lambda project: (project / "images" / "b.png").write_bytes(b"2"), ALL),
    "time stamps alone": (lambda project: os.utime(project / "ganlib" / "shared.py"), []),
    "a figure is gone": (
        lambda project: (project / "figures/smoke/02_ganomaly_casting_0.txt").unlink(),
        ["02_ganomaly castingpaper0"],
    ),
}


def append_cell(path):
    notebook = nbformat.read(path, 4)
    notebook.cells.append(nbformat.v4.new_code_cell("pass"))
    nbformat.write(notebook, path)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_repeats_what_depends_on_it_and_nothing_else(done, change):
    make, expected = CHANGES[change]
    make(done)
    assert executed(done) == expected
    assert executed(done) == []


def test_another_source_or_backend_repeats(done, monkeypatch):
    steps = pipeline.plan("smoke", ["casting"], ["paper"], [0], "auto")
    assert all(map(pipeline.is_done, steps))
    with monkeypatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "jax")
        assert not any(map(pipeline.is_done, steps))
    assert executed(done, source="generated") == ALL


def test_another_seed_trains_and_compares_again(done):
    assert executed(done, seeds=[0, 1]) == [
        "01_dcgan_anogan castingpaper1",
        "02_ganomaly castingpaper1",
        "02b_baselines castingpaper1",
        "03_comparison 0",
    ]


def test_an_interrupted_run_goes_on_with_the_first_unfinished_notebook(project):
    broken = project / "ganlib" / "ganomaly_code.py"
    broken.write_text("from ganlib import shared\nraise RuntimeError('broken on purpose')\n")
    with pytest.raises(GanlibError, match=r"02_ganomaly\.ipynb failed: RuntimeError: broken") as e:
        executed(project)
    assert "02_ganomaly.ipynb" in str(e.value).splitlines()[1]  # where to look
    broken.write_text("from ganlib import shared\n")
    assert executed(project) == ALL[2:]


def test_a_kernel_that_did_not_start_is_started_once_more(project, monkeypatch):
    calls, execute = [], pipeline.papermill.execute_notebook

    def dies_first(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return execute(*arguments, **options)

    monkeypatch.setattr(pipeline.papermill, "execute_notebook", dies_first)
    assert executed(project) == ALL
    assert len(calls) == len(ALL) + 1

    def always_dies(*arguments, **options):
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(pipeline.papermill, "execute_notebook", always_dies)
    with pytest.raises(GanlibError, match="its process is gone"):
        executed(project, source="generated")


def test_a_notebook_that_was_killed_is_told_in_words_and_repeated(project):
    kill = project / "ganlib" / "ganomaly_code.py"
    kill.write_text("import os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(GanlibError, match=r"02_ganomaly\.ipynb was stopped from outside") as error:
        executed(project)
    assert "02_ganomaly.log" in str(error.value)
    kill.write_text("from ganlib import shared\n")
    assert executed(project) == ALL[2:]


def test_two_runs_at_once_are_refused_and_a_killed_ones_leavings_are_removed(
    project, monkeypatch, capsys
):
    ended = subprocess.Popen(["true"])
    ended.wait()
    for place in ("runs", "figures/smoke", "data/cache", "data/generated"):
        (project / place).mkdir(parents=True)
        (project / place / f".{ended.pid}.unfinished-a.npy").write_text("half")
        (project / place / f".{os.getpid()}.unfinished-b.npy").write_text("being written")
    (project / "data" / f".{ended.pid}.unfinished-casting-x1").mkdir()
    asked = ["--profile", "smoke", "--datasets", "casting", "--data", "generated"]
    with only_one(project / "runs", "make figures"):
        assert pipeline.main(asked) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"Error: {project / 'runs'} is in use: make figures (process ")
    assert len(said.splitlines()) == 1
    assert len(list(project.rglob(".*.unfinished-*"))) == 9  # it touched nothing
    monkeypatch.setattr(pipeline, "run", lambda steps, profile: None)
    assert pipeline.main(asked) == 0
    left = {path.name for path in project.rglob(".*.unfinished-*")}
    assert left == {f".{os.getpid()}.unfinished-b.npy"}


def test_a_users_mistake_in_a_notebook_is_its_message_alone(project):
    mistake = "from ganlib_errors import GanlibError\nraise GanlibError('choose 32 or 64')\n"
    (project / "ganlib_errors.py").write_text("class GanlibError(Exception): pass\n")
    (project / "ganlib" / "data_code.py").write_text(mistake)
    with pytest.raises(GanlibError) as error:
        executed(project)
    assert str(error.value).startswith("choose 32 or 64\n(in ")


def test_progress_says_what_runs_and_how_long_the_rest_takes(project, capsys):
    executed(project)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[1/6] 00_download: casting (about 2 min left)"
    assert lines[5].startswith("[6/6] 03_comparison: casting (about ")
    assert lines[6].startswith("Done in ")


def test_the_note_names_the_files_that_were_made(done):
    note = json.loads((done / "runs/smoke/casting/paper/seed-0/02_ganomaly.done.json").read_text())
    assert "figures/smoke/02_ganomaly_casting_0.txt" in note["made"]
    assert note["seconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "fast"], "no profile 'fast'"),
        (["--datasets", "clouds"], "no data set 'clouds'"),
        (["--datasets", ""], "at least one name"),
        (["--seeds", "one"], "SEED is 'one'"),
        (["--protocols", "group"], "PROTOCOL is 'group': choose paper or grouped"),
        (["--protocols", ""], "PROTOCOL is ''"),
        (["--on-error", "ignore"], "ON_ERROR is 'ignore': choose raise or skip"),
        (["--profile", "smoke", "--data", "/no/such/folder"], "/no/such/folder is not a folder"),
    ],
)
def test_wrong_arguments_are_one_line_and_status_1(arguments, message, capsys):
    assert pipeline.main(["--profile", "smoke", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert message in error
    assert "Traceback" not in error


def test_real_notebooks_depend_on_the_library_they_use():
    def files(name):
        path = pipeline.PROJECT / "notebooks" / f"{name}.ipynb"
        code = "\n".join(
            cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"
        )
        return {str(p.relative_to(pipeline.PROJECT)) for p in pipeline.imported_files(code)}

    anogan, ganomaly, comparison = map(files, ["01_dcgan_anogan", "02_ganomaly", "03_comparison"])
    both = {"ganlib/networks.py", "ganlib/losses.py", "ganlib/pixels.py", "ganlib/data/images.py"}
    assert both <= anogan & ganomaly
    assert "ganlib/models/anogan.py" in anogan - ganomaly - comparison
    assert "ganlib/models/ganomaly.py" in ganomaly - anogan - comparison
    drawing = {f"ganlib/figures/{name}.py" for name in ("__init__", "style", "scores", "pictures")}
    assert drawing <= anogan & ganomaly & comparison
    assert "ganlib/pipeline.py" not in anogan | ganomaly | comparison
