"""Forged defects change what their label says, and nothing else."""

import functools

import numpy as np
import pytest
from scipy import ndimage

from ganlib.data.synthetic import casting_images, cloud_images
from ganlib.models.defects import HELD_OUT, KINDS, TRAINED, forge, lessons, pseudo_anomalies

DRAW = {1: casting_images, 3: cloud_images}


@functools.cache
def good(n=8, size=64, channels=1):
    return DRAW[channels](["normal"] * n, 0, size)


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (32, 3), (256, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_changes_its_place_and_labels_it(kind, size, channels):
    images = good(4, size, channels)
    forged, labels = forge(images, np.random.default_rng(0), [kind], share=1.0)
    change = abs(forged.astype(int) - images).max(axis=-1, keepdims=True)
    assert forged.dtype == np.uint8 and forged.shape == images.shape
    assert labels.dtype == np.float32 and labels.shape == (4, size, size, 1)
    far = ndimage.maximum_filter(change, (1, 5, 5, 1)) == 0  # from all that has changed
    assert labels.min() == 0 and labels.max() > 0.8
    assert (labels[far] == 0).all()
    assert labels[change >= change.max() * 0.9].mean() > 0.6
    surely = pseudo_anomalies(images, np.random.default_rng(0), [kind])
    assert (abs(surely.astype(int) - images).max(axis=(1, 2, 3)) > 7).all()


def test_a_seed_fixes_all_and_foreign_pieces_are_of_other_images(monkeypatch):
    images = good(channels=3)
    first, second = (lessons(images, np.random.default_rng(1), turns=True) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    for name in ("image", "label"):
        np.testing.assert_array_equal(first[1][name], second[1][name])
    monkeypatch.setitem(KINDS, "all", lambda image, other, random: (np.s_[:, :], 1.0, other))
    forged, _ = forge(images, np.random.default_rng(0), ["all"], share=1.0)
    same = (forged[:, None] == images[None]).all(axis=(2, 3, 4))
    assert same.any(axis=1).all() and not same.diagonal().any()
    alone = forge(images[:1], np.random.default_rng(0), share=1.0)[0]
    assert (alone != images[:1]).any()


def test_half_of_what_is_learnt_is_normal_and_so_is_a_foreign_piece_that_looks_alike():
    images = good(60, 32)
    forged, targets = lessons(images, np.random.default_rng(0))
    clean, labels = targets["image"], targets["label"]
    untouched = labels.max(axis=(1, 2, 3)) == 0
    assert 10 < untouched.sum() < 40
    np.testing.assert_array_equal(forged[untouched], clean[untouched])  # the same noise
    assert 2 < abs(clean.astype(int) - images).mean() < 20
    assert not set(TRAINED) & set(HELD_OUT) and {*TRAINED, *HELD_OUT} == set(KINDS)
    plain = np.full((6, 64, 64, 1), 128, "uint8")
    grain = plain + np.random.default_rng(0).integers(8, size=plain.shape, dtype="uint8")
    for images in (plain, grain):
        _, labels = forge(images, np.random.default_rng(0), ["patch"], share=1.0)
        assert labels.max() < 0.3
    # What is plain shows no warp: another kind takes its turn.
    assert (pseudo_anomalies(plain, np.random.default_rng(0)) != plain).any(axis=(1, 2, 3)).all()
