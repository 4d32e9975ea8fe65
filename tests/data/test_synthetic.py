"""Generated images: what a seed fixes, what they teach, and what lies on the disk."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from refusals import refused

from ganlib.data import near_duplicate_groups, synthetic
from ganlib.data.synthetic import (
    CASTING_KINDS,
    CLOUD_KINDS,
    casting_images,
    cloud_images,
    write_dataset,
)

DRAW = [
    (casting_images, CASTING_KINDS, 1, [157.05, 148.54, 150.85, 126.03, 150.18]),
    (cloud_images, CLOUD_KINDS, 3, [75.39, 134.18, 80.87, 110.35]),
]
FEW = {
    "casting": {"train_normal": 5, "test_normal": 3, "test_anomaly": 8},
    "cloud": {"normal": 4, "anomaly": 10},
}


@pytest.mark.parametrize(("draw", "kinds", "channels", "means_of_seed_7"), DRAW)
def test_a_picture_depends_on_seed_number_and_kind_alone(draw, kinds, channels, means_of_seed_7):
    together = draw(kinds * 2, 3, 32, start=10)
    assert together.shape == (2 * len(kinds), 32, 32, channels)
    assert together.dtype == np.uint8
    assert len(np.unique(np.concatenate([together, draw(kinds, 4, 32)]), axis=0)) == 3 * len(kinds)
    for i, kind in enumerate(kinds):
        np.testing.assert_array_equal(draw([kind], 3, 32, start=10 + i)[0], together[i])
    assert draw([], 0).shape == (0, 128, 128, channels)
    # The same picture at every size
    means = [draw(kinds, 3, size).mean((1, 2, 3)) for size in (16, 33, 64)]
    np.testing.assert_allclose(means[1:], means[:-1], atol=4)
    # The same on every machine: raise `synthetic.VERSION` with these numbers.
    np.testing.assert_allclose(draw(kinds, 7, 64).mean((1, 2, 3)), means_of_seed_7, atol=0.02)


def test_sound_castings_are_copies_of_18_parts_and_a_defect_changes_little(monkeypatch):
    groups = near_duplicate_groups(casting_images(["normal"] * 150, 0))
    assert len(np.unique(groups)) == synthetic.PARTS
    parts = [synthetic._stream(0, "casting normal", i).integers(18) for i in range(150)]
    assert len({*zip(groups, parts, strict=True)}) == synthetic.PARTS  # none of them merged
    kinds = CASTING_KINDS[1:] * 5
    bad = casting_images(kinds, 2, 64).astype(int)
    monkeypatch.setattr(synthetic, "_defect", lambda rng, kind, image, place: image)
    synthetic._part.cache_clear()
    difference = np.abs(bad - casting_images(kinds, 2, 64))
    synthetic._part.cache_clear()
    assert difference.max((1, 2, 3)).min() > 30
    assert (difference > 10).mean((1, 2, 3)).max() < 0.15


def test_clouds_hide_the_ground_and_are_simpler():
    clear, cloudy, partly, haze = (
        cloud_images([kind] * 30, 2, 64).astype(float) for kind in CLOUD_KINDS
    )
    for sky in (cloudy, partly, haze):
        assert np.abs(sky - clear).max((1, 2, 3)).min() > 10
    texture = [np.abs(np.diff(x, axis=1)).mean() for x in (clear, cloudy, haze)]
    assert max(texture[1:]) < 0.6 * texture[0]
    assert np.median((np.abs(partly - clear) < 3).mean((1, 2, 3))) > 0.4  # ground is left


def test_files_lie_as_in_the_archives_and_an_empty_root_is_filled(tmp_path):
    root = write_dataset("casting", tmp_path / "a" / "casting", 5, 32, FEW["casting"])
    top = root / "casting_data" / "casting_data"
    names = {
        "train/ok_front": [f"cast_ok_0_{i:04d}.png" for i in range(1, 6)],
        "test/ok_front": [f"cast_ok_0_{i:04d}.png" for i in range(6, 9)],
        "test/def_front": [f"cast_def_0_{i:04d}.png" for i in range(1, 9)],
    }
    assert {x: sorted(p.name for p in (top / x).iterdir()) for x in names} == names
    with Image.open(top / "test/def_front/cast_def_0_0002.png") as image:
        expected = casting_images(["burr"], 5, 32, start=9)[0, :, :, 0]
        np.testing.assert_array_equal(np.asarray(image), expected)
    assert kinds_of(root) == CASTING_KINDS[1:] * 2
    assert "seed: 5" in (root / "GENERATED.txt").read_text()
    assert len(list(root.iterdir())) == 3
    assert [p.name for p in root.parent.iterdir()] == ["casting"]
    root = tmp_path / "cloud"
    root.mkdir()
    write_dataset("cloud", root, image_size=16, counts=FEW["cloud"])
    names = [p.name for x in ("noncloud", "cloud") for p in sorted((root / x / x).iterdir())]
    assert names == [f"train_{i:04d}.png" for i in range(1, 15)]
    assert [kinds_of(root).count(kind) for kind in CLOUD_KINDS] == [0, 4, 4, 2]
    refused("already exists", write_dataset, "cloud", root, image_size=16, counts=FEW["cloud"])


def kinds_of(root):
    return tuple(pd.read_csv(root / f"{root.name}_kinds.csv")["kind"])


def test_a_failure_midway_leaves_nothing(tmp_path, monkeypatch):
    def save(image, path, **options):
        if path.name == "train_0006.png":
            raise OSError("No space left on device")
        path.touch()

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match="No space left"):
        write_dataset("cloud", tmp_path / "cloud", image_size=16, counts=FEW["cloud"])
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments():
    for wrong in ({"kinds": ["rust"]}, {"kinds": "normal"}, {"image_size": 8}, {"seed": -1}):
        refused("expected", casting_images, **{"kinds": ["normal"], "seed": 0, **wrong})
    refused("expected", casting_images, ["normal"], 0, start=-1)
