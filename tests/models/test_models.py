"""What must hold of every model, whatever it is trained on."""

import keras
import numpy as np
import pytest
from keras import ops
from refusals import refused
from tiny import (
    SIZES,
    assert_answers_as_a_detector,
    assert_equal,
    build,
    fit,
    gradients,
    lesson,
    load,
    moved,
    some_images,
    trained,
    values,
)

from ganlib.errors import GanlibError
from ganlib.models import (
    DCGAN,
    METHODS,
    AnoGAN,
    Autoencoder,
    FAnoGAN,
    GANomaly,
    GRDNet,
    Segmentator,
)
from ganlib.models.base import construct, scale

NETWORKS = {"encoder", "decoder", "generator", "encoder2", "discriminator", "segmentator"}
# what is trained -> the networks that learn, the terms of the loss and their weights
LEARNERS = {
    DCGAN: ({"generator", "discriminator"}, {"generator": 1, "discriminator": 1}),
    GANomaly: (
        {"encoder", "decoder", "encoder2", "discriminator"},
        {"adversarial": 1, "contextual": 50, "encoder": 1, "discriminator": 1},
    ),
    GRDNet: (
        {"encoder", "decoder", "encoder2", "discriminator", "segmentator"},
        dict.fromkeys(("adversarial", "encoder", "structure", "discriminator", "segmentation"), 1)
        | {"contextual": 50},
    ),
    Segmentator: ({"segmentator"}, {"segmentation": 1}),
    Autoencoder: ({"encoder", "decoder"}, {"contextual": 1}),
    FAnoGAN: ({"encoder"}, {"encoder": 1}),
}


@pytest.mark.parametrize("cls", LEARNERS)
def test_a_step_moves_what_learns_and_reports_each_term(cls):
    learning, weights = LEARNERS[cls]
    options = {"channels": 3}  # elsewhere 1
    if cls is FAnoGAN:
        options = {"dcgan": build(DCGAN, **options)}
    model = build(cls, **options)
    networks = {name: getattr(model, name) for name in NETWORKS if hasattr(model, name)}
    before = {name: values(network.weights) for name, network in networks.items()}
    history = fit(model, some_images(channels=3), batch_size=12, run_eagerly=True).history
    for name, network in networks.items():
        moves = moved(before[name], values(network.weights))
        assert all(moves) if name in learning else not any(moves), name
    learnt = sum(len(networks[name].trainable_variables) for name in learning)
    assert len(model.trainable_variables) == learnt
    assert set(history) == {"loss", *(f"{term}_loss" for term in weights)}
    total = sum(weight * history[f"{term}_loss"][0] for term, weight in weights.items())
    assert history["loss"][0] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(
    ("cls", "term", "network"),
    [
        (DCGAN, "discriminator", "discriminator"),
        (GANomaly, "discriminator", "discriminator"),
        (GRDNet, "discriminator", "discriminator"),
        (GRDNet, "segmentation", "segmentator"),
    ],
)
def test_each_network_gets_the_gradient_of_its_own_loss_only(cls, term, network):
    model = build(cls)
    images, targets = lesson(model, some_images(4))
    images = ops.convert_to_tensor(images)
    own = {id(variable) for variable in getattr(model, network).trainable_variables}
    weights = model.term_weights
    for silent in ({term}, set(weights) - {term}):
        model.term_weights = {name: weights[name] * (name not in silent) for name in weights}
        found = gradients(
            lambda: model.compute_loss(images, targets, model(images, training=True)),
            model.trainable_variables,
        )
        for variable, gradient in zip(model.trainable_variables, found, strict=True):
            learns = float(ops.max(ops.abs(gradient))) > 0
            assert learns == ((id(variable) in own) != (term in silent))


@pytest.mark.parametrize(("cls", "traces"), [(DCGAN, 3), (GANomaly, 1)])
def test_a_compiled_step_judges_by_the_discriminator_as_it_was_before(cls, traces):
    """Whether the frozen call read new weights once depended on the trace, so several are made."""
    model, images = build(cls), some_images(4)
    start = values(model.variables)
    batch = ops.convert_to_tensor(images)
    expected = float(model.compute_loss(batch, y_pred=model(batch, training=True)))
    for _ in range(traces):
        for variable, value in zip(model.variables, start, strict=True):
            variable.assign(value)
        model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
        assert model.train_on_batch(images)[0] == pytest.approx(expected, rel=1e-5)


def test_equal_seeds_give_equal_weights_and_a_training_is_traced_once(monkeypatch):
    cls, traces, compute_loss = DCGAN, [], DCGAN.compute_loss
    monkeypatch.setattr(
        cls, "compute_loss", lambda self, *a, **k: traces.append(1) or compute_loss(self, *a, **k)
    )
    first, second = (trained(cls, seed=1, run_eagerly=False) for _ in range(2))
    assert len(traces) == 2
    assert_equal(values(first.variables), values(second.variables))
    other = build(cls, seed=2).trainable_variables[0]
    assert not np.array_equal(values([other]), values(first.trainable_variables[:1]))


