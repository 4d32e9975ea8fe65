"""The defects of the published notebooks are there when asked for, and only then."""

from dataclasses import fields

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops
from sklearn.metrics import roc_auc_score

from ganlib import errata, evaluation
from ganlib import settings as profiles
from ganlib.errors import GanlibError
from ganlib.models import pixels
from ganlib.models.dcgan import DCGAN

SETTINGS = profiles.settings(
    "smoke", "casting", latent_dim=6, filters=4, search_steps=12, search_batch_size=4
)
STATED = {
    ("casting", "AnoGAN"): {"fresh_search": False, "prior": "uniform", "first_files": 100},
    ("casting", "GANomaly"): {"second_encoder": False, "negative_slope": 0.3, "first_files": 100},
    ("cloud", "AnoGAN"): {
        "half_range": 31.5,
        "fresh_search": False,
        "prior": "uniform",
        "first_files": 100,
    },
    ("cloud", "GANomaly"): {
        "second_encoder": False,
        "half_range": 31.5,
        "negative_slope": 0.3,
        "first_files": 100,
    },
}


def some_images(n=12, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, channels), dtype="uint8")


@pytest.mark.parametrize(("dataset", "method"), STATED)
def test_published_and_corrected_differ_exactly_where_stated(dataset, method):
    listed = errata.presets(dataset, method)
    stated = STATED[dataset, method]
    assert next(iter(listed)) == "corrected"
    assert list(listed)[-1] == "published"
    assert {
        n: getattr(listed["published"], n) for n in errata.differences(listed["published"])
    } == (stated)
    alone = [
        {n: getattr(preset, n) for n in errata.differences(preset)}
        for name, preset in listed.items()
        if name not in ("corrected", "published")
    ]
    assert alone == [{name: value} for name, value in stated.items()]
    assert errata.differences(listed["corrected"]) == []


def test_every_value_of_a_preset_is_a_defect_of_some_method():
    named = {name for defects in errata.DEFECTS.values() for name in defects}
    assert named == {field.name for field in fields(errata.Preset)}


def test_notebooks_that_were_not_published_are_refused():
    with pytest.raises(GanlibError, match="no published notebooks of 'GANomaly' on 'screws'"):
        errata.presets("screws", "GANomaly")


def test_pixels_scaled_by_31_5_reach_7_1():
    images = np.array([0, 31, 63, 255], "uint8").reshape(1, 2, 2, 1)
    cloud = errata.presets("cloud", "GANomaly")["pixels scaled by 31.5"]
    scaled = ops.convert_to_numpy(pixels.scale(errata.pixels(cloud, images)))
    expected = (images.astype(float) - 31.5) / 31.5
    np.testing.assert_allclose(scaled, expected, atol=1e-5)
    assert errata.pixels(errata.CORRECTED, images) is images


def fitted(preset, images):
    keras.utils.set_random_seed(0)
    model = errata.ganomaly(preset, SETTINGS)
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
    before = [ops.convert_to_numpy(v.value) for v in model.trainable_variables]
    model.fit(images, batch_size=4, epochs=2, verbose=0)
    after = [ops.convert_to_numpy(v.value) for v in model.trainable_variables]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    return model, moved


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_the_second_encoder_stays_as_drawn_and_is_left_out_of_the_score():
    images = some_images()
    model, moved = fitted(errata.Preset(second_encoder=False), images)
    drawn = {id(variable) for variable in model.encoder2.trainable_variables}
    assert moved == [id(variable) not in drawn for variable in model.trainable_variables]
    scaled = pixels.scale(images)
    z = model.encoder(scaled, training=False)
    z_hat = model.encoder(model.decoder(z, training=False), training=False)
    expected = np.abs(ops.convert_to_numpy(z) - ops.convert_to_numpy(z_hat)).sum(axis=1)
    np.testing.assert_allclose(model.detect(images).scores, expected, rtol=1e-4)


def test_the_corrected_preset_is_ganomaly_itself():
    model, moved = fitted(errata.CORRECTED, some_images())
    assert type(model) is errata.GANomaly
    assert all(moved)


@pytest.mark.parametrize("slope", [0.2, 0.3])
def test_slope_is_that_of_every_leaky_relu_and_kept_on_saving(slope, tmp_path):
    model = errata.ganomaly(errata.Preset(negative_slope=slope), SETTINGS)
    model.save(tmp_path / "x.keras")
    for one in (model, keras.saving.load_model(tmp_path / "x.keras")):
        slopes = [
            layer.negative_slope
            for network in (one.encoder, one.encoder2, one.discriminator)
            for layer in network.layers
            if isinstance(layer, keras.layers.LeakyReLU)
        ]
        assert len(slopes) == 9
        assert slopes == pytest.approx([slope] * 9)


