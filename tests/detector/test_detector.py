"""The detector that is handed on: threshold, heat maps and card travel with the networks."""

import keras
import numpy as np
import pytest
from scipy import ndimage

from ganlib.detector.detector import Detector, _floored, _highest_left_out
from ganlib.detector.load import load_model
from ganlib.errors import GanlibError
from ganlib.evaluation import quantile_threshold
from ganlib.models.detection import Detection
from ganlib.models.ganomaly import GANomaly

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (50, 32, 32, 3), dtype="uint8")


def residuals(n, seed, level=20.0):
    """Draw residuals that are high at the left, where nothing is ever rebuilt well."""
    noise = np.random.default_rng(seed).gamma(2.0, level / 2, (n, 32, 32, 1))
    return (noise * np.linspace(3, 1, 32)[:, np.newaxis]).astype("float32")


def detection(of):
    scores = of.mean(axis=(1, 2, 3)).astype("float32")
    return Detection(scores, np.zeros(of.shape, "uint8"), of)


@pytest.fixture(scope="module")
def ganomaly():
    keras.utils.set_random_seed(0)
    model = GANomaly(32, 3, 6, 4)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(IMAGES[:16], batch_size=8, verbose=0)
    return model


@pytest.fixture(params=["heat", "latent"])
def either(ganomaly, request):
    made = Detector(ganomaly, {"images": "drawn", "counts": [16, 24]}, request.param)
    made.calibrate_on(ganomaly.detect(IMAGES[16:40]), false_alarm_rate=0.1)
    return made


@pytest.fixture
def detector(ganomaly):
    made = Detector(ganomaly, card={"images": "drawn", "counts": [16, 24]})
    made.calibrate_on(ganomaly.detect(IMAGES[16:40]), false_alarm_rate=0.1)
    return made


def test_it_answers_as_its_ganomaly_does(ganomaly):
    expected = ganomaly.detect(IMAGES)
    found = Detector(ganomaly, score="latent").detect(IMAGES)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    np.testing.assert_allclose(found.residuals, expected.residuals, atol=1e-3)
    assert np.abs(found.reconstructions.astype(int) - expected.reconstructions).max() <= 1


def test_the_heat_map_is_that_of_the_formula(ganomaly, detector):
    def smooth(of):
        maps = of.astype("float64").mean(axis=-1)
        return ndimage.gaussian_filter(maps, (0, 1, 1), mode="constant", truncate=3)

    normal = smooth(ganomaly.detect(IMAGES[16:40]).residuals)
    deviation = normal.std(axis=0, ddof=1)
    deviation = np.maximum(deviation, max(np.median(deviation), 1.0))
    found, heat = detector.examine(IMAGES[40:])
    z = (smooth(found.residuals) - normal.mean(axis=0)) / deviation
    left_out = []
    for index, one in enumerate(normal):
        others = np.delete(normal, index, axis=0)
        spread = others.std(axis=0, ddof=1)
        spread = np.maximum(spread, max(np.median(spread), 1.0))
        left_out.append(((one - others.mean(axis=0)) / spread).max())
    expected = np.maximum(z / quantile_threshold(left_out, 0.1), 0)
    np.testing.assert_allclose(heat, expected, rtol=2e-4, atol=1e-4)
    np.testing.assert_allclose(detector.heat_maps(found.residuals), heat, atol=1e-5)


def test_an_image_is_an_anomaly_if_a_place_of_it_is_hot(detector):
    found, heat = detector.examine(IMAGES)
    np.testing.assert_array_equal(found.scores, heat.max(axis=(1, 2)))
    np.testing.assert_allclose(detector.thresholds["quantile"], 1, rtol=1e-6)
    hot = (heat >= detector.thresholds["quantile"]).any(axis=(1, 2))
    np.testing.assert_array_equal(detector.is_anomaly(IMAGES), hot)


def test_its_threshold_is_the_quantile_and_none_before_calibration(ganomaly, detector):
    assert detector.threshold == detector.thresholds["quantile"]
    assert Detector(ganomaly).threshold is None


def test_the_latent_score_has_its_own_threshold(ganomaly):
    made = Detector(ganomaly, score="latent")
    normal = ganomaly.detect(IMAGES[16:40])
    made.calibrate_on(normal, false_alarm_rate=0.1)
    assert made.thresholds["quantile"] == quantile_threshold(normal.scores, 0.1)
    np.testing.assert_array_equal(made.normal_scores, np.sort(normal.scores))
    with pytest.raises(GanlibError, match="choose heat"):
        Detector(ganomaly, score="l1")


