"""The search for z: what it minimizes, where it starts, and that it leaves nothing behind."""

import keras
import numpy as np
import pytest
from keras import ops
from refusals import refused
from tiny import assert_equal, build, dcgan, gradients, load, some_images, trained, values

from ganlib.errors import GanlibError
from ganlib.models import AnoGAN, FAnoGAN, losses


def searching(**options):
    return build(AnoGAN, **options)


def test_it_scores_by_the_equation_at_the_z_it_found():
    model, images, gan = searching(discrimination_weight=0.3), some_images(6, seed=5), dcgan()
    latents, _ = model.search(images)
    x = images.astype("float32") / 127.5 - 1
    made = np.asarray(gan.generator(latents, training=False))
    f_x, f_made = (np.asarray(gan.discriminator(each, training=False)[0]) for each in (x, made))
    residual, discrimination = (
        np.abs(a - b).sum(axis=(1, 2, 3)) for a, b in ((x, made), (f_x, f_made))
    )
    expected = 0.7 * residual + 0.3 * discrimination
    np.testing.assert_allclose(model.score_latents(images, latents).scores, expected, rtol=1e-4)
    np.testing.assert_allclose(model.detect(images).scores, expected, rtol=1e-4)


def test_the_search_is_that_of_one_image_at_a_time_step_by_step():
    """Adam and the objective are written out; 5 images are two batches, the last filled up."""
    images, gan, steps, rate = some_images(5, seed=30), dcgan(), 8, 0.05
    first, _ = searching(steps=0).search(images)
    found, objectives = searching(steps=steps, learning_rate=rate).search(images, record_every=3)
    assert objectives.shape == (3, 5)
    for image, z, expected, recorded in zip(images, first, found, objectives.T, strict=True):
        x = ops.convert_to_tensor(image[None].astype("float32") / 127.5 - 1)
        f, _ = gan.discriminator(x, training=False)
        z, m, v = keras.Variable(z[None]), 0.0, 0.0

        def objective(z=z, x=x, f=f):
            made = gan.generator(z, training=False)
            f_made, _ = gan.discriminator(made, training=False)
            return 0.9 * ops.sum(ops.abs(x - made)) + 0.1 * ops.sum(ops.abs(f - f_made))

        for step in range(steps):
            if step % 3 == 0:
                assert float(objective()) == pytest.approx(recorded[step // 3], rel=1e-4)
            gradient = ops.convert_to_numpy(gradients(objective, [z])[0])
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            corrected = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
            z.assign(ops.convert_to_numpy(z) - rate * corrected[0] / (corrected[1] ** 0.5 + 1e-7))
        np.testing.assert_allclose(expected, ops.convert_to_numpy(z)[0], rtol=1e-3, atol=1e-4)


def test_further_batches_are_not_traced_again_and_leave_nothing_behind(monkeypatch):
    """Python sees the objective while a step is compiled, and when scores are computed."""
    traces, original = [], losses.anogan_score
    monkeypatch.setattr(losses, "anogan_score", lambda *a: traces.append(1) or original(*a))
    model, images, gan = searching(), some_images(3, seed=8), dcgan()
    networks = model.generator, model.discriminator, gan.generator, gan.discriminator
    frozen = [values(network.variables) for network in networks]
    found = model.search(images)
    traced = len(traces)
    assert 0 < traced < 15
    other, _ = model.search(some_images(9, seed=9))
    assert_equal(model.search(images), found)
    assert len(traces) == traced
    assert len(np.unique(other)) == other.size
    for before, network in zip(frozen, networks, strict=True):
        assert_equal(values(network.variables), before)
    assert gan.generator.trainable  # its owner can go on training it
    assert len(model.trainable_variables) == 1


def test_the_first_z_is_drawn_from_the_prior_for_each_image_and_others_must_fit():
    images = some_images(400, seed=11)
    normal, _ = searching(steps=0).search(images)
    assert normal.std() == pytest.approx(1.0, abs=0.05)
    assert len(np.unique(normal)) == normal.size
    assert not np.array_equal(searching(steps=0, seed=0).search(images[:1])[0], normal[1:2])
    uniform, _ = searching(steps=0, prior="uniform").search(images)
    assert 0 <= uniform.min() < 0.01 < 0.99 < uniform.max() <= 1
    refused("'gamma'", searching, prior="gamma")
    for latents in (np.zeros((2, 6)), np.zeros((3, 5)), np.zeros(6)):
        with pytest.raises(GanlibError, match=r"latents has shape .*expected \(3, 6\)"):
            searching().score_latents(some_images(3), latents)


def test_a_warm_search_begins_where_the_encoder_says_and_improves():
    images = some_images(5, seed=32)
    options = {"encoder": trained(FAnoGAN), "batch_size": 2}
    x = images.astype("float32") / 127.5 - 1
    first, _ = searching(steps=0, **options).search(images)
    expected = options["encoder"].encoder(x, training=False)
    np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-5)
    warm = searching(steps=10, **options)
    assert (warm.detect(images).scores < warm.score_latents(images, first).scores).all()


def test_a_search_in_bfloat16_finds_z_as_good(tmp_path):
    images = some_images(4)
    exact = searching(steps=30)
    half = searching(steps=30, dtype="mixed_bfloat16")
    half.save(tmp_path / "half.keras")
    for model in (half, load(tmp_path / "half.keras")):
        layer = next(each for each in model.generator.layers if each.weights)
        assert layer.compute_dtype == "bfloat16"
        assert layer.variable_dtype == model.generator.output.dtype == "float32"
        latents, objectives = model.search(images)
        assert objectives[-1].mean() < 0.99 * objectives[0].mean()
        found = exact.score_latents(images, latents).scores
        np.testing.assert_allclose(found, exact.detect(images).scores, rtol=0.01)