def test_the_terms_of_ganomaly_compare_what_they_should():
    model, x = build(GANomaly), ops.convert_to_tensor(scale(some_images(4)))
    outputs = model.forward(x, training=True)
    terms = {name: float(value) for name, value in model.terms(x, outputs).items()}
    y, z, z_hat = map(np.asarray, outputs.values())
    f_x, real = map(np.asarray, model.discriminator(x, training=True))
    f_y, fake = map(np.asarray, model.discriminator(y, training=True))
    expected = {
        "adversarial": ((f_x - f_y) ** 2).mean(),
        "contextual": np.abs(x - y).mean(),
        "encoder": ((z - z_hat) ** 2).mean(),
        "discriminator": np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(fake)).mean(),
    }
    assert terms == pytest.approx(expected, rel=1e-4)


def squares(model, x, z, y):
    """Compute the score of f-AnoGAN's authors."""
    f, f_hat = (np.asarray(model.discriminator(each, training=False)[0]) for each in (x, y))
    return ((x - y) ** 2).mean((1, 2, 3)) + 0.3 * ((f - f_hat) ** 2).mean((1, 2, 3))


@pytest.mark.parametrize(
    ("cls", "options", "equation"),
    [
        (GANomaly, {}, lambda m, x, z, y: np.abs(z - m.encoder2(y)).sum(1)),
        (GANomaly, {"score": "l2"}, lambda m, x, z, y: np.square(z - m.encoder2(y)).mean(1)),
        (Autoencoder, {"channels": 3}, lambda m, x, z, y: 127.5 * np.abs(x - y).mean((1, 2, 3))),
        (FAnoGAN, {"kappa": 0.3}, squares),
    ],
)
def test_scores_are_their_equation_for_pixels_scaled_once(cls, options, equation):
    images = some_images(5, options.get("channels", 1), seed=5)
    model = trained(cls, images, **options)
    x = images.astype("float32") / 127.5 - 1
    z = np.asarray(model.encoder(x, training=False))
    make = model.generator if cls is FAnoGAN else model.decoder
    y = np.asarray(make(z, training=False))
    detection = model.detect(images)
    np.testing.assert_allclose(detection.scores, equation(model, x, z, y), rtol=1e-3)
    np.testing.assert_allclose(detection.residuals, 127.5 * np.abs(x - y), atol=1e-3)
    assert_answers_as_a_detector(detection, images)
    if len(model.term_weights) == 1:  # the loss is the mean score, but for its unit
        loss = float(model.compute_loss(images, y_pred=model(images)))
        unit = 127.5 if cls is Autoencoder else 1
        assert loss == pytest.approx(detection.scores.mean() / unit, rel=1e-4)


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (AnoGAN, {"discrimination_weight": 0.4, "seed": 7, "steps": 4, "encoder": FAnoGAN}),
        (FAnoGAN, {"kappa": 2.0}),
        (GANomaly, {"score": "l2", "negative_slope": 0.3}),
        (Autoencoder, {}),
    ],
)
def test_a_saved_model_gives_one_image_alone_the_same_verdict(cls, options, tmp_path):
    options = {k: trained(value) if value is FAnoGAN else value for k, value in options.items()}
    model = trained(cls, **options)
    images = some_images(20, seed=21)
    refused("call calibrate", model.is_anomaly, images)
    model.calibrate(model.detect(some_images(30, seed=20)).scores, 0.2, deviations=1.5)
    model.save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    detection = model.detect(images)
    assert_answers_as_a_detector(detection, images)
    assert_equal(loaded.detect(images), detection)
    seen = set()
    for rule, threshold in loaded.thresholds.items():
        together = loaded.is_anomaly(images, rule)
        np.testing.assert_array_equal(together, detection.scores >= threshold)
        assert loaded.is_anomaly(images[3:4], rule) == together[3:4]
        seen |= set(together.tolist())
    assert len(loaded.thresholds) == 3
    assert seen == {False, True}
    with pytest.raises(GanlibError, match="'oracle': choose one of quantile, deviations, tail"):
        loaded.is_anomaly(images, "oracle")
    loaded.thresholds = {"quantile": float(detection.scores[1])}
    assert loaded.is_anomaly(images)[1]  # at the threshold is an alarm


def test_only_registered_models_with_known_options_are_constructed():
    """Of a file: see test_loading."""
    refused("'l3'", build, GANomaly, score="l3")
    with pytest.raises(GanlibError, match="GANLIB_MODELS"):
        construct("ganlib>FAnoGAN", {"dcgan": {"registered_name": "Dense", "config": {}}})


def test_a_method_trains_its_models_one_after_the_other():
    for cls in (AnoGAN, FAnoGAN, GANomaly, Autoencoder):
        seen, first = [], [DCGAN] * issubclass(cls, AnoGAN | FAnoGAN)
        model = METHODS[cls.method].train(seen.append, **SIZES)
        assert list(map(type, seen)) == first + [cls] * (cls is not AnoGAN)
        assert (type(model), model.image_size, model.channels) == (cls, 32, 1)
