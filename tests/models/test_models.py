"""What must hold of every model whatever it is trained on."""

import keras
import numpy as np
import pytest
from detected import assert_answers_as_a_detector
from keras import ops

from ganlib.errors import GanlibError
from ganlib.models.anogan import AnoGAN
from ganlib.models.autoencoder import Autoencoder
from ganlib.models.dcgan import DCGAN
from ganlib.models.fanogan import FAnoGAN
from ganlib.models.ganomaly import GANomaly

SMALL = {"image_size": 32, "latent_dim": 6, "filters": 4}
GANS = [DCGAN, GANomaly]
MODELS = [*GANS, Autoencoder]


def some_images(n=12, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, channels), dtype="uint8")


def compiled(model_class, seed=0, learning_rate=1e-3, run_eagerly=False, **options):
    """Eagerly where a test is of what a step computes: compiling takes longer than a few steps."""
    keras.utils.set_random_seed(seed)
    model = model_class(**{**SMALL, "channels": 1, **options})
    model.compile(keras.optimizers.Adam(learning_rate, beta_1=0.5), run_eagerly=run_eagerly)
    return model


def trained(model_class, epochs=1, images=None, **options):
    model = compiled(model_class, **options)
    model.fit(some_images() if images is None else images, batch_size=4, epochs=epochs, verbose=0)
    return model


def values(variables):
    return [ops.convert_to_numpy(variable.value) for variable in variables]


@pytest.fixture(scope="module")
def dcgan():
    # Until the averages of its batch normalisation have settled, G makes the same of every z, and
    # nothing could be told from what a search finds.
    model = trained(DCGAN, epochs=20)
    made = model.generate(model.draw_latents(20)).astype(float)
    assert made.std(axis=0).mean() > 1
    return model


def searching(dcgan, **options):
    return AnoGAN(dcgan.generator, dcgan.discriminator, **{"steps": 15, "batch_size": 4, **options})


def encoding(dcgan, epochs=1, images=None, **options):
    keras.utils.set_random_seed(0)
    model = FAnoGAN(dcgan.generator, dcgan.discriminator, filters=4, **options)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(some_images() if images is None else images, batch_size=4, epochs=epochs, verbose=0)
    return model


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_trainable_variable_of_every_network_moves(model_class, channels):
    model = compiled(model_class, channels=channels, run_eagerly=True)
    before = values(model.trainable_variables)
    model.fit(some_images(channels=channels), batch_size=6, epochs=1, verbose=0)
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(before, values(model.trainable_variables), strict=True)
    ]
    networks = {
        DCGAN: ("generator", "discriminator"),
        GANomaly: ("encoder", "decoder", "encoder2", "discriminator"),
        Autoencoder: ("encoder", "decoder"),
    }
    assert all(moved)
    assert len(moved) == sum(
        len(getattr(model, name).trainable_variables) for name in networks[model_class]
    )