def test_leaving_one_out_by_formula_is_leaving_one_out():
    maps = RANDOM.random((12, 5, 5)) * 50
    expected = []
    for index, one in enumerate(maps):
        others = np.delete(maps, index, axis=0)
        z = (one - others.mean(axis=0)) / _floored(others.std(axis=0, ddof=1))
        expected.append(z.max())
    np.testing.assert_allclose(_highest_left_out(maps), expected)


def test_as_many_normal_images_are_hot_anywhere_as_were_allowed(ganomaly):
    grey = GANomaly(32, 1, 6, 4)
    shares = []
    for seed in range(6):
        made = Detector(grey)
        made.calibrate_on(detection(residuals(60, seed)), false_alarm_rate=0.1)
        fresh = made.heat_maps(residuals(200, 100 + seed))
        shares.append((fresh.max(axis=(1, 2)) >= 1).mean())
    assert 0.05 < np.mean(shares) < 0.16, shares


def test_a_defect_is_hot_where_it_is_and_an_edge_that_is_never_rebuilt_is_not():
    made = Detector(GANomaly(32, 1, 6, 4))
    made.calibrate_on(detection(residuals(60, 0)), false_alarm_rate=0.05)
    (one,) = residuals(1, 7)
    defect = one.copy()
    defect[20:24, 20:24] += 60  # to grey levels that are usual at the left
    heat = made.heat_maps(np.stack([one, defect]))
    assert heat[0].max() < 1 < heat[1].max()
    assert np.hypot(*(np.array(np.unravel_index(heat[1].argmax(), (32, 32))) - 21.5)) < 3


def test_where_normal_images_never_differ_nothing_is_hot():
    of = residuals(30, 0)
    of[:, :8] = 0.0  # the bars of a letterbox
    made = Detector(GANomaly(32, 1, 6, 4))
    made.calibrate_on(detection(of), false_alarm_rate=0.05)
    fresh = residuals(1, 9)
    fresh[:, :8] = 0.02
    assert made.heat_maps(fresh)[0, :2].max() < 0.01  # a floor of 1 keeps 0.02 from being much


def test_a_saved_detector_gives_the_same_verdicts(either, tmp_path):
    detector, limit = either, either.thresholds["quantile"]
    detector.save(tmp_path / "bottle.keras")
    opened = load_model(tmp_path / "bottle.keras")
    (before, heat), (after, heat_after) = detector.examine(IMAGES), opened.examine(IMAGES)
    np.testing.assert_array_equal(before.scores, after.scores)
    np.testing.assert_array_equal(heat, heat_after)
    np.testing.assert_array_equal(opened.is_anomaly(IMAGES), after.scores >= limit)
    assert opened.card == {"images": "drawn", "counts": [16, 24]}
    assert opened.thresholds == detector.thresholds
    np.testing.assert_array_equal(opened.normal_scores, detector.normal_scores)


def test_scores_and_heat_do_not_depend_on_the_company(detector):
    scores, heat = detector.examine(IMAGES)
    alone, heat_alone = detector.examine(IMAGES[45:46])
    np.testing.assert_array_equal(alone.scores, scores.scores[45:46])
    np.testing.assert_array_equal(heat_alone, heat[45:46])


def test_training_the_original_on_changes_no_detector(ganomaly, detector):
    before = detector.detect(IMAGES[:4]).scores
    kept = ganomaly.get_weights()
    ganomaly.fit(IMAGES[:16], batch_size=8, verbose=0)
    np.testing.assert_array_equal(detector.detect(IMAGES[:4]).scores, before)
    ganomaly.set_weights(kept)


def test_above_is_the_share_of_held_out_normals_with_a_lower_score(detector):
    normal = detector.normal_scores
    assert len(normal) == 24 and (np.diff(normal) >= 0).all()
    asked = [normal[0] - 1, normal[6], normal[-1] + 1]
    np.testing.assert_allclose(detector.above(asked), [0, 6 / 24, 1])


def test_too_few_normal_images_for_the_rate_are_refused(ganomaly):
    made = Detector(ganomaly)
    with pytest.raises(GanlibError, match="19 normal images"):
        made.calibrate_on(ganomaly.detect(IMAGES[:10]), false_alarm_rate=0.05)
    assert made.thresholds is None and not len(made.normal_scores)
