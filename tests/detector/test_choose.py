"""Choosing among models without anomalies, and several that score together."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import ndimage

from ganlib.detector import load_model
from ganlib.detector.choose import at_size, choose
from ganlib.models.base import AnomalyModel
from ganlib.models.experts import Experts


class _Fixed(AnomalyModel):
    """A model without weights, whose score is `power` of what `measure` says."""

    def __init__(self, image_size, channels, power=1.0, **kwargs):
        super().__init__(image_size, channels, **kwargs)
        self.power = power

    def forward(self, images, training=None):
        return {"reconstruction": 0.5 * images, "residual": self.measure(images)}

    def score(self, images, outputs):
        return ops.max(outputs["residual"], axis=(1, 2, 3)) ** self.power


class Edges(_Fixed):
    """Sees where neighbouring pixels differ."""

    def measure(self, images):
        grey = ops.mean(images, axis=-1, keepdims=True)
        return ops.pad(ops.abs(grey[:, 1:] - grey[:, :-1]), [[0, 0], [1, 0], [0, 0], [0, 0]]) + 0.01


class Steps(Edges):
    """Sees the same."""


class Blind(_Fixed):
    """Sees one corner."""

    def measure(self, images):
        return ops.zeros_like(images[..., :1]) + ops.abs(images[:, :1, :1, :1]) + 0.01


@pytest.fixture(scope="module")
def images():
    """Smooth hills, in which an edge is a defect."""
    random = np.random.default_rng(0)
    hills = ndimage.gaussian_filter(random.normal(size=(24, 64, 64, 1)), (0, 8, 8, 0))
    return (128 + 400 * hills + 4 * random.normal(size=hills.shape)).astype("uint8")


def test_the_chosen_model_is_one_that_finds_forged_defects_and_the_table_says_so(images):
    models = {"blind": Blind(64, 1), "edges": Edges(32, 1)}
    model, rows = choose(models, images, seed=1)
    aurocs = {row["method"]: row["auroc"] for row in rows}
    assert set(aurocs) == {"blind + edges", "blind", "edges"} and model is not models["blind"]
    assert (model is models["edges"]) == (rows[0]["method"] == "edges")
    assert aurocs["edges"] > aurocs["blind"] + 0.1 and abs(aurocs["blind"] - 0.5) < 0.2
    assert rows[0]["method"] == "blind + edges" and aurocs["edges"] < rows[0]["auroc"] + 0.02
    again = choose(models, images, seed=1)[1]
    assert {row["method"]: row["auroc"] for row in again} == aurocs
    twice, rows = choose({"edges": Edges(64, 1), "again": Edges(64, 1)}, images)
    assert rows[0]["method"] == "edges + again" and len(twice.members) == 2


def test_what_has_practised_on_forged_defects_needs_a_lead(images, monkeypatch):
    monkeypatch.setattr("ganlib.detector.choose.Segmentator", Steps)
    models = {"steps": Steps(64, 1), "edges": Edges(64, 1)}
    model, rows = choose(models, images)
    assert model is models["edges"] and len({row["auroc"] for row in rows}) == 1
    rows = choose({"steps": models["steps"], "blind": Blind(64, 1)}, images)[1]
    assert "steps" in rows[0]["method"]  # it leads by far


def test_a_smaller_model_sees_the_means_of_pixels(images):
    small = at_size(images, Edges(32, 1))
    assert small.shape == (24, 32, 32, 1) and small.dtype == np.uint8
    assert small[3, 5, 7, 0] == np.rint(images[3, 10:12, 14:16].mean())
    assert (
        at_size(images, Edges(64, 1)) is images or (at_size(images, Edges(64, 1)) == images).all()
    )


def test_experts_average_what_their_members_say_in_units_of_normal_images(images, tmp_path):
    members = [Edges(64, 1), Blind(64, 1, power=2.0)]
    seen = [member.detect(at_size(images, member)) for member in members]
    experts = Experts.of(members, seen)
    new = images[::-1] // 2
    logs = [np.log(member.detect(at_size(new, member)).scores) for member in members]
    usual = [np.log(each.scores) for each in seen]
    spreads = [1.4826 * np.median(abs(u - np.median(u))) + 1e-3 for u in usual]
    z = [(a - np.median(u)) / s for a, u, s in zip(logs, usual, spreads, strict=True)]
    found = experts.detect(new)
    np.testing.assert_allclose(found.scores, np.log1p(np.exp(np.mean(z, axis=0))), rtol=1e-3)
    # A map of 1 is what the highest of a normal image usually is.
    highest = experts.detect(images).residuals.max((1, 2, 3))
    assert 0.5 < np.median(highest) < 1.5
    assert found.reconstructions.shape == images.shape
    experts.save(tmp_path / "experts.keras")
    loaded = load_model(tmp_path / "experts.keras")
    np.testing.assert_array_equal(loaded.detect(new).scores, found.scores)


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