def gradients(model, loss, variables):
    """Gradients on the running backend, for tests alone: Keras has no call for it."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow

            with tensorflow.GradientTape() as tape:
                value = loss()
            return tape.gradient(value, [variable.value for variable in variables])
        case "torch":
            import torch

            return torch.autograd.grad(
                loss(), [variable.value for variable in variables], allow_unused=True
            )
    pytest.skip("gradients of single terms are looked at on TensorFlow and torch")


@pytest.mark.parametrize("model_class", GANS)
def test_each_network_gets_the_gradient_of_its_own_loss_only(model_class, monkeypatch):
    """Silence one side's losses: then the other side's variables alone have a gradient."""
    from ganlib.models import losses

    generator_terms = ["generator_loss", "adversarial_loss", "contextual_loss", "encoder_loss"]
    for silenced, moved_by in (
        (["discriminator_loss"], "generator"),
        (generator_terms, "discriminator"),
    ):
        model = compiled(model_class)
        images = ops.convert_to_tensor(some_images(4))
        with monkeypatch.context() as patch:
            for name in silenced:
                patch.setattr(losses, name, lambda *_: 0.0)

            def loss(model=model, images=images):
                return model.compute_loss(images, y_pred=model(images, training=True))

            found = gradients(model, loss, model.trainable_variables)
        for variable, gradient in zip(model.trainable_variables, found, strict=True):
            of_discriminator = any(variable is v for v in model.discriminator.trainable_variables)
            moved = gradient is not None and float(ops.max(ops.abs(gradient))) > 0
            assert moved == (of_discriminator == (moved_by == "discriminator")), variable.path


def test_the_weights_of_ganomalys_losses_are_the_papers():
    model = compiled(GANomaly)
    images = ops.convert_to_tensor(some_images(4))
    total = float(model.compute_loss(images, y_pred=model(images, training=True)))
    terms = {
        metric.name: float(metric.result()) for metric in model.metrics if metric.name != "loss"
    }
    expected = (
        terms["adversarial_loss"]
        + 50 * terms["contextual_loss"]
        + terms["encoder_loss"]
        + terms["discriminator_loss"]
    )
    assert total == pytest.approx(expected, rel=1e-5)


def test_one_optimizer_does_what_two_would():
    """DCGAN's step equals Adam by hand on each network's own gradient."""
    model = compiled(DCGAN, learning_rate=1e-3)
    images = ops.convert_to_tensor(some_images(4))
    state = ops.convert_to_numpy(model.seed_generator.state)
    found = gradients(
        model,
        lambda: model.compute_loss(images, y_pred=model(images, training=True)),
        model.trainable_variables,
    )
    model.seed_generator.state.assign(state)
    before = values(model.trainable_variables)
    model.train_on_batch(ops.convert_to_numpy(images))
    after = values(model.trainable_variables)
    epsilon = 1e-7 / np.sqrt(1 - 0.999)  # Keras adds it before the correction of the moments
    for new, old, gradient in zip(after, before, found, strict=True):
        gradient = ops.convert_to_numpy(gradient)
        expected = old - 1e-3 * gradient / (np.abs(gradient) + epsilon)  # Adam's first step
        large = np.abs(gradient) > 1e-4  # where rounding does not decide the sign
        np.testing.assert_allclose(new[large], expected[large], atol=2e-5)


@pytest.mark.parametrize("model_class", GANS)
def test_the_generator_learns_from_the_discriminator_as_it_was_before_the_step(model_class):
    """In a compiled step nothing makes the frozen call wait for, or precede, the optimiser.

    Whether it read new weights depended on the trace: several are compiled, and all must agree with
    the loss outside of training.
    """
    model = trained(model_class, epochs=20)
    images = some_images(4)
    start = values(model.variables)
    expected = ops.convert_to_numpy(
        model.compute_loss(
            ops.convert_to_tensor(images),
            y_pred=model(ops.convert_to_tensor(images), training=True),
        )
    )
    for _ in range(6):
        model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
        for variable, value in zip(model.variables, start, strict=True):
            variable.assign(value)
        loss = model.train_on_batch(images)[0]
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("model_class", [*MODELS, FAnoGAN])
def test_the_first_step_is_traced_once(model_class, dcgan, monkeypatch):
    """Not a second time because Adam's moments were made in the first."""
    traces = []
    compute_loss = model_class.compute_loss
    monkeypatch.setattr(
        model_class,
        "compute_loss",
        lambda self, *a, **k: traces.append(1) or compute_loss(self, *a, **k),
    )
    if model_class is FAnoGAN:
        encoding(dcgan)
    else:
        trained(model_class)
    assert len(traces) == 1


def test_discriminator_of_dcgan_sees_that_a_batch_is_all_alike(dcgan):
    """The features are of the single image, the logits of the image among its batch."""
    images = some_images(6).astype("float32") / 127.5 - 1
    alike = np.repeat(images[:1], 6, axis=0)
    features, logits = dcgan.discriminator.predict_on_batch(images)
    alike_features, alike_logits = dcgan.discriminator.predict_on_batch(alike)
    np.testing.assert_allclose(features[0], alike_features[0], rtol=1e-5, atol=1e-6)
    assert abs(logits[0] - alike_logits[0]) > 1e-4
    layer = next(x for x in dcgan.discriminator.layers if "minibatch" in x.name)
    values = np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype("float32")
    appended = ops.convert_to_numpy(layer(values))[..., 3]
    np.testing.assert_allclose(appended, values.std(axis=0).mean(), rtol=1e-4)


