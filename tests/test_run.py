"""A run from the images to the files that it leaves, and what it reads back."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import IPython
import keras
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from refusals import refused
from tiny import save_images

from ganlib.files import write_json
from ganlib.models import BASELINES, METHODS, Autoencoder, environment
from ganlib.models.detection import Detection
from ganlib.run import Run, check_parameters, pick_examples, pictures, read_runs

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
SMALL = {"profile": "smoke", "filters": 4, "latent_dim": 6, "limit": 12, "steps": 2}
SMALL |= {"learning_rate": 0.01, "batch_size": 8}


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Open runs on a folder of noise, whose defects are outlined."""
    place = tmp_path_factory.mktemp("project")
    random = np.random.default_rng(0)
    for name, count in {"train/good": 40, "test/good": 8, "test/hole": 8}.items():
        save_images(place / "parts" / name, random.integers(0, 256, (count, 32, 32), "uint8"))
    masks = np.zeros((8, 32, 32), "uint8")
    masks[:, 8:12, 8:12] = 255
    save_images(place / "parts" / "ground_truth" / "hole", masks)
    folders = {f"{name}_dir": place / name for name in ("data", "runs", "figures")}

    usual = {"dataset": str(place / "parts"), **SMALL, **folders}

    def make(method="autoencoder", **options):
        return Run(method, **{**usual, **options})

    make.options = usual
    return make


@pytest.fixture(scope="session")
def trained(make_run):
    """A run that has been written: it, its model, what was found, and the examples."""
    run = make_run(protocol="grouped")
    model = run.build(Autoencoder)
    history = run.fit(model, verbose=0)
    table, images = run.to_score()
    detection = run.detect(model, images)
    scored = run.add_truth(table.assign(score=detection.scores))
    assert not {"label", "kind", "group"} & set(table)
    assert {"label", "kind", "group"} <= set(scored)
    assert (run.folder / "autoencoder.npz").is_file()
    return run, model, history, scored, detection, run.write(model, scored, images, detection)


def test_a_run_opens_images_split_and_settings_and_shows_them(make_run):
    run = make_run()
    assert run.images.shape[1:] == (32, 32, 1)
    assert run.sizes == {"image_size": 32, "channels": 1, "latent_dim": 6, "filters": 4}
    assert run.folder.parts[-5:] == ("smoke", "parts", "paper", "seed-0", "autoencoder")
    shown = str(run)
    for word in ("in a folder", "12 train", "filters=4", keras.backend.backend(), "CPU: "):
        assert word in shown
    assert "profile smoke, protocol paper, seed 0" in run.caption
    refused("no setting 'filter'", make_run, filter=4)


def test_it_trains_with_the_settings_and_continues_where_it_was(make_run, trained):
    run, model, history, *_ = trained
    assert len(history["loss"]) == 1
    assert int(model.optimizer.iterations) == 2
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert run.train_seconds > 0
    assert run.score_ms_per_image > 0
    again = make_run(protocol="grouped", runs_dir=run.folder.parent / "again")
    weights = []
    for _ in range(2):  # the second finds the whole training in the checkpoint
        keras.utils.set_random_seed(0)
        same = again.build(Autoencoder)
        again.fit(same, verbose=0)
        weights.append(same.get_weights())
    for first, second, original in zip(*weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, original)


def test_a_run_leaves_model_scores_examples_and_its_row(trained):
    run, _, _, scored, detection, examples = trained
    names = {path.name for path in run.folder.iterdir()} - {".lock"}
    assert names == {"autoencoder.keras", "scores.csv", "examples.npz", "result.json"}
    assert len(pd.read_csv(run.folder / "scores.csv")) == len(scored)
    row = read_runs([run.folder.parent], ["GANomaly", "autoencoder"]).iloc[0]
    split = run.split
    assert (row["n_train"], row["n_calibration"]) == (len(split.train), len(split.calibration))
    assert (row["family"], row["preset"], row["seed"]) == ("baseline", "corrected", 0)
    assert "keras 3" in row["versions"]
    assert row["folder"] == str(run.folder)
    kept = np.load(run.folder / "examples.npz")
    for name, values in examples.items():
        np.testing.assert_array_equal(kept[name], values)
    alarm = pictures(kept, "images", "scores", alarm="false alarm")["alarm"]
    worst = scored[(scored["role"] == "test") & (scored["label"] == 0)]["score"].idxmax()
    np.testing.assert_array_equal(alarm[0][0], run.images[scored["row"][worst]])
    assert alarm[1][0] == detection.scores[worst]


def test_it_measures_auroc_and_where_there_are_masks_pixels(make_run):
    run = make_run()
    table, images = run.to_score()
    table = run.add_truth(table)
    residuals = np.zeros(images.shape, "float32")
    residuals[table["label"] == 1, 8:12, 8:12] = 1
    perfect = Detection(table["label"].to_numpy("float32"), images, residuals)
    metrics = run.evaluate(table.assign(score=perfect.scores), perfect)
    assert metrics["auroc"] == metrics["pixel_auroc"] == 1
    assert metrics["pro"] == pytest.approx(1)


