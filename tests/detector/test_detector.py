"""The detector that is handed on: threshold, heat maps and card travel with any model."""

import functools
import itertools

import numpy as np
import pytest
from refusals import refused
from scipy import ndimage
from small import CARD, GOOD, SMALL
from test_choose import Edges

from ganlib.detector.detector import Detector, _floored
from ganlib.detector.load import load_model
from ganlib.evaluation import quantile_threshold
from ganlib.models import DCGAN, AnoGAN, Autoencoder, Detection, FAnoGAN, GANomaly

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 1), dtype="uint8")


def residuals(n, seed):
    """Draw residuals that are high at the top, where nothing is ever rebuilt well."""
    noise = np.random.default_rng(seed).gamma(2.0, 10.0, (n, 32, 32, 1))
    return (noise * np.linspace(3, 1, 32)[:, None, None]).astype("float32")


untrained = functools.cache(lambda: GANomaly(**SMALL))


def calibrated_on(normal, rate, usual=None, pictures=None, score="heat"):
    made = Detector(untrained(), score=score)
    usual = residuals(60, 99) if usual is None else usual
    scores = normal.mean(axis=(1, 2, 3))
    found = (Detection(scores, each.astype("uint8"), each) for each in (normal, usual))
    made.calibrate_on(next(found), rate, next(found), pictures)
    return made


def all_models():
    dcgan = DCGAN(**SMALL)
    yield from (GANomaly(**SMALL), Autoencoder(**SMALL), FAnoGAN(dcgan, 4))
    yield AnoGAN(dcgan, steps=2, batch_size=5)


def test_any_model_becomes_one_file_with_the_same_answers(tmp_path):
    for score, model in zip(itertools.cycle(["heat", "own"]), all_models(), strict=False):
        made = Detector(model, CARD, score)
        normal = model.detect(GOOD[:12])
        made.calibrate_on(normal, 0.2, model.detect(GOOD[12:20]))
        found, heat = made.examine(few := IMAGES[:5])
        expected = heat.max(axis=(1, 2)) if score == "heat" else model.detect(few).scores
        np.testing.assert_array_equal(found.scores, expected)
        made.save(tmp_path / "part.keras")
        loaded = load_model(tmp_path / "part.keras")
        again, heat_again = loaded.examine(few)
        for mine, other in zip((*found, heat), (*again, heat_again), strict=True):
            np.testing.assert_array_equal(mine, other)
        assert (loaded.card, loaded.thresholds) == (made.card, made.thresholds)
        assert (loaded.resize, loaded.threshold) == ("letterbox", made.thresholds["quantile"])
        np.testing.assert_array_equal(loaded.normal_scores, made.normal_scores)
        np.testing.assert_array_equal(loaded.is_anomaly(few), found.scores >= made.threshold)


