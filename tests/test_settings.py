from dataclasses import replace

import pytest

from ganlib.errors import GanlibError
from ganlib.settings import epochs, settings


def test_paper_has_the_published_sizes_lengths_and_rates():
    casting, cloud = (settings("paper", name) for name in ("casting", "cloud"))
    assert (casting.image_size, casting.channels, casting.batch_size) == (128, 1, 32)
    assert (cloud.image_size, cloud.channels, cloud.batch_size) == (64, 3, 50)
    assert epochs(casting.dcgan_steps, 2875, casting.batch_size) == 100
    assert epochs(cloud.dcgan_steps, 1400, cloud.batch_size) == 50
    for each in (casting, cloud):
        assert (each.steps, each.learning_rate) == (1000, 1e-3)
        assert (each.dcgan_learning_rate, each.search_steps, each.limit) == (1e-4, 200, 0)


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_any_other_data_set_is_a_folder_as_large_as_casting(profile):
    assert settings(profile, "/my/parts", channels=1) == settings(profile, "casting")
    assert settings(profile, "/my/parts").channels == 3


def test_every_value_can_be_replaced_and_none_keeps_it():
    changed = settings("quick", "casting", filters=7, image_size=None)
    assert changed == replace(settings("quick", "casting"), filters=7)


def test_unknown_names_are_refused_with_those_that_exist():
    with pytest.raises(GanlibError, match=r"no profile 'fast': choose smoke \| quick \| paper"):
        settings("fast", "cloud")
    with pytest.raises(GanlibError, match="no setting 'epochs': choose among image_size"):
        settings("quick", "cloud", epochs=3)


@pytest.mark.parametrize(
    ("steps", "images", "batch", "expected"),
    [(1000, 2875, 32, 12), (1000, 620, 32, 50), (1, 5, 10, 1), (90, 2880, 32, 1)],
)
def test_epochs_have_at_least_the_steps_and_no_epoch_too_many(steps, images, batch, expected):
    assert epochs(steps, images, batch) == expected
