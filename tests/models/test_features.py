"""Detectors of pretrained features; with random weights where ImageNet's do not lie beside."""

from pathlib import Path

import keras
import numpy as np
import pytest
from refusals import refused
from sklearn.covariance import LedoitWolf
from tiny import SIZES, assert_equal, load, some_images

from ganlib.data.synthetic import casting_images
from ganlib.errors import GanlibError
from ganlib.models import Gaussian, PatchCore, features
from ganlib.models.base import scale
from ganlib.models.orientation import any_orientation
from ganlib.models.patchcore import k_centre

SIZE = 96
WEIGHTS = Path(__file__).parents[3] / "shared" / "weights" / "mobilenet_v2_to_block_12.weights.h5"


def learnt(cls, images, **options):
    keras.utils.set_random_seed(0)
    model = cls(images.shape[1], images.shape[3], **options)
    model.adapt(images)
    return model


def test_the_bank_is_chosen_greedily():
    points = np.random.default_rng(0).normal(size=(200, 5))
    expected = [0]
    while len(expected) < 50:
        nearest = [min(np.linalg.norm(point - points[i]) for i in expected) for point in points]
        expected.append(int(np.argmax(nearest)))
    assert k_centre(points, 50).tolist() == expected


def test_a_defect_is_found_at_its_place_and_rebuilt_from_good_patches():
    known, good = (100 + some_images(10, seed=seed, size=SIZE) // 8 for seed in (0, 1))
    model = learnt(PatchCore, known, turns=False)
    for top, left in ((60, 12), (0, 76)):
        bad = good.copy()
        bad[:, top : top + 12, left : left + 12] = 255
        before, found = model.detect(good), model.detect(bad)
        assert found.scores.min() > 1.5 * before.scores.max()
        for score, residual in zip(found.scores, found.residuals[..., 0], strict=True):
            hottest = np.unravel_index(residual.argmax(), residual.shape)
            assert np.abs(np.subtract(hottest, (top + 6, left + 6))).max() <= 16
            assert score == residual.max()
        assert found.reconstructions.min() >= 100 and found.reconstructions.max() < 132
    itself = model.detect(known)  # all of its patches are in the bank
    np.testing.assert_allclose(itself.residuals, 0, atol=0.02 * found.scores.min())
    np.testing.assert_array_equal(itself.reconstructions, known)


def test_what_all_places_add_up_to_is_the_distance_of_the_gaussian():
    good, images = some_images(40, size=SIZE), some_images(3, seed=1, size=SIZE)
    images[0, 8:50, 8:50] = 255
    model = learnt(Gaussian, good)
    means, found = (
        np.mean(model.extractor(scale(each)), axis=(1, 2)).astype("float64") / model.deviation
        for each in (good, images)
    )
    scores = model.detect(images).scores
    np.testing.assert_allclose(scores, LedoitWolf().fit(means).mahalanobis(found), rtol=1e-3)
    assert scores.argmax() == 0


@pytest.mark.parametrize("cls", [PatchCore, Gaussian])
def test_a_loaded_detector_needs_no_weights_and_gives_the_same_scores(cls, tmp_path):
    model = learnt(cls, some_images(3, 3, size=64), weights_digest="0123")
    model.save(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").stat().st_size < 12e6
    loaded = load(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert loaded.about == model.about and loaded.about["weights_digest"] == "0123"
    images = some_images(3, 3, seed=1, size=64)
    assert_equal(loaded.detect(images), model.detect(images))


def test_weights_come_from_a_file_of_the_whole_network_or_of_its_part(tmp_path, monkeypatch):
    files = {name: tmp_path / f"{name}.weights.h5" for name in ("whole", "part", "wrong", "absent")}
    cut, whole = features.backbone("MobileNetV2", 64)
    whole.save_weights(files["whole"])
    keras.Model(cut.input, cut.outputs[-1]).save_weights(files["part"])
    files["wrong"].write_text("no weights")
    digests = set()
    for name, file in files.items():
        monkeypatch.setenv("GANLIB_WEIGHTS", str(file))
        if name in ("whole", "part"):
            model = Gaussian.train(id, **{**SIZES, "image_size": 96})  # of another size
            digests.add(model.about["weights_digest"])
            found = model.extractor.get_layer("backbone").get_weights()
            assert_equal(found, cut.get_weights())
        else:
            with pytest.raises(GanlibError, match=rf"^.*{name}\.weights\.h5 .*GANLIB_WEIGHTS.*$"):
                features.load_imagenet(cut, "MobileNetV2")
    assert len(digests) == 1
    monkeypatch.delenv("GANLIB_WEIGHTS")
    monkeypatch.setattr(keras.applications, "MobileNetV2", lambda **_: 1 / 0)
    refused(r"cannot be downloaded .*GANLIB_WEIGHTS", features.load_imagenet, cut, "MobileNetV2")
    for wrong in (("resnet", 64), ("NoSuchNet", 64), ("MobileNetV2", 100)):
        refused(r"ResNet50.*a multiple of 32", features.backbone, *wrong)


def test_orientation_is_arbitrary_where_turned_images_look_like_others():
    assert any_orientation(casting_images(["normal"] * 60, 0, SIZE))
    stripes = (np.arange(SIZE) % 24 < 12).astype("uint8")[:, None, None]
    upright = some_images(30, size=SIZE) // 4 + 50 * stripes
    light = np.linspace(0, 99, SIZE, dtype="uint8")[:, None, None]
    assert not any_orientation(upright)
    turned = np.stack([np.rot90(image, i % 4) for i, image in enumerate(upright)])
    assert any_orientation(turned) and any_orientation(turned + light)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="ImageNet's weights do not lie beside")
def test_with_the_weights_of_imagenet_defects_score_higher():
    good, bad = casting_images(["normal"] * 24, 0, 128), casting_images(["dent"] * 8, 0, 128)
    sizes = {"image_size": 128, "channels": 1, "bank_size": 500}
    model = PatchCore.train(lambda model: model.adapt(good[:16]), str(WEIGHTS), **sizes)
    assert model.about["weights_digest"] == "53a79cd1f105"
    assert np.median(model.detect(bad).scores) > np.median(model.detect(good[16:]).scores)