@pytest.fixture(scope="module")
def dcgan():
    keras.utils.set_random_seed(0)
    model = DCGAN(32, 1, 6, 4)
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
    model.fit(some_images(), batch_size=4, epochs=20, verbose=0)
    return model


def searched(dcgan, images, chains=1, **values):
    detector = errata.anogan(errata.Preset(**values), dcgan, SETTINGS, chains=chains)
    return detector.search(images)[0]


def test_a_carried_search_depends_on_the_images_before_and_a_fresh_one_does_not(dcgan):
    images = some_images(6)
    for fresh in (True, False):
        all_of_them = searched(dcgan, images, fresh_search=fresh)
        alone = searched(dcgan, images[-1:], fresh_search=fresh)
        same = np.allclose(all_of_them[-1:], alone, atol=1e-5)
        assert same is fresh


def test_each_chain_is_carried_for_itself(dcgan):
    images = some_images(6)
    both = searched(dcgan, images, chains=2, fresh_search=False)
    other = images.copy()
    other[0] = 255 - other[0]  # of chain 0: images 0, 2 and 4
    changed = searched(dcgan, other, chains=2, fresh_search=False)
    differ = [not np.allclose(a, b, atol=1e-6) for a, b in zip(both, changed, strict=True)]
    assert differ == [True, False, True, False, True, False]


def test_a_carried_search_is_a_dense_layer_trained_by_adam(dcgan):
    """One image, against z and Adam written by hand around the model's own loss."""
    import tensorflow as tf

    image = some_images(1)
    detector = errata.anogan(errata.Preset(fresh_search=False), dcgan, SETTINGS)
    kernel = tf.Variable(ops.convert_to_numpy(detector.kernel.value)[0])
    bias = tf.Variable(np.zeros(6, "float32"))
    limit = np.sqrt(6 / (6 + 6))
    assert np.abs(kernel.numpy()).max() <= limit
    assert np.abs(kernel.numpy()).max() > 0.8 * limit
    found, _ = detector.search(image)
    first = tf.constant(ops.convert_to_numpy(detector.latents.value))
    target = pixels.scale(image)
    features, _ = dcgan.discriminator(target, training=False)
    adam = keras.optimizers.Adam(1e-3)
    for _ in range(SETTINGS.search_steps):
        with tf.GradientTape() as tape:
            made = dcgan.generator(first @ kernel + bias, training=False)
            made_features, _ = dcgan.discriminator(made, training=False)
            loss = 0.9 * tf.reduce_sum(tf.abs(target - made)) + 0.1 * tf.reduce_sum(
                tf.abs(features - made_features)
            )
        adam.apply(tape.gradient(loss, [kernel, bias]), [kernel, bias])
    np.testing.assert_allclose(found, (first @ kernel + bias).numpy(), atol=1e-4)


def test_prior_of_the_search(dcgan):
    detector = errata.anogan(errata.Preset(prior="uniform"), dcgan, SETTINGS)
    detector.steps = 0
    z, _ = detector.search(some_images(12))
    assert z.min() >= 0
    assert z.max() <= 1
    detector = errata.anogan(errata.CORRECTED, dcgan, SETTINGS)
    detector.steps = 0
    z, _ = detector.search(some_images(12))
    assert z.min() < -0.5
    assert z.max() > 1


def test_a_preset_is_judged_in_pairs_or_on_its_first_files():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 80)
    files = [f"{n:03}.png" for n in random.permutation(160)]
    truth = pd.DataFrame({"label": labels, "file": files, "cluster": range(160)})
    corrected = random.normal(size=160) + labels
    worse = corrected + random.normal(size=160) * 0.5 - 0.5 * labels
    whole = errata.judge(truth, worse, corrected)
    expected = [roc_auc_score(labels, scores) for scores in (worse, corrected)]
    assert whole["auroc"] == pytest.approx(expected[0])
    assert whole["difference"] == pytest.approx(expected[0] - expected[1])
    paired = evaluation.paired_difference(labels, worse, corrected)
    assert (whole["difference_low"], whole["difference_high"]) == (paired["low"], paired["high"])
    few = errata.judge(truth, corrected, corrected, first_files=20)
    assert (few["n_test_normal"], few["n_test_anomaly"]) == (20, 20)
    named = truth.assign(score=corrected).sort_values("file").groupby("label").head(20)
    assert few["auroc"] == pytest.approx(roc_auc_score(named["label"], named["score"]))
    assert few["difference"] == pytest.approx(few["auroc"] - expected[1])
    assert few["difference_high"] - few["difference_low"] == pytest.approx(
        few["auroc_high"] - few["auroc_low"]
    )
