import json
import subprocess

import numpy as np
import pandas as pd
import pytest

from ganlib import results
from ganlib.errors import GanlibError
from ganlib.files import write_safely
from ganlib.models.detection import Detection


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "folder" / "a.csv"
    write_safely(path, lambda p: p.write_text("old"))

    def fail(temporary):
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_safely(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["a.csv"]


def test_examples_keep_the_rows_asked_for(tmp_path):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (6, 4, 4, 1), dtype="uint8")
    detection = Detection(draw.random(6), images[::-1], draw.random(images.shape))
    table = pd.DataFrame({"group": list("aabbcc")})
    path = results.write_examples(tmp_path / "x.npz", images, detection, table.iloc[[1, 4]])
    kept = np.load(path)
    assert kept["groups"].tolist() == ["a", "c"]
    for name, values in {"images": images, **detection._asdict()}.items():
        np.testing.assert_array_equal(kept[name], values[[1, 4]])


def test_rows_are_read_back_and_a_missing_run_is_named(tmp_path):
    for seed in (0, 1):
        results.write_json(tmp_path / f"seed-{seed}" / "result.json", {"seed": np.int64(seed)})
    rows = results.read_rows([tmp_path / "seed-0", tmp_path / "seed-1"])
    assert rows["seed"].tolist() == [0, 1]
    with pytest.raises(GanlibError, match=r"seed-2.result\.json is not there: run the notebook"):
        results.read_rows([tmp_path / "seed-2"])


def test_environment_says_what_ran(monkeypatch):
    here = results.environment()
    assert here["keras_backend"] in ("tensorflow", "jax", "torch")
    assert "keras 3" in here["versions"]
    assert "numpy" in here["versions"]
    monkeypatch.setattr(results, "_backend_sees_gpu", lambda: True)
    monkeypatch.setattr(results, "_output", lambda *command: "NVIDIA H100")
    assert results.device() == "NVIDIA H100"
    monkeypatch.setattr(results, "_backend_sees_gpu", lambda: False)
    assert results.device().startswith("CPU: ")


def test_commit_says_whether_the_code_was_changed(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True)

    library = tmp_path / "ganlib"
    library.mkdir()
    (library / "results.py").write_text("x = 1\n")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "requirements.txt").write_text("")
    monkeypatch.setattr(results, "__file__", str(library / "results.py"))
    assert results._commit() == "unknown"
    git("init", "-q")
    git("add", "-A")
    git("-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "first")
    assert results._commit().isalnum()
    (tmp_path / "figure.png").write_text("a product of a run")
    assert "+changes" not in results._commit()
    (library / "results.py").write_text("x = 2\n")
    assert results._commit().endswith("+changes")


def test_run_row_is_plain_json(tmp_path):
    from ganlib import settings as profiles
    from ganlib.data import Dataset, Split

    files = pd.DataFrame({"part": ["normal"] * 3, "file": list("abc")})
    dataset = Dataset("cloud", "generated", tmp_path, files, {"normal": "0"}, (), tmp_path)
    split = Split(*(np.arange(n) for n in (5, 3, 2, 3, 2, 4)))
    row = results.run_row(
        dataset,
        split,
        method="AnoGAN",
        family="GAN",
        protocol="grouped",
        seed=1,
        profile="quick",
        settings=profiles.settings("quick", "cloud"),
        train_seconds=1.0,
        score_ms_per_image=2.0,
    )
    asked = """dataset source digest protocol family method preset seed image_size channels n_train
    n_calibration train_seconds score_ms_per_image keras_backend device versions commit"""
    assert set(asked.split()) <= set(row)
    assert (row["n_train"], row["n_calibration"]) == (5, 4)
    assert (row["protocol"], row["family"], row["preset"]) == ("grouped", "GAN", "corrected")
    json.dumps(row, allow_nan=False)


def test_runs_have_folders_of_their_own():
    folder = results.run_folder("runs", "quick", "casting", "grouped", 2, "untrained GANomaly")
    assert folder.as_posix() == "runs/quick/casting/grouped/seed-2/untrained-ganomaly"
    assert results.slug("PCA, 100 parts") == "pca-100-parts"


def scored_table():
    """Six normal test images with scores 0..5, six anomalies with 10..15, two training images."""
    groups = ["test normal"] * 6 + ["test anomaly"] * 6 + ["train normal"] * 2
    labels = [0] * 6 + [1] * 6 + [0] * 2
    return pd.DataFrame(
        {"group": groups, "label": labels, "score": [*range(6), *range(10, 16), 99, 98]}
    )


def test_examples_are_the_first_and_the_worst():
    table = scored_table().sample(frac=1, random_state=1)
    picked = results.pick_examples(table, each=2)
    worst = picked[picked["group"].isin(["false alarm", "miss"])]
    assert worst["score"].tolist() == [5, 4, 10, 11]  # of test images alone, worst first
    for group in ("test normal", "test anomaly", "train normal"):
        first = table.index[table["group"] == group][:2]
        assert picked.index[picked["group"] == group].tolist() == first.tolist()


def test_a_run_is_written_whole_with_its_result_last(tmp_path):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (14, 4, 4, 1), dtype="uint8")
    detection = Detection(np.arange(14.0), images, draw.random(images.shape))
    results.write_run(tmp_path / "run", {"seed": 3}, scored_table(), images, detection)
    assert results.read_rows([tmp_path / "run"])["seed"].tolist() == [3]
    assert len(pd.read_csv(tmp_path / "run" / "scores.csv")) == 14
    kept = np.load(tmp_path / "run" / "examples.npz")
    alarm = kept["images"][kept["groups"] == "false alarm"][0]
    np.testing.assert_array_equal(alarm, images[5])
    bad = scored_table().drop(columns="score")
    with pytest.raises(KeyError):
        results.write_run(tmp_path / "other", {"seed": 3}, bad, images, detection)
    assert not (tmp_path / "other" / "result.json").exists()
