import shutil
import subprocess
from dataclasses import replace

import pytest
from tracked import PROJECT

from ganlib.settings import PROFILES, epochs, figures_folder, settings


def test_paper_is_as_published_other_data_sets_are_as_casting_and_every_value_can_be_replaced():
    casting, cloud = (settings("paper", name) for name in ("casting", "cloud"))
    assert (casting.image_size, casting.channels, casting.batch_size) == (128, 1, 32)
    assert (cloud.image_size, cloud.channels, cloud.batch_size) == (64, 3, 50)
    assert epochs(casting.dcgan_steps, 2875, casting.batch_size) == 100
    assert epochs(cloud.dcgan_steps, 1400, cloud.batch_size) == 50
    for each in (casting, cloud):
        assert (each.steps, each.learning_rate, each.beta_1) == (1000, 2e-4, 0.5)
        assert (each.dcgan_learning_rate, each.search_steps, each.limit) == (1e-4, 200, 0)
    adam = {"learning_rate": 1e-3, "beta_1": 0.9}  # Keras's defaults
    assert settings("published", "casting") == replace(casting, **adam)
    transposed = {"dcgan_upsampling": "transposed"}
    assert settings("published", "cloud") == replace(cloud, **adam, **transposed) != cloud
    for profile in PROFILES:
        ways = [settings(profile, name).dcgan_upsampling for name in ("casting", "cloud")]
        assert ways == ["transposed", "transposed" if profile == "published" else "resize"]
        assert settings(profile, "/my/parts", channels=1) == settings(profile, "casting")
        assert settings(profile, "/my/parts").channels == 3
    changed = settings("quick", "casting", filters=7, image_size=None)
    assert changed == replace(settings("quick", "casting"), filters=7)


def test_epochs_have_at_least_the_steps_and_no_epoch_too_many():
    asked = [(1000, 2875, 32), (1000, 620, 32), (1, 5, 10), (90, 2880, 32)]
    assert [epochs(*each) for each in asked] == [12, 50, 1, 1]


@pytest.mark.skipif(not (PROJECT / ".git").exists() or not shutil.which("git"), reason="no git")
def test_git_sees_the_figures_of_real_images_that_are_to_be_published_and_no_others(monkeypatch):
    for publish, sources, folder in (
        ("", ["kaggle"], "quick-local"),
        ("", ["kaggle", "generated"], "quick-generated"),
        ("1", ["kaggle", "generated"], "quick-generated"),
        ("1", ["kaggle", "unverified"], "quick"),
    ):
        monkeypatch.setenv("GANLIB_PUBLISH", publish)
        place = figures_folder(PROJECT / "figures", "quick", sources)
        assert place == PROJECT / "figures" / folder
        command = ["git", "check-ignore", "-q", place / "results.csv"]
        seen = subprocess.run(command, cwd=PROJECT).returncode == 1
        assert seen == (folder == "quick")
