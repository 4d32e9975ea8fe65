"""What a GAN has to beat, against arithmetic by hand."""

import numpy as np
import pytest
from tiny import assert_answers_as_a_detector, assert_equal
from tiny import some_images as images_of

from ganlib.models.baselines import (
    BASELINES,
    grey_histogram,
    image_statistics,
    mean_brightness,
    nearest_neighbour,
    pca_reconstruction,
)


def some_images(n, channels=1, seed=0, size=8):
    return images_of(n, channels, seed, size)


def flat(*levels):
    return np.array([np.full((2, 2, 1), level) for level in levels], dtype="uint8")


def test_brightness_counts_both_ways_and_histograms_are_of_levels_not_of_places():
    detection = mean_brightness(flat(90, 110), flat(100, 70, 130, 255))
    np.testing.assert_allclose(detection.scores, [0, 30, 30, 155])
    np.testing.assert_array_equal(detection.reconstructions, flat(100, 100, 100, 100))
    np.testing.assert_allclose(detection.residuals, np.abs(flat(0, 30, 30, 155)))
    image = some_images(1, size=16)
    shuffled = np.random.default_rng(1).permutation(image.reshape(-1)).reshape(image.shape)
    scores = grey_histogram(image, np.concatenate([shuffled, 255 - image])).scores
    assert scores[0] == 0
    assert scores[1] > 0
    # Normal images: half of the pixels in the bin of 0..3, half in that of 252..255.
    train = flat(0, 255)
    half = np.array([[0, 3], [254, 255]], "uint8").reshape(1, 2, 2, 1)
    scores = grey_histogram(train, np.concatenate([half, flat(2, 4)])).scores
    np.testing.assert_allclose(scores, [0, 0.5 + 0.5, 1 + 0.5 + 0.5])
    assert grey_histogram(flat(252), flat(251)).scores == 2  # 248..251 is a bin of its own
    coarse = grey_histogram(train, flat(100, 200), bins=2).scores
    np.testing.assert_allclose(coarse, [1, 1])


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_six_of_each_channel(channels):
    def six(channel):
        gradient = sum(np.abs(np.diff(channel, axis=axis)).mean() for axis in (0, 1)) / 2
        deviation, quantiles = channel.std(), np.percentile(channel, [5, 95])
        return [channel.mean(), *quantiles, deviation, gradient, gradient / deviation]

    train, images = some_images(40, channels), some_images(6, channels, seed=1) // 2
    values = np.concatenate([train, images]).astype(float)
    values = [np.ravel([six(image[..., i]) for i in range(channels)]) for image in values]
    values = (values - np.mean(values[:40], axis=0)) / np.std(values[:40], axis=0)
    shrunk = 0.99 * np.cov(values[:40].T, bias=True) + 0.01 * np.eye(6 * channels)
    expected = [x @ np.linalg.inv(shrunk) @ x for x in values[40:]]
    np.testing.assert_allclose(image_statistics(train, images).scores ** 2, expected, rtol=1e-3)
    assert np.isfinite(image_statistics(train, 0 * images).scores).all()  # no contrast


@pytest.mark.parametrize("channels", [1, 3])
def test_nearest_neighbour_is_found_and_shown(channels):
    train, images = some_images(30, channels), some_images(7, channels, seed=1)
    images[2] = train[11]
    detection = nearest_neighbour(train, images)
    differences = images[:, np.newaxis].astype(float) - train
    distances = np.sqrt((differences**2).sum(axis=(2, 3, 4)))
    np.testing.assert_allclose(detection.scores, distances.min(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(detection.reconstructions, train[distances.argmin(axis=1)])
    assert detection.scores[2] == 0  # exactly: a copy of a training image must show as one


@pytest.mark.parametrize("channels", [1, 3])
def test_pca_is_the_projection_on_the_first_components(channels):
    random = np.random.default_rng(0)
    basis = random.normal(size=(6, 64 * channels)) * np.array([[40, 30, 20, 10, 5, 2]]).T
    values = 128 + random.normal(size=(60, 6)) @ basis / 4
    train = np.clip(values, 0, 255).reshape(60, 8, 8, channels).astype("uint8")
    images = some_images(5, channels, seed=1)
    detection = pca_reconstruction(train, images, n_components=3)
    vectors, mean = train.reshape(60, -1).astype(float), train.reshape(60, -1).mean(axis=0)
    first = np.linalg.svd(vectors - mean, full_matrices=False)[2][:3]
    made = mean + (images.reshape(5, -1) - mean) @ first.T @ first
    made = np.clip(made, 0, 255).reshape(images.shape)
    np.testing.assert_allclose(detection.scores, np.abs(images - made).mean((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(detection.residuals, np.abs(images - made), atol=0.1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("baseline", BASELINES.values(), ids=BASELINES)
def test_every_baseline_answers_as_a_detector_does(baseline, channels):
    train, images = some_images(40, channels), some_images(9, channels, seed=1)
    before = train.copy(), images.copy()
    train.flags.writeable = images.flags.writeable = False  # as decoded images on disk are
    assert_answers_as_a_detector(baseline(train, images), images)
    assert_equal((train, images), before)
