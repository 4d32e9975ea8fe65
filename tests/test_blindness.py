"""Nothing reads the labels of test images before the scores and the thresholds are there."""

import ast
from dataclasses import replace
from pathlib import Path

import keras
import nbformat
import numpy as np
import pandas as pd
import pytest

from ganlib.data import Dataset, paper_split, to_score
from ganlib.models.baselines import BASELINES
from ganlib.models.ganomaly import GANomaly

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
TRAINING = ["01_dcgan_anogan", "02_ganomaly", "02b_baselines", "06_recent_models", "04_errata"]
# What a label can be read from, by these names and no other.
TELLING = {
    "add_truth", "evaluate", "files", "label", "kind", "group", "scatter", "test_normal",
    "test_anomaly", "scatter_normal", "scatter_anomaly", "mask", "outlined", "load_masks",
}  # fmt: skip
LEARNING = {"fit", "train", "train_on_batch", "calibrate", "search", "detect", "score_latents"}


def names(source):
    """All names, attributes and texts (of columns, say) that code mentions."""
    source = "\n".join(line for line in source.splitlines() if not line.startswith("%"))
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                found.add(name)
    return found


@pytest.mark.parametrize("name", TRAINING)
def test_a_notebook_reads_labels_after_all_training_scoring_and_calibrating(name):
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4).cells
    mentioned = [names(cell.source) for cell in cells if cell.cell_type == "code"]
    truth = next(i for i, found in enumerate(mentioned) if "add_truth" in found)
    before, after = set().union(*mentioned[:truth]), set().union(*mentioned[truth:])
    assert not before & TELLING
    assert before & LEARNING
    assert not after & LEARNING


@pytest.fixture
def dataset(tmp_path):
    parts = ["train_normal"] * 40 + ["test_normal"] * 12 + ["test_anomaly"] * 12
    files = pd.DataFrame({"file": [f"{n}.png" for n in range(64)], "part": parts, "kind": "any"})
    files["label"] = [0] * 52 + [1] * 12
    digests = dict.fromkeys(["train_normal", "test_normal", "test_anomaly"], "0")
    return Dataset("casting", "unverified", tmp_path, files, digests, (), tmp_path)


def ganomaly(train, images):
    keras.utils.set_random_seed(0)
    model = GANomaly(32, 1, 6, 4)
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    model.fit(train, batch_size=20, epochs=1, verbose=0)
    return model.detect(images)


@pytest.mark.parametrize("method", [*BASELINES.values(), ganomaly])
def test_scores_are_the_same_with_all_test_labels_wrong(dataset, method):
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 1), dtype="uint8")
    wrong = dataset.files.copy()
    wrong.loc[40:51, ["part", "label"]] = "test_anomaly", 1
    wrong.loc[52:, ["part", "label"]] = "test_normal", 0
    scores = []
    for files in (dataset.files, wrong):
        split = paper_split(replace(dataset, files=files))
        table = to_score(dataset, split)
        found = method(images[split.train], images[table["row"]]).scores
        scores.append(pd.Series(found, table["row"]).sort_index())
    assert scores[0].nunique() > 20
    pd.testing.assert_series_equal(*scores, rtol=1e-6)
