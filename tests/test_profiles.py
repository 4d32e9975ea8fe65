import keras
import numpy as np
import pytest

from ganlib import settings as profiles
from ganlib.errors import GanlibError


def test_paper_profile_has_the_published_sizes_lengths_and_rates():
    casting, cloud = (profiles.settings("paper", name) for name in ("casting", "cloud"))
    assert (casting.image_size, casting.channels, casting.batch_size) == (128, 1, 32)
    assert (cloud.image_size, cloud.channels, cloud.batch_size) == (64, 3, 50)
    epochs = (
        profiles.epochs(each.dcgan_steps, images, each.batch_size)
        for each, images in ((casting, 2875), (cloud, 1400))
    )
    assert tuple(epochs) == (100, 50)
    for settings in (casting, cloud):
        assert settings.ganomaly_steps == 1000
        assert settings.ganomaly_learning_rate == 1e-3
        assert settings.dcgan_learning_rate == 1e-4
        assert settings.search_steps == 200
        assert settings.limit == 0


def test_every_value_can_be_overridden_and_none_keeps_it():
    usual = profiles.settings("quick", "casting")
    changed = profiles.settings("quick", "casting", filters=7, image_size=None)
    assert (changed.filters, changed.image_size) == (7, usual.image_size)


@pytest.mark.parametrize(
    ("arguments", "overrides", "message"),
    [
        (("fast", "casting"), {}, "no profile 'fast': choose smoke | quick | paper"),
        (("quick", "clouds"), {}, "no data set 'clouds': choose casting | cloud"),
        (("quick", "cloud"), {"epochs": 3}, "no setting 'epochs': choose among image_size"),
    ],
)
def test_unknown_names_are_refused_with_those_that_exist(arguments, overrides, message):
    with pytest.raises(GanlibError) as error:
        profiles.settings(*arguments, **overrides)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("steps", "images", "batch", "epochs"),
    [(1000, 2875, 32, 12), (1000, 620, 32, 50), (1, 5, 10, 1), (90, 2880, 32, 1)],
)
def test_epochs_have_at_least_the_steps_and_no_epoch_too_many(steps, images, batch, epochs):
    assert profiles.epochs(steps, images, batch) == epochs
    per_epoch = -(-images // batch)
    assert epochs * per_epoch >= steps > (epochs - 1) * per_epoch


def test_keras_takes_as_many_steps_as_were_reckoned():
    """With `steps_per_epoch` it would stop where the images end, and only warn."""
    images = np.zeros((70, 3), "float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    epochs = profiles.epochs(20, len(images), 16)
    model.fit(images, np.zeros((70, 1)), batch_size=16, epochs=epochs, verbose=0)
    assert int(model.optimizer.iterations) == 20
