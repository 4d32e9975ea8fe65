"""Losses that are no numbers, a discriminator that has won, and time that is over."""

import keras
import numpy as np
import pytest
from ganlib.watch import ReviveDiscriminator, StopAfter, StopAtNonFinite
from keras import ops

from ganlib import watch
from ganlib.errors import GanlibError
from ganlib.models.dcgan import DCGAN
from ganlib.models.ganomaly import GANomaly

GANS = [DCGAN, GANomaly]
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 1), dtype="uint8")


def compiled(model_class, learning_rate=1e-3, run_eagerly=True, **options):
    """Eagerly where a test is of what the watch sees: compiling takes longer than a few steps."""
    keras.utils.set_random_seed(0)
    model = model_class(32, 1, latent_dim=6, filters=4)
    adam = keras.optimizers.Adam(learning_rate, beta_1=0.5)
    model.compile(adam, run_eagerly=run_eagerly, **options)
    return model


def fit(model, *callbacks, images=IMAGES, **options):
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, **options}
    return model.fit(images, callbacks=list(callbacks), **options)


def values(variables):
    return [np.array(ops.convert_to_numpy(variable.value)) for variable in variables]


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


class Seen(keras.callbacks.Callback):
    """What a checkpoint after the watch would see."""

    def __init__(self):
        super().__init__()
        self.epochs, self.weights = [], None

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)
        self.weights = self.model.get_weights()


@pytest.mark.parametrize("model_class", GANS)
def test_a_loss_that_is_no_number_ends_training_with_the_last_good_weights(model_class):
    class Spoil(keras.callbacks.Callback):
        """A weight becomes infinite in the midst of the third epoch."""

        def on_train_batch_end(self, batch, logs=None):
            self.epoch_batches = getattr(self, "epoch_batches", 0) + 1
            if self.epoch_batches == 7:
                kernel = self.model.discriminator.trainable_variables[0]
                kernel.assign(kernel * np.inf)

    model, seen = compiled(model_class), Seen()
    with pytest.raises(GanlibError) as stopped:
        fit(model, StopAtNonFinite(), seen, Spoil(), epochs=5)
    message = str(stopped.value)
    assert f"Training of {model_class.__name__} stopped" in message
    assert "discriminator_loss is nan" in message
    assert "at step 2 of epoch 3" in message
    assert "a learning rate below 0.001" in message
    assert "\n" not in message
    assert seen.epochs == [0, 1]
    assert_equal(model.get_weights(), seen.weights)
    assert int(model.optimizer.iterations.value) == 6
    fit(model, StopAtNonFinite(), epochs=2)  # and can be trained on


@pytest.mark.parametrize("model_class", GANS)
def test_an_absurd_learning_rate_ends_training_and_the_weights_are_those_of_the_start(model_class):
    model = compiled(model_class, learning_rate=1e30, run_eagerly=False)
    start = model.get_weights()
    with pytest.raises(GanlibError, match=r"(nan|inf) at step \d of epoch 1\. .* below 1e\+30"):
        fit(model, StopAtNonFinite(), epochs=3)
    assert_equal(model.get_weights(), start)


def test_images_that_are_no_numbers_end_training():
    images = IMAGES.astype("float32")
    images[5, 0, 0] = np.nan
    model = compiled(GANomaly)
    with pytest.raises(GanlibError, match=r"contextual_loss is nan.* at step 2 of epoch 1"):
        fit(model, StopAtNonFinite(), images=images)
    assert all(np.isfinite(array).all() for array in model.get_weights())