def test_losses_are_logged_by_name():
    expected = {
        Autoencoder: {"contextual_loss"},
        DCGAN: {"generator_loss", "discriminator_loss"},
        GANomaly: {"adversarial_loss", "contextual_loss", "encoder_loss", "discriminator_loss"},
    }
    for model_class, losses in expected.items():
        assert set(trained(model_class, run_eagerly=True).history.history) == {"loss", *losses}


@pytest.mark.parametrize(
    "make",
    [
        lambda d: searching(d),
        lambda d: encoding(d),
        lambda d: trained(GANomaly),
        lambda d: trained(Autoencoder),
    ],
)
def test_detection_is_of_one_shape_and_says_what_it_claims(make, dcgan):
    images = some_images(5, seed=3)
    assert_answers_as_a_detector(make(dcgan).detect(images), images)


def test_scaling_happens_once():
    """Networks see -1..1 for 0..255, and a saved model takes raw pixels."""
    model = trained(GANomaly, run_eagerly=True)
    images = some_images(4, seed=5)
    scaled = images.astype("float32") / 127.5 - 1
    z = model.encoder.predict(scaled, verbose=0)
    x_hat = model.decoder.predict(z, verbose=0)
    z_hat = model.encoder2.predict(x_hat, verbose=0)
    scores, reconstructions, residuals = model.detect(images)
    np.testing.assert_allclose(scores, np.abs(z - z_hat).sum(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(reconstructions, np.rint((x_hat + 1) * 127.5).astype("uint8"))
    np.testing.assert_allclose(residuals, 127.5 * np.abs(scaled - x_hat), atol=1e-3)


def test_anogan_scores_by_the_equation_at_the_z_it_found(dcgan):
    model = searching(dcgan, discrimination_weight=0.3)
    images = some_images(6, seed=5)
    latents, _ = model.search(images)
    detection = model.score(images, latents)
    scaled = images.astype("float32") / 127.5 - 1
    made = dcgan.generator.predict(latents, verbose=0)
    f_image, _ = dcgan.discriminator.predict(scaled, verbose=0)
    f_made, _ = dcgan.discriminator.predict(made, verbose=0)
    residual = np.abs(scaled - made).sum(axis=(1, 2, 3))
    discrimination = np.abs(f_image - f_made).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(detection.scores, 0.7 * residual + 0.3 * discrimination, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_autoencoder_scores_how_badly_an_image_is_rebuilt(channels):
    images = some_images(8, channels, seed=5)
    model = trained(Autoencoder, images=images, channels=channels, run_eagerly=True)
    z = model.encoder.predict(images.astype("float32") / 127.5 - 1, verbose=0)
    x_hat = (model.decoder.predict(z, verbose=0) + 1) * 127.5
    scores, reconstructions, residuals = model.detect(images)
    np.testing.assert_allclose(scores, np.abs(images - x_hat).mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_array_equal(reconstructions, np.rint(x_hat).astype("uint8"))
    np.testing.assert_allclose(residuals, np.abs(images - x_hat), atol=1e-3)
    loss = float(model.compute_loss(images, y_pred=x_hat / 127.5 - 1))
    assert loss == pytest.approx(scores.mean() / 127.5, rel=1e-5)


def test_autoencoder_learns_to_rebuild():
    images = np.repeat(some_images(4), 4, axis=0)
    before, after = (trained(Autoencoder, n, images).detect(images).scores for n in (2, 40))
    assert after.mean() < 0.9 * before.mean()


def test_authors_score_is_the_mean_square():
    paper, authors = (trained(GANomaly, score=s, run_eagerly=True) for s in ("l1", "l2"))
    images = some_images(4)
    _, z, z_hat = paper.predict(images, verbose=0)
    np.testing.assert_allclose(authors.detect(images).scores, ((z - z_hat) ** 2).mean(1), rtol=1e-4)
    with pytest.raises(GanlibError, match="'l3'"):
        GANomaly(**SMALL, channels=1, score="l3")


def test_the_search_is_that_of_one_image_at_a_time_step_by_step(dcgan):
    """Adam and the objective written out in NumPy; rounds, batches and the loop on the device."""
    images = some_images(5, seed=30)
    model = searching(dcgan, steps=12, round_steps=4, tolerance=1e-9, learning_rate=0.05)
    first, _ = searching(dcgan, steps=0).search(images)
    found, objectives = model.search(images, record_every=3)
    assert objectives.shape == (4, 5)
    for image, z, expected_z, recorded in zip(images, first, found, objectives.T, strict=True):
        x = ops.convert_to_tensor(image[None].astype("float32") / 127.5 - 1)
        f, _ = dcgan.discriminator(x, training=False)
        z, m, v = keras.Variable(z[None]), 0.0, 0.0
        for step in range(12):

            def objective(z=z, x=x, f=f):
                made = dcgan.generator(z, training=False)
                f_made, _ = dcgan.discriminator(made, training=False)
                return 0.9 * ops.sum(ops.abs(x - made)) + 0.1 * ops.sum(ops.abs(f - f_made))

            if step % 3 == 0:
                assert float(objective()) == pytest.approx(recorded[step // 3], rel=1e-4)
            (gradient,) = gradients(dcgan, objective, [z])
            gradient = ops.convert_to_numpy(gradient)
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            corrected = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
            z.assign(ops.convert_to_numpy(z) - 0.05 * corrected[0] / (corrected[1] ** 0.5 + 1e-7))
        np.testing.assert_allclose(expected_z, ops.convert_to_numpy(z)[0], rtol=1e-3, atol=1e-4)
        plain = float(objective())
        fast = model.score(image[None], expected_z[None]).scores[0]
        assert fast == pytest.approx(plain, rel=1e-4)


def test_further_batches_are_not_traced_again(dcgan, monkeypatch):
    """Python sees the objective while a step is being compiled, and never again."""
    from ganlib.models import losses

    seen = []
    original = losses.anogan_score
    monkeypatch.setattr(losses, "anogan_score", lambda *all: seen.append(1) or original(*all))
    model = searching(dcgan, steps=12)
    model.search(some_images(4))
    traced = len(seen)
    assert 0 < traced < 12
    model.search(some_images(11, seed=2))
    assert len(seen) == traced


def test_images_that_have_converged_leave_and_change_no_other(dcgan):
    images = some_images(11, seed=31)
    images[::2] = dcgan.generate(dcgan.draw_latents(6, seed=5))  # these the search can improve
    options = {"steps": 40, "learning_rate": 0.02}
    latents, objectives = searching(dcgan, **options).search(images, record_every=1)
    lows = objectives.reshape(4, 10, -1).min(axis=1)
    gains = np.minimum.accumulate(lows, axis=0)
    shares = 1 - gains / np.vstack([objectives[:1], gains[:-1]])
    tolerance = np.median(shares[1:3])
    leaves = np.array([np.argmax([*(share <= tolerance), True]) for share in shares.T])
    early = searching(dcgan, **options, tolerance=float(tolerance), round_steps=10)
    found, recorded = early.search(images, record_every=1)
    assert 0 < (leaves < 3).sum() < len(images)
    for i, last in enumerate(leaves):
        steps = 10 * min(last + 1, 4)
        np.testing.assert_allclose(recorded[:steps, i], objectives[:steps, i], rtol=1e-4)
        np.testing.assert_array_equal(recorded[steps:, i], recorded[steps - 1, i])
        if steps == 40:
            np.testing.assert_allclose(found[i], latents[i], rtol=1e-3, atol=1e-4)
    with pytest.raises(GanlibError, match="steps is 45"):
        searching(dcgan, steps=45, tolerance=0.1, round_steps=10)


def test_a_warm_search_begins_where_the_encoder_says(dcgan):
    images = some_images(5, seed=32)
    fanogan = encoding(dcgan, epochs=3)
    expected = fanogan.encoder.predict(images.astype("float32") / 127.5 - 1, verbose=0)
    options = {"encoder": fanogan.encoder, "batch_size": 2}
    first, _ = searching(dcgan, steps=0, **options).search(images)
    np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-5)
    warm = searching(dcgan, steps=10, **options)
    detection = warm.detect(images)
    assert (detection.scores < warm.score(images, first).scores).all()
    assert len(warm.trainable_variables) == 1


def test_fanogan_scores_the_squares_of_its_authors(dcgan):
    model = encoding(dcgan, kappa=0.3)
    images = some_images(3, seed=33)
    x = images.astype("float32") / 127.5 - 1
    z = model.encoder.predict(x, verbose=0)
    x_hat = dcgan.generator.predict(z, verbose=0)
    f, f_hat = (dcgan.discriminator.predict(each, verbose=0)[0] for each in (x, x_hat))
    expected = ((x - x_hat) ** 2).mean((1, 2, 3)) + 0.3 * ((f - f_hat) ** 2).mean((1, 2, 3))
    detection = model.detect(images)
    np.testing.assert_allclose(detection.scores, expected, rtol=1e-4)
    batch = ops.convert_to_tensor(images)
    loss = float(model.compute_loss(batch, y_pred=model(batch)))
    assert loss == pytest.approx(expected.mean(), rel=1e-4)


def test_only_the_encoder_of_fanogan_learns_and_it_learns(dcgan):
    images = np.repeat(some_images(4), 4, axis=0)
    originals = values(dcgan.generator.variables + dcgan.discriminator.variables)
    few, many = encoding(dcgan, 1, images), encoding(dcgan, 30, images)
    assert many.detect(images).scores.mean() < 0.95 * few.detect(images).scores.mean()
    assert len(many.trainable_variables) == len(many.encoder.trainable_variables)
    assert all(
        not np.array_equal(a, b)
        for a, b in zip(
            values(few.trainable_variables), values(many.trainable_variables), strict=True
        )
    )
    kept = values(many.generator.variables + many.discriminator.variables)
    assert all(np.array_equal(a, b) for a, b in zip(originals, kept, strict=True))


def test_a_search_in_bfloat16_finds_z_as_good(dcgan, tmp_path):
    images = some_images(4)
    networks = dcgan.generator, dcgan.discriminator
    exact = AnoGAN(*networks, steps=30, batch_size=4)
    half = AnoGAN(*networks, steps=30, batch_size=4, dtype="mixed_bfloat16")
    half.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    for model in (half, loaded):
        layers = [each for each in model.generator.layers if each.weights]
        assert layers[0].compute_dtype == "bfloat16"
        assert layers[0].variable_dtype == model.generator.output.dtype == "float32"
        latents, objectives = model.search(images)
        assert objectives[-1].mean() < 0.99 * objectives[0].mean()
        found = exact.score(images, latents).scores
        np.testing.assert_allclose(found, exact.detect(images).scores, rtol=0.01)


def test_a_search_leaves_nothing_behind(dcgan):
    """Earlier images change neither the next score nor the networks."""
    model = searching(dcgan)
    frozen = values(model.generator.variables + model.discriminator.variables)
    originals = values(dcgan.generator.variables + dcgan.discriminator.variables)
    images = some_images(3, seed=8)
    alone = model.detect(images)
    model.detect(some_images(9, seed=9))
    again = model.detect(images)
    np.testing.assert_array_equal(alone.scores, again.scores)
    np.testing.assert_array_equal(alone.reconstructions, again.reconstructions)
    for before, networks in ((frozen, model), (originals, dcgan)):
        after = values(networks.generator.variables + networks.discriminator.variables)
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert dcgan.generator.trainable  # its owner can go on training it
    assert len(model.trainable_variables) == 1


def test_search_improves_the_objective_and_starts_where_the_prior_says(dcgan):
    images = some_images(4, seed=10)
    model = searching(dcgan, steps=60, learning_rate=0.05)
    latents, objectives = model.search(images, record_every=20)
    assert objectives.shape == (3, 4)
    assert (model.score(images, latents).scores < objectives[0]).all()
    first, _ = searching(dcgan, steps=0).search(some_images(400, seed=11))
    assert first.std() == pytest.approx(1.0, abs=0.05)
    assert len(np.unique(first)) == first.size  # each image has its own
    uniform, _ = searching(dcgan, steps=0, prior="uniform").search(some_images(400, seed=11))
    assert 0 <= uniform.min() < 0.01 < 0.99 < uniform.max() <= 1
    with pytest.raises(GanlibError, match="'gamma'"):
        searching(dcgan, prior="gamma")


@pytest.mark.parametrize("model_class", MODELS)
def test_same_seed_same_weights(model_class):
    first, second = (trained(model_class, seed=1) for _ in range(2))
    for a, b in zip(values(first.variables), values(second.variables), strict=True):
        np.testing.assert_array_equal(a, b)
    drawn = [values(compiled(model_class, seed).trainable_variables)[0] for seed in (1, 2)]
    assert not np.array_equal(*drawn)


def test_saved_models_answer_the_same(dcgan, tmp_path):
    images = some_images(5, seed=12)
    unusual = {
        "discrimination_weight": 0.4,
        "learning_rate": 0.2,
        "prior": "uniform",
        "batch_size": 3,
        "seed": 7,
        "tolerance": 0.01,
        "round_steps": 5,
    }
    for model in (
        searching(dcgan, **unusual),
        searching(dcgan, encoder=encoding(dcgan).encoder),
        encoding(dcgan, kappa=2.0),
        trained(GANomaly, score="l2"),
        trained(Autoencoder),
    ):
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        for a, b in zip(model.detect(images), loaded.detect(images), strict=True):
            np.testing.assert_array_equal(a, b)
        assert loaded.get_config() == model.get_config()
    dcgan.save(tmp_path / "dcgan.keras")
    loaded = keras.saving.load_model(tmp_path / "dcgan.keras")
    latents = dcgan.draw_latents(3, seed=1)
    np.testing.assert_array_equal(dcgan.generate(latents), loaded.generate(latents))


@pytest.mark.parametrize("model_class", MODELS)
def test_training_goes_on_after_loading_as_if_uninterrupted(model_class, tmp_path):
    images = some_images(8)
    model = trained(model_class, images=images)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.fit(images, batch_size=4, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(values(model.variables), values(loaded.variables), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda d: searching(d),
        lambda d: encoding(d),
        lambda d: trained(GANomaly),
        lambda d: trained(Autoencoder),
    ],
)
def test_a_loaded_detector_gives_one_image_alone_its_verdict(make, dcgan, tmp_path):
    model = make(dcgan)
    with pytest.raises(GanlibError, match="call calibrate"):
        model.is_anomaly(some_images(1))
    model.calibrate(model.detect(some_images(30, seed=20)).scores, 0.2, deviations=1.5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert dict(loaded.thresholds) == dict(model.thresholds)
    images = some_images(20, seed=21)
    scores = model.detect(images).scores
    seen = set()
    for rule in ("quantile", "deviations", "tail"):
        together = loaded.is_anomaly(images, rule)
        assert together.dtype == bool
        np.testing.assert_array_equal(together, scores >= model.thresholds[rule])
        alone = [loaded.is_anomaly(image[np.newaxis], rule) for image in images]
        np.testing.assert_array_equal(np.concatenate(alone), together)
        seen |= set(together)
    assert seen == {False, True}
    with pytest.raises(GanlibError, match="'oracle': choose one of quantile, deviations, tail"):
        loaded.is_anomaly(images, "oracle")


def test_at_the_threshold_is_an_alarm():
    model = trained(GANomaly, run_eagerly=True)
    images = some_images(3)
    model.thresholds = {"quantile": float(model.detect(images).scores[1])}
    assert model.is_anomaly(images)[1]


@pytest.mark.parametrize("model_class", MODELS)
def test_under_mixed_precision_losses_and_scores_are_float32_and_nearly_the_same(model_class):
    losses_of, scores = [], []
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            model = trained(model_class, epochs=1)
            history = model.fit(some_images(), batch_size=4, verbose=0).history
            if model_class is DCGAN:
                made = searching(model, steps=5).detect(some_images(3, seed=40))
            else:
                made = model.detect(some_images(3, seed=40))
        finally:
            keras.config.set_dtype_policy("float32")
        assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
        assert made.scores.dtype == np.float32
        assert not np.array_equal(
            made.scores,
            ops.convert_to_numpy(ops.cast(ops.cast(made.scores, "bfloat16"), "float32")),
        )
        losses_of.append(history["loss"][-1])
        scores.append(made.scores)
    assert losses_of[0] == pytest.approx(losses_of[1], rel=0.05)
    assert losses_of[0] != losses_of[1]
    np.testing.assert_allclose(*scores, rtol=0.2)
