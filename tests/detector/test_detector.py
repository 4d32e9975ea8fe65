"""The detector that is handed on: threshold, heat maps and card travel with any model."""

import itertools

import numpy as np
import pytest
from scipy import ndimage
from small import CARD, GOOD, SMALL

from ganlib.detector.detector import Detector, _floored, _highest_left_out
from ganlib.detector.load import load_model
from ganlib.errors import GanlibError
from ganlib.evaluation import quantile_threshold
from ganlib.models import DCGAN, AnoGAN, Autoencoder, Detection, FAnoGAN, GANomaly

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 1), dtype="uint8")


def residuals(n, seed):
    """Draw residuals that are high at the top, where nothing is ever rebuilt well."""
    noise = np.random.default_rng(seed).gamma(2.0, 10.0, (n, 32, 32, 1))
    return (noise * np.linspace(3, 1, 32)[:, None, None]).astype("float32")


def calibrated_on(residuals, rate):
    made = Detector(GANomaly(**SMALL))
    scores = np.zeros(len(residuals), "float32")
    made.calibrate_on(Detection(scores, residuals.astype("uint8"), residuals), rate)
    return made


def all_models():
    dcgan = DCGAN(**SMALL)
    yield from (GANomaly(**SMALL), Autoencoder(**SMALL), FAnoGAN(dcgan, 4))
    yield AnoGAN(dcgan, steps=2, batch_size=5)


def test_any_model_becomes_one_file_with_the_same_answers(tmp_path):
    for score, model in zip(itertools.cycle(["heat", "own"]), all_models(), strict=False):
        made = Detector(model, CARD, score)
        normal = model.detect(GOOD[:12])
        made.calibrate_on(normal, false_alarm_rate=0.2)
        found, heat = made.examine(IMAGES)
        expected = heat.max(axis=(1, 2)) if score == "heat" else model.detect(IMAGES).scores
        np.testing.assert_array_equal(found.scores, expected)
        made.save(tmp_path / "part.keras")
        loaded = load_model(tmp_path / "part.keras")
        again, heat_again = loaded.examine(IMAGES)
        for mine, other in zip((*found, heat), (*again, heat_again), strict=True):
            np.testing.assert_array_equal(mine, other)
        assert (loaded.card, loaded.thresholds) == (CARD, made.thresholds)
        assert (loaded.resize, loaded.threshold) == ("letterbox", made.thresholds["quantile"])
        np.testing.assert_array_equal(loaded.normal_scores, made.normal_scores)
        np.testing.assert_array_equal(loaded.is_anomaly(IMAGES), found.scores >= made.threshold)


def test_one_call_answers_as_examine_does(detector):
    found, heat = detector.examine(IMAGES)
    answer = {name: np.asarray(value) for name, value in detector(IMAGES).items()}
    np.testing.assert_allclose(answer["score"], found.scores, rtol=1e-4)
    np.testing.assert_allclose(answer["heat_map"], heat, atol=1e-4)
    np.testing.assert_allclose(answer["residual"], found.residuals, atol=1e-3)
    assert np.abs(answer["reconstruction"] - found.reconstructions).max() <= 0.51


def test_the_heat_map_is_that_of_the_formula(ganomaly, detector):
    def smooth(of):
        maps = of.astype("float64").mean(axis=-1)
        return ndimage.gaussian_filter(maps, (0, 1, 1), mode="constant", truncate=3)

    def deviation(maps):
        found = maps.std(axis=0, ddof=1)
        return np.maximum(found, max(np.median(found), 1.0))

    normal = smooth(ganomaly.detect(GOOD[30:]).residuals)
    left_out = []
    for index, one in enumerate(normal):
        others = np.delete(normal, index, axis=0)
        left_out.append(((one - others.mean(axis=0)) / deviation(others)).max())
    np.testing.assert_allclose(_highest_left_out(normal), left_out)
    unit = quantile_threshold(left_out, 0.1)
    found, heat = detector.examine(IMAGES)
    z = (smooth(found.residuals) - normal.mean(axis=0)) / deviation(normal)
    np.testing.assert_allclose(heat, np.maximum(z / unit, 0), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(detector.threshold, 1, rtol=1e-6)


def test_the_models_own_score_has_its_own_threshold(ganomaly):
    made = Detector(ganomaly, score="own")
    assert made.threshold is None
    normal = ganomaly.detect(GOOD[30:])
    made.calibrate_on(normal, false_alarm_rate=0.1)
    assert made.threshold == quantile_threshold(normal.scores, 0.1)
    np.testing.assert_array_equal(made.normal_scores, np.sort(normal.scores))


def test_as_many_normal_images_are_hot_anywhere_as_were_allowed():
    shares = []
    for seed in range(4):
        fresh = calibrated_on(residuals(60, seed), 0.1).heat_maps(residuals(200, 100 + seed))
        shares.append((fresh.max(axis=(1, 2)) >= 1).mean())
    assert 0.05 < np.mean(shares) < 0.16, shares


def test_a_defect_is_hot_where_it_is_and_an_edge_that_is_never_rebuilt_is_not():
    (one,) = residuals(1, 7)
    defect = one.copy()
    defect[20:24, 20:24] += 60  # to grey levels that are usual at the top
    heat = calibrated_on(residuals(60, 0), 0.05).heat_maps(np.stack([one, defect]))
    assert heat[0].max() < 1 < heat[1].max()
    assert np.hypot(*(np.array(np.unravel_index(heat[1].argmax(), (32, 32))) - 21.5)) < 3


def test_where_normal_images_never_differ_nothing_is_hot():
    normal, fresh = residuals(30, 0), residuals(1, 9)
    normal[:, :8], fresh[:, :8] = 0.0, 0.02  # the bars of a letterbox
    assert calibrated_on(normal, 0.05).heat_maps(fresh)[0, :2].max() < 0.01
    assert (_floored(np.zeros((3, 3))) == 1).all()


def test_above_is_the_share_of_held_out_normals_with_a_lower_score(detector):
    normal = detector.normal_scores
    assert len(normal) == 30 and (np.diff(normal) >= 0).all()
    np.testing.assert_allclose(
        detector.above([normal[0] - 1, normal[6], normal[-1] + 1]), [0, 6 / 30, 1]
    )


def test_mistakes_are_refused(ganomaly):
    made = Detector(ganomaly)
    with pytest.raises(GanlibError, match="19 normal images"):
        made.calibrate_on(ganomaly.detect(GOOD[:10]), false_alarm_rate=0.05)
    assert made.thresholds is None and not len(made.normal_scores)
    with pytest.raises(GanlibError, match="choose heat"):
        Detector(ganomaly, score="l1")