def test_a_model_of_your_own_is_among_the_baselines(make_run, monkeypatch):
    class Mine(Autoencoder):
        method = "mine"

    monkeypatch.setitem(METHODS, "mine", METHODS.pop("mine"))  # is taken out again
    notebook = nbformat.read(NOTEBOOKS / "02b_baselines.ipynb", 4)
    namespace = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and not cell.source.endswith("%run install.py"):
            exec(cell.source, namespace)
        if "parameters" in cell.metadata.get("tags", []):
            namespace |= make_run.options | {"seed": 1}
    folder = make_run(seed=1).folder.parent
    plt.close("all")
    rows = read_runs([folder], [*METHODS, *BASELINES]).set_index("method")
    assert {"mine", "autoencoder", "untrained GANomaly", *BASELINES} <= set(rows.index)
    assert set(rows["family"]) == {"baseline"}
    assert {path.name for path in folder.rglob("*.keras")} == {
        "autoencoder.keras",
        "segmentator.keras",
        "mine.keras",
    }


def test_missing_runs_and_their_notebooks_are_named_on_one_line(tmp_path):
    row = {"dataset": "x", "digest": "1", "caption": "drawn", "family": "baseline"}
    for seed, methods in {"seed-0": ("pca", "untrained-ganomaly"), "seed-1": ("pca",)}.items():
        for method in methods:
            write_json(tmp_path / seed / method / "result.json", row)
    first, second = folders = tmp_path / "seed-0", tmp_path / "seed-1"
    assert len(read_runs([first], ["GANomaly", "PCA"])) == 2
    message = r"no result.json in .*seed-1.untrained-ganomaly: run 02b_baselines first, with the"
    refused(message, read_runs, folders, ["GANomaly", "PCA"])
    needed = ["AnoGAN", "GANomaly", *BASELINES]
    message = r"^.* other folders: run 01_dcgan_anogan, 02_ganomaly, 02b_baselines first.*\.$"
    refused(message, read_runs, folders, [*METHODS, *BASELINES], needed)  # as in 03_comparison
    # One data set of a comparison is the same images, whoever fetched them.
    write_json(second / "pca" / "result.json", row | {"digest": "2", "caption": "real"})
    refused(r"runs of x used different images: .*drawn .*seed-0.*real", read_runs, folders, ["PCA"])
    write_json(second / "pca" / "result.json", row | {"digest": "2", "dataset": "y"})
    assert len(read_runs(folders, ["PCA"])) == 2


def test_examples_are_the_medians_of_their_kinds_and_the_worst():
    groups = ["test normal"] * 6 + ["test anomaly"] * 6 + ["train normal"] * 2
    scores = [*range(6), *range(10, 16), 99, 98]
    table = pd.DataFrame({"group": groups, "label": [0] * 6 + [1] * 6 + [0] * 2, "score": scores})
    table["kind"] = ["normal"] * 6 + ["hole"] * 5 + ["stain"] + ["normal"] * 2
    table = table.sample(frac=1, random_state=1)
    picked = pick_examples(table, each=2)
    worst = picked[picked["group"].isin(["false alarm", "miss"])]
    assert worst["score"].tolist() == [5, 4, 10, 11]  # of test images alone, worst first
    shown = picked.groupby("group")["score"].agg(sorted)
    assert shown["test normal"] == [2, 3]
    assert shown["test anomaly"] == [12, 15]  # a hole and the stain
    assert shown["train normal"] == [98, 99]


def test_the_device_is_card_or_processor_and_the_commit_says_if_code_changed(tmp_path, monkeypatch):
    for gpu, name in ((True, "NVIDIA H100"), (False, "CPU: ")):
        with monkeypatch.context() as patch:
            patch.setattr(environment, "_has_gpu", lambda gpu=gpu: gpu)
            patch.setattr(environment, "_output", lambda *command: "NVIDIA H100")
            assert environment.device().startswith(name)

    def git(*arguments):
        name = ("-c", "user.name=x", "-c", "user.email=x@y")
        subprocess.run(["git", "-C", tmp_path, *name, *arguments], check=True, capture_output=True)

    for name in ("ganlib/models/environment.py", "notebooks/a.ipynb", "requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "ganlib/models/environment.py"))
    assert environment.environment()["commit"] == "unknown"
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    (tmp_path / "figure.png").write_text("a product of a run")
    assert environment.environment()["commit"].isalnum()
    (tmp_path / "ganlib/models/environment.py").write_text("x = 2\n")
    assert environment.environment()["commit"].endswith("+changes")


def test_an_unknown_parameter_of_a_notebook_is_an_error(monkeypatch):
    cells = ["", "profile = 'smoke'  # a word", "# Parameters\nprofile = 'quick'\n", ""]
    shell = SimpleNamespace(user_ns={"In": cells})
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    check_parameters()
    cells[2] += "epocs = 3"
    refused(r"no parameter 'epocs'\. It has: profile", check_parameters)
    cells[2] = "profile = 'quick'\nepocs = 3"  # a user's own cell
    check_parameters()
