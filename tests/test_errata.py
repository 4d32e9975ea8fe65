"""The bugs of the published notebooks are there when chosen, and only then."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops
from sklearn.metrics import roc_auc_score
from tiny import SIZES, dcgan, fit, gradients, moved, some_images, values

from ganlib import errata, evaluation
from ganlib.models import AnoGAN, GANomaly
from ganlib.models.base import scale

OPTIONS = {"steps": 12, "learning_rate": 0.1, "batch_size": 4}
SEARCH = {"fresh_search": False, "prior": "uniform"}
NETWORK = {"second_encoder": False, "negative_slope": 0.3}


@pytest.mark.parametrize(
    ("dataset", "method", "bugs"),
    [
        ("casting", "AnoGAN", SEARCH),
        ("casting", "GANomaly", NETWORK),
        ("cloud", "AnoGAN", {**SEARCH, "half_range": 31.5}),
        ("cloud", "GANomaly", {**NETWORK, "half_range": 31.5}),
        ("screws", "GANomaly", NETWORK),  # what both published data sets have
        ("screws", "AnoGAN", SEARCH),
    ],
)
def test_published_and_corrected_differ_exactly_where_stated(dataset, method, bugs):
    bugs = {**bugs, "first_files": 100}
    presets = list(errata.presets(dataset, method).items())
    found = [
        {name: getattr(preset, name) for name in errata.differences(preset)}
        for _, preset in presets
    ]
    alone = sorted(({name: value} for name, value in bugs.items()), key=str)
    assert [name for name, _ in presets[:: len(presets) - 1]] == ["corrected", "published"]
    assert (found[0], sorted(found[1:-1], key=str), found[-1]) == ({}, alone, bugs)


def test_values_of_a_preset_reach_pixels_and_models():
    images = np.array([0, 31, 63, 255], "uint8").reshape(1, 2, 2, 1)
    cloud = errata.presets("cloud", "GANomaly")["pixels scaled by 31.5"]
    scaled = ops.convert_to_numpy(scale(errata.pixels(cloud, images)))
    np.testing.assert_allclose(scaled, (images.astype(float) - 31.5) / 31.5, atol=1e-5)
    assert errata.pixels(errata.CORRECTED, images) is images
    for prior, slope in (("uniform", 0.3), ("normal", 0.2)):
        preset = errata.Preset(prior=prior, negative_slope=slope)
        search = errata.anogan(preset, dcgan(), seed=3, **OPTIONS)
        assert (type(search), search.prior, search.seed) == (AnoGAN, prior, 3)
        assert (search.steps, search.batch_size, search.learning_rate) == (12, 4, 0.1)
        model = errata.ganomaly(preset, **SIZES)
        assert type(model) is GANomaly
        for network in (model.encoder, model.encoder2, model.discriminator):
            leaky = [x for x in network.layers if isinstance(x, keras.layers.LeakyReLU)]
            assert [x.negative_slope for x in leaky] == pytest.approx([slope] * 3)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_the_second_encoder_stays_as_drawn_and_is_left_out_of_the_score():
    images = some_images()
    model = errata.ganomaly(errata.Preset(second_encoder=False), **SIZES)
    before = values(model.trainable_variables)
    fit(model, images, run_eagerly=True)
    drawn = {id(variable) for variable in model.encoder2.trainable_variables}
    expected = [id(variable) not in drawn for variable in model.trainable_variables]
    assert moved(before, values(model.trainable_variables)) == expected
    z = model.encoder(scale(images), training=False)
    z_hat = model.encoder(model.decoder(z, training=False), training=False)
    expected = np.abs(ops.convert_to_numpy(z) - ops.convert_to_numpy(z_hat)).sum(axis=1)
    np.testing.assert_allclose(model.detect(images).scores, expected, rtol=1e-4)


def searched(images, chains=1, **bugs):
    return errata.anogan(errata.Preset(**bugs), dcgan(), chains, **OPTIONS).search(images)[0]


def test_each_chain_is_carried_by_itself_by_a_dense_layer_trained_by_adam():
    images = some_images(6)
    other = images.copy()
    other[0] = 255 - other[0]  # of chain 0: images 0, 2 and 4
    both, changed = (searched(each, chains=2, fresh_search=False) for each in (images, other))
    differ = [not np.allclose(a, b, atol=1e-6) for a, b in zip(both, changed, strict=True)]
    assert differ == [True, False, True, False, True, False]
    gan, image = dcgan(), some_images(1)
    model = errata.anogan(errata.Preset(fresh_search=False), gan, **OPTIONS)
    kernel = keras.Variable(ops.convert_to_numpy(model.kernel.value)[0])
    bias = keras.Variable(np.zeros(6, "float32"))
    limit = np.sqrt(6 / (6 + 6))
    assert 0.8 * limit < float(ops.max(ops.abs(kernel))) <= limit
    found, _ = model.search(image)
    first = ops.convert_to_tensor(model.latents)
    features, _ = gan.discriminator(scale(image), training=False)

    def objective():
        made = gan.generator(ops.matmul(first, kernel) + bias, training=False)
        made_features, _ = gan.discriminator(made, training=False)
        residual, discrimination = (
            ops.sum(ops.abs(difference))
            for difference in (scale(image) - made, features - made_features)
        )
        return 0.9 * residual + 0.1 * discrimination

    adam = keras.optimizers.Adam(1e-3)
    for _ in range(OPTIONS["steps"]):
        adam.apply(gradients(objective, [kernel, bias]), [kernel, bias])
    np.testing.assert_allclose(found, ops.matmul(first, kernel) + bias, atol=1e-4)


def test_a_preset_is_evaluated_in_pairs_or_on_its_first_files():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 80)
    files = [f"{n:03}.png" for n in random.permutation(160)]
    truth = pd.DataFrame({"label": labels, "file": files, "cluster": range(160)})
    corrected = random.normal(size=160) + labels
    worse = corrected + random.normal(size=160) * 0.5 - 0.5 * labels
    whole = errata.evaluate(truth, worse, corrected)
    expected = [roc_auc_score(labels, scores) for scores in (worse, corrected)]
    assert whole["auroc"] == pytest.approx(expected[0])
    assert whole["difference"] == pytest.approx(expected[0] - expected[1])
    paired = evaluation.paired_difference(labels, worse, corrected)
    assert (whole["difference_low"], whole["difference_high"]) == (paired["low"], paired["high"])
    few = errata.evaluate(truth, corrected, corrected, first_files=20)
    assert (few["n_test_normal"], few["n_test_anomaly"]) == (20, 20)
    named = truth.assign(score=corrected).sort_values("file").groupby("label").head(20)
    assert few["auroc"] == pytest.approx(roc_auc_score(named["label"], named["score"]))
    assert few["difference"] == pytest.approx(few["auroc"] - expected[1])
    width = few["auroc_high"] - few["auroc_low"]
    assert few["difference_high"] - few["difference_low"] == pytest.approx(width)