def test_one_call_answers_as_examine_does_and_the_heat_map_by_the_formula(detector, ganomaly):
    found, heat = detector.examine(IMAGES)
    answer = {name: np.asarray(value) for name, value in detector(IMAGES).items()}
    np.testing.assert_allclose(answer["score"], found.scores, rtol=1e-4)
    np.testing.assert_allclose(answer["heat_map"], heat, atol=1e-4)
    np.testing.assert_allclose(answer["residual"], found.residuals, atol=1e-3)
    assert np.abs(answer["reconstruction"] - found.reconstructions).max() <= 0.51

    def smooth(of):
        maps = of.astype("float64").mean(axis=-1)
        return ndimage.gaussian_filter(maps, (0, 1, 1), mode="constant", truncate=3)

    def deviation(maps):
        found = maps.std(axis=0, ddof=1)
        return np.maximum(found, max(np.median(found), 1.0))

    usual = smooth(ganomaly.detect(GOOD[:30]).residuals)

    def peaks(residuals):
        return np.maximum((smooth(residuals) - usual.mean(axis=0)) / deviation(usual), 0)

    unit = quantile_threshold(peaks(ganomaly.detect(GOOD[30:]).residuals).max(axis=(1, 2)), 0.1)
    found, heat = detector.examine(IMAGES)
    np.testing.assert_allclose(heat, peaks(found.residuals) / unit, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(detector.threshold, 1, rtol=1e-6)


def test_held_out_images_are_scored_as_new_ones_and_the_unit_follows_the_rate(detector):
    """For 10 % of 31, with the new one, it lies between the third and fourth highest of the 30."""
    for rate, alarms in ((0.1, 3), (0.5, 15), (0.1, 3)):
        detector.set_rate(rate)
        found, heat = detector.examine(GOOD[30:])
        hot = heat.max(axis=(1, 2)) >= 1
        np.testing.assert_array_equal(hot, found.scores >= detector.threshold)
        assert hot.sum() == alarms
        np.testing.assert_array_equal(np.sort(found.scores), detector.normal_scores)
        assert detector.card["false_alarm_rate"] == rate
    normal = detector.normal_scores
    assert len(normal) == 30 and (np.diff(normal) >= 0).all()
    np.testing.assert_allclose(
        detector.above([normal[0] - 1, normal[6], normal[-1] + 1]), [0, 6 / 30, 1]
    )


def test_the_models_own_score_has_its_own_threshold_and_its_own_map_is_only_divided(ganomaly):
    made = Detector(ganomaly, score="own")
    assert made.threshold is None
    normal = ganomaly.detect(GOOD[30:])
    made.calibrate_on(normal, 0.1, ganomaly.detect(GOOD[:30]))
    assert made.threshold == quantile_threshold(normal.scores, 0.1)
    np.testing.assert_array_equal(made.normal_scores, np.sort(normal.scores))
    assert (made.examine(GOOD[30:])[1].max(axis=(1, 2)) >= 1).sum() == 3
    model = Edges(32, 1)  # its score is the highest of the map
    made, normal, new = Detector(model, score="own"), model.detect(GOOD[30:]), model.detect(IMAGES)
    made.calibrate_on(normal, 0.1)
    found, heat = made.examine(np.concatenate([IMAGES, GOOD[30:]]))
    np.testing.assert_allclose(heat[:20], new.residuals[..., 0] / made.threshold, rtol=1e-6)
    np.testing.assert_array_equal(found.scores[:20], new.scores)
    assert made.threshold == quantile_threshold(normal.scores, 0.1)
    np.testing.assert_array_equal(found.scores >= made.threshold, heat.max(axis=(1, 2)) >= 1)
    np.testing.assert_allclose(made(IMAGES)["heat_map"], heat[:20], rtol=1e-4, atol=1e-6)


def test_as_many_new_images_are_hot_as_were_allowed_and_of_copies_the_highest_counts():
    shares = []
    for seed in range(20):  # however little is known of what is usual
        made = calibrated_on(residuals(39, seed), 0.1, residuals(4, 200 + seed))
        fresh = made.heat_maps(residuals(60, 100 + seed))
        shares.append((fresh.max(axis=(1, 2)) >= 1).mean())
    assert 0.07 < np.mean(shares) < 0.13, shares
    normal = residuals(19, 0)
    copied, names = np.concatenate([normal, normal * 0.9]), [*range(19)] * 2
    once, twice = calibrated_on(normal, 0.1), calibrated_on(copied, 0.1, pictures=names)
    np.testing.assert_array_equal(once.normal_scores, twice.normal_scores)
    assert once.heat_unit == twice.heat_unit


@pytest.mark.parametrize("score", ["heat", "own"])
def test_one_odd_picture_is_named_and_does_not_set_the_threshold(score):
    normal, names = residuals(19, 0), [f"{number}.png" for number in range(19)]
    before = calibrated_on(normal, 0.05, pictures=names, score=score)
    assert before.card["notes"] == []
    normal[7] = 250.0
    made = calibrated_on(normal, 0.05, pictures=names, score=score)
    odd, few = made.card["notes"]
    assert odd.startswith("7.png would set the threshold, ") and "18 held-out" in few
    assert "only a rate of 10 % is promised" in odd
    assert made.card["false_alarm_rate"] == made.card["lowest_rate"] == pytest.approx(1 / 19)
    assert 0.7 < float(made.heat_unit) / float(before.heat_unit) <= 1
    assert 0.7 < made.threshold / before.threshold < 1.01


def test_a_defect_is_hot_where_it_is_and_an_edge_or_what_never_differs_is_not():
    (one,) = residuals(1, 7)
    defect = one.copy()
    defect[20:24, 20:24] += 60  # to grey levels that are usual at the top
    heat = calibrated_on(residuals(60, 0), 0.05).heat_maps(np.stack([one, defect]))
    assert heat[0].max() < 1 < heat[1].max()
    assert np.hypot(*(np.array(np.unravel_index(heat[1].argmax(), (32, 32))) - 21.5)) < 3
    normal, fresh = residuals(60, 0), residuals(1, 9)
    normal[:, :8], fresh[:, :8] = 0.0, 0.02  # the bars of a letterbox
    assert calibrated_on(normal[:30], 0.05, normal[30:]).heat_maps(fresh)[0, :2].max() < 0.01
    assert (_floored(np.zeros((3, 3))) == 1).all()


def test_mistakes_are_refused(ganomaly):
    made, normal = Detector(ganomaly), ganomaly.detect(GOOD[:10])
    made.calibrate_on(normal, 0.05, normal)
    assert made.card["notes"][0].endswith(
        "too few for a rate of 0.05: the threshold is set for 0.0909."
    )
    refused("19 normal images", made.set_rate, 0.05)
    refused("choose heat", Detector, ganomaly, score="l1")
