"""make figures with folders of images: what is planned, called and refused."""

import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from ganlib import pipeline
from ganlib.errors import GanlibError


def fill(folder, count):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("L", (4, 4), i).save(folder / f"{i:03}.png")


def make_parts(root):
    for name in ("train/good", "test/good", "test/crack"):
        fill(root / name, 3)
    return root


def test_runs_and_figures_are_called_by_the_name_not_the_path(tmp_path):
    root = str(make_parts(tmp_path / "My parts"))
    steps = pipeline.plan("smoke", ["casting", root], ["paper"], [0], "auto", "raise", "crop")
    of_folder = [step for step in steps if step.parameters.get("dataset") == root]
    assert [step.label for step in of_folder] == [
        "00_download: my-parts",
        "01_dcgan_anogan: my-parts, paper, seed 0",
        "02_ganomaly: my-parts, paper, seed 0",
        "02b_baselines: my-parts, paper, seed 0",
        "04_errata: my-parts, seed 0",
    ]
    for step in of_folder:
        assert step.output.is_relative_to(pipeline.PROJECT / "runs/smoke/my-parts")
        assert step.parameters["resize"] == "crop"
    assert steps[-1].label == "03_comparison: casting and my-parts"
    assert steps[-1].parameters["datasets"] == "casting my-parts"


def test_a_folder_without_both_kinds_gets_the_notebook_of_its_own(tmp_path):
    fill(tmp_path / "parts", 3)
    root = str(tmp_path / "parts")
    (step,) = pipeline.plan("smoke", [root], ["paper", "grouped"], [4, 5], "auto", "skip")
    assert step.notebook.name == "05_your_images.ipynb"
    assert step.output == pipeline.PROJECT / "runs/smoke/parts/05_your_images.ipynb"
    given = {name: step.parameters[name] for name in ("folder", "seed", "on_error", "resize")}
    assert given == {"folder": root, "seed": 4, "on_error": "skip", "resize": "letterbox"}
    assert step.label == "05_your_images: parts"
    both = pipeline.plan("smoke", ["casting", root], ["paper"], [0], "auto")
    assert both[-1].parameters["datasets"] == "casting"
    assert len(both) == 7


def test_two_data_sets_of_one_name_are_refused(tmp_path):
    roots = [str(make_parts(tmp_path / where / "parts")) for where in "ab"]
    with pytest.raises(GanlibError, match="called parts and parts in runs"):
        pipeline.plan("smoke", roots, ["paper"], [0], "auto")


def test_changed_images_of_a_folder_are_noticed(tmp_path):
    root = make_parts(tmp_path / "parts")
    step = pipeline.plan("smoke", [str(root)], ["paper"], [0], "auto")[0]
    before = pipeline.key(step)
    assert pipeline.key(step) == before
    fill(root / "train/good", 4)
    assert pipeline.key(step) != before


@pytest.fixture
def planned(monkeypatch):
    """Run the command line without executing a notebook; returns the plans made."""
    plans = []
    monkeypatch.setattr(pipeline, "run", lambda steps, profile: plans.append(steps))
    return plans


def test_the_command_takes_folders_with_blanks_in_quotes(tmp_path, planned, monkeypatch, capsys):
    make_parts(tmp_path / "my parts")
    monkeypatch.setattr(pipeline, "PROJECT", tmp_path)
    monkeypatch.chdir(tmp_path)
    asked = ["--profile", "smoke", "--protocols", "paper", "--datasets"]
    assert pipeline.main([*asked, "'my parts' casting"]) == 0
    assert planned[0][0].parameters["dataset"] == str(tmp_path / "my parts")
    for names, message in (
        ("bob's", 'DATASETS is "bob\'s": No closing quotation'),
        ("'my parts/train'", "has no folder"),
        ("my parts", "no data set 'my'"),
    ):
        fill(tmp_path / "my parts/train/train/bad", 1)
        assert pipeline.main([*asked, names]) == 1
        error = capsys.readouterr().err
        assert error.startswith("Error: ")
        assert message in error
    assert pipeline.main([*asked, "casting", "--resize", "pad"]) == 1
    assert "RESIZE is 'pad': choose squeeze, letterbox, crop" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_hands_quotes_over(tmp_path):
    command = ["make", "figures", "RUN=echo", "-o", ".venv/ready", "DATASETS=cloud '/a  b/c'"]
    said = subprocess.run(
        command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
    )
    assert "--datasets cloud '/a  b/c' --protocols paper grouped" in said.stdout