def test_weights_spoilt_by_the_last_step_after_a_finite_loss_end_training():
    class Spoil(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                bias = self.model.decoder.trainable_variables[-1]
                bias.assign(bias * np.nan)

    model, seen = compiled(GANomaly), Seen()
    start = model.get_weights()
    with pytest.raises(GanlibError, match="weights are no longer finite after step 3 of epoch 1"):
        fit(model, StopAtNonFinite(), Spoil(), seen, epochs=2)
    assert seen.epochs == []
    assert_equal(model.get_weights(), start)
    model.set_weights([array * np.nan for array in start])
    with pytest.raises(GanlibError, match="not finite before the first step"):
        fit(model, StopAtNonFinite())


def test_several_steps_at_once_are_named_together():
    images = IMAGES.astype("float32")
    images[5, 0, 0] = np.nan
    model = compiled(GANomaly, run_eagerly=False, steps_per_execution=3)
    with pytest.raises(GanlibError, match="at step 1 to 3 of epoch 1"):
        fit(model, StopAtNonFinite(), images=images)


@pytest.mark.parametrize("model_class", GANS)
def test_watching_changes_no_weight(model_class):
    plain, watched = (compiled(model_class, run_eagerly=False) for _ in range(2))
    revive = ReviveDiscriminator()
    fit(plain, epochs=3)
    fit(watched, StopAtNonFinite(), revive, epochs=3)
    assert revive.revivals == []
    assert_equal(values(watched.variables), values(plain.variables))
    assert_equal(values(watched.optimizer.variables), values(plain.optimizer.variables))


@pytest.mark.parametrize("model_class", GANS)
def test_a_collapse_draws_exactly_the_weights_of_the_discriminator_anew(model_class):
    model = compiled(model_class)
    first_std = {variable.path: np.std(variable) for variable in model.variables}
    fit(model, epochs=2)
    before, state = values(model.variables), values(model.optimizer.variables)
    revive = ReviveDiscriminator(seed=3)
    revive.set_model(model)
    revive.on_epoch_begin(4)
    revive.on_train_batch_end(0, {"discriminator_loss": 0.9})
    revive.on_train_batch_end(1, {"discriminator_loss": 0.45 + 1.1e-5})  # 2.2e-5 of two kinds
    assert revive.revivals == []
    revive.on_train_batch_end(2, {"discriminator_loss": 0.3 + 2 / 3 * 1.1e-5 + 0.6e-5})
    assert revive.revivals == [(5, 3)]
    mine = [id(variable) for variable in model.discriminator.trainable_variables]
    for variable, old in zip(model.variables, before, strict=True):
        new = ops.convert_to_numpy(variable.value)
        anew = id(variable) in mine
        assert np.array_equal(new, old) != anew, variable.path
        if anew and new.ndim == 4:  # a convolution
            assert new.std() == pytest.approx(first_std[variable.path], rel=0.4)
            assert not np.corrcoef(new.ravel(), old.ravel())[0, 1] > 0.5
    assert_equal(values(model.optimizer.variables), state)
    first = values(model.discriminator.trainable_variables)
    history = fit(model, StopAtNonFinite(), epochs=2).history
    assert np.isfinite(history["loss"]).all()
    assert not np.array_equal(values(model.discriminator.trainable_variables)[0], first[0])


@pytest.mark.parametrize("model_class", [DCGAN])
def test_the_same_seed_draws_the_same_and_every_time_others(model_class):
    def drawn(seed, threshold=np.inf):
        model = compiled(model_class)
        revive = ReviveDiscriminator(threshold, seed)
        fit(model, revive, epochs=2)
        return revive.revivals, values(model.variables)

    (revivals, first), (_, again), (_, other) = drawn(1), drawn(1), drawn(2)
    assert revivals == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert_equal(first, again)
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    model, revive = compiled(model_class), ReviveDiscriminator(np.inf)
    kernels = []
    for _ in range(2):
        fit(model, revive, images=IMAGES[:4])
        kernels.append(values(model.discriminator.trainable_variables)[0])
    assert not np.array_equal(*kernels)


def test_the_loss_of_a_step_is_taken_out_of_the_mean():
    """Against the losses of the same steps one by one; only the smallest is under the threshold."""
    single = compiled(GANomaly)
    losses = [
        single.train_on_batch(batch, return_dict=True)["discriminator_loss"] / 2
        for batch in np.split(IMAGES, 3)
        if single.discriminator_loss.reset_state() is None
    ]
    least = int(np.argmin(losses))
    revive = ReviveDiscriminator(min(losses) * 1.0001)
    fit(compiled(GANomaly), revive)
    assert revive.revivals[0] == (1, least + 1)
    revive = ReviveDiscriminator(min(losses) * 0.9999)
    fit(compiled(GANomaly), revive)
    assert revive.revivals == []
    revive = ReviveDiscriminator(float(np.mean(losses)) * 1.0001)
    fit(compiled(GANomaly, run_eagerly=False, steps_per_execution=3), revive)
    assert revive.revivals == [(1, 3)]


def epochs_in(seconds, lengths, monkeypatch):
    """Train as long as epochs of these lengths, in seconds, are allowed."""
    now = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            now[0] += lengths[epoch]

    model = compiled(DCGAN)
    asked = {"images": IMAGES[:4], "epochs": len(lengths)}
    history = fit(model, Clock(), StopAfter(seconds), **asked)
    return len(history.epoch)


@pytest.mark.parametrize(
    ("seconds", "lengths", "expected"),
    [
        (100, [2, 1, 1], 3),  # all there is time for
        (4.5, [2, 1, 1, 1], 3),  # a fourth would end at 5
        (4.5, [2, 1, 1.3, 1], 3),
        (5.5, [2, 1, 2, 1], 3),  # another might be as long as the longest
        (1, [2, 1], 1),  # one is always trained
        (13, [10, 1, 1, 1, 1], 4),  # the first compiles, and is no measure
    ],
)
def test_training_ends_before_an_epoch_that_might_be_too_long(
    seconds, lengths, expected, monkeypatch
):
    assert epochs_in(seconds, lengths, monkeypatch) == expected
