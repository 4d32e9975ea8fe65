import csv
import hashlib

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from ganlib.data import ARCHIVES, generate, generate_casting
from ganlib.data.generate import (
    CASTING_KINDS,
    CLOUD_KINDS,
    casting_images,
    cloud_images,
    write_dataset,
)
from ganlib.errors import GanlibError

DRAW = [(casting_images, CASTING_KINDS, 1), (cloud_images, CLOUD_KINDS, 3)]
FEW = {
    "casting": {"train_normal": 5, "test_normal": 3, "test_anomaly": 8},
    "cloud": {"normal": 4, "anomaly": 10},
}


def sha256(images):
    return hashlib.sha256(images.tobytes()).hexdigest()


@pytest.mark.parametrize(("draw", "kinds", "channels"), DRAW)
@pytest.mark.parametrize("size", [16, 33, 64])
def test_shape_and_type(draw, kinds, channels, size):
    images = draw(kinds, 0, size)
    assert images.shape == (len(kinds), size, size, channels)
    assert images.dtype == np.uint8
    assert draw([], 0, size).shape == (0, size, size, channels)
    assert draw(kinds[:1], 0).shape == (1, 128, 128, channels)


# Were one of these to change, everybody's generated data would: raise generate.VERSION with it.
@pytest.mark.parametrize(
    ("draw", "kinds", "size", "expected"),
    [
        (
            casting_images,
            CASTING_KINDS * 2,
            64,
            "4312176fcb4f6340331bc4bd2d6e9c3dfce16377facc47bd4e9c3dd6432d65c5",
        ),
        (
            casting_images,
            CASTING_KINDS,
            128,
            "b8b0ab3620e3abdeaaee00bc1ec3045aa02b2211b5b7bce35b7dcf2b38d49207",
        ),
        (
            cloud_images,
            CLOUD_KINDS * 4,
            64,
            "74e16c2373ef16eea3d1058baa46ca535b018d5e187b75d9a3d43d9f19e50dc2",
        ),
        (
            cloud_images,
            CLOUD_KINDS,
            128,
            "58e0625f7bbed0e2170add63ed687e9e8df78c4307901cb0baba6ec3998acac0",
        ),
    ],
    ids=["casting 64", "casting 128", "cloud 64", "cloud 128"],
)
def test_same_bytes_on_every_machine(draw, kinds, size, expected):
    assert sha256(draw(kinds, 7, size)) == expected


@pytest.mark.parametrize(("draw", "kinds", "_channels"), DRAW)
def test_a_picture_does_not_depend_on_its_neighbours(draw, kinds, _channels):
    together = draw(kinds, 3, 32, start=10)
    for i, kind in enumerate(kinds):
        np.testing.assert_array_equal(draw([kind], 3, 32, start=10 + i)[0], together[i])


@pytest.mark.parametrize(("draw", "kinds", "_channels"), DRAW)
def test_every_picture_and_every_seed_is_another(draw, kinds, _channels):
    for kind in kinds:
        images = np.concatenate([draw([kind] * 20, seed, 32) for seed in (0, 1)])
        assert len(np.unique(images, axis=0)) == 40


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize(
    ("kind", "largest_share"),
    [("dent", 0.03), ("burr", 0.2), ("blow_hole", 0.06), ("scratch", 0.08)],
)
def test_a_defect_changes_little_and_in_its_place(kind, largest_share, size, monkeypatch):
    monkeypatch.setattr(generate_casting, "DEFECTIVE_VIEW", generate_casting.SOUND_VIEW)
    n = 40
    sound = casting_images(["normal"] * n, 2, size).astype(int)
    defective = casting_images([kind] * n, 2, size).astype(int)
    difference = np.abs(defective - sound)[..., 0]
    changed = difference > 0
    shares = changed.mean(axis=(1, 2))
    assert shares.max() < largest_share
    # Visible: some pixel of every defect is far off, in most of them very far.
    assert difference.max(axis=(1, 2)).min() > 15
    assert np.median(difference.max(axis=(1, 2))) > 50
    rows, columns = np.indices((size, size))
    from_middle = np.hypot(rows - (size - 1) / 2, columns - (size - 1) / 2) / size
    seen = changed.any(axis=0)
    assert from_middle[seen].min() > {"burr": 0.33}.get(kind, 0.2)
    assert from_middle[seen].max() < {"burr": 0.6}.get(kind, 0.47)


@pytest.mark.parametrize("kind", CLOUD_KINDS[1:])
def test_clouds_hide_the_ground(kind):
    clear = cloud_images(["normal"] * 30, 2, 64).astype(float)
    clouded = cloud_images([kind] * 30, 2, 64).astype(float)
    assert np.abs(clouded - clear).max(axis=(1, 2, 3)).min() > 10
    if kind == "partly_cloudy":
        # Half of the ground, at least, is as on the clear day in most of the tiles.
        assert np.median((clouded == clear).mean(axis=(1, 2, 3))) > 0.5
    else:
        texture = [np.abs(np.diff(x, axis=1)).mean(axis=(1, 2, 3)) for x in (clear, clouded)]
        assert np.median(texture[1]) < 0.6 * np.median(texture[0])


def auroc(normal, anomalous):
    truth = np.repeat([0, 1], [len(normal), len(anomalous)])
    return roc_auc_score(truth, np.concatenate([normal, anomalous]))


def pca_errors(train, *tests):
    def flat(images):
        return images.reshape(len(images), -1) / 255

    pca = PCA(40, svd_solver="randomized", iterated_power=2, random_state=0).fit(flat(train))
    return [np.abs(pca.inverse_transform(pca.transform(flat(x))) - flat(x)) for x in tests]


def test_castings_are_as_hard_as_real_ones():
    train = casting_images(["normal"] * 300, 0, 64)
    sound = casting_images(["normal"] * 100, 0, 64, start=300)
    defective = casting_images(CASTING_KINDS[1:] * 25, 0, 64, start=400)
    darkness = auroc(-sound.mean(axis=(1, 2, 3)), -defective.mean(axis=(1, 2, 3)))
    assert 0.3 < darkness < 0.8
    errors = pca_errors(train, sound, defective)
    assert auroc(*(e.max(axis=1) for e in errors)) > 0.85


def test_clouds_are_as_hard_as_real_ones():
    train = cloud_images(["normal"] * 300, 0, 64)
    clear = cloud_images(["normal"] * 100, 0, 64, start=300)
    skies = {
        kind: cloud_images([kind] * 60, 0, 64, start=400 + 60 * i)
        for i, kind in enumerate(CLOUD_KINDS[1:])
    }
    brightness = {
        kind: auroc(clear.mean(axis=(1, 2, 3)), sky.mean(axis=(1, 2, 3)))
        for kind, sky in skies.items()
    }
    assert brightness["cloudy"] > 0.9
    assert 0.75 < brightness["haze"] < 0.98
    assert 0.45 < brightness["partly_cloudy"] < 0.75
    errors = [e.mean(axis=1) for e in pca_errors(train, clear, *skies.values())]
    simplicity = {k: auroc(errors[0], e) for k, e in zip(skies, errors[1:], strict=True)}
    assert simplicity["cloudy"] < 0.4
    assert simplicity["haze"] < 0.45
    assert simplicity["partly_cloudy"] > 0.6


def test_casting_folders(tmp_path):
    root = write_dataset("casting", tmp_path / "a" / "casting", 5, 32, FEW["casting"])
    top = root / "casting_data" / "casting_data"
    names = {
        folder: sorted(p.name for p in (top / folder).iterdir())
        for folder in ("train/ok_front", "test/ok_front", "test/def_front")
    }
    assert names == {
        "train/ok_front": [f"cast_ok_0_{i:04d}.png" for i in range(1, 6)],
        "test/ok_front": [f"cast_ok_0_{i:04d}.png" for i in range(6, 9)],
        "test/def_front": [f"cast_def_0_{i:04d}.png" for i in range(1, 9)],
    }
    with Image.open(top / "test/def_front/cast_def_0_0002.png") as image:
        assert image.mode == "L"
        expected = casting_images(["burr"], 5, 32, start=9)[0, :, :, 0]
        np.testing.assert_array_equal(np.asarray(image), expected)
    assert read_kinds(root / "casting_kinds.csv") == [
        (f"cast_def_0_{i + 1:04d}.png", kind) for i, kind in enumerate(CASTING_KINDS[1:] * 2)
    ]
    marker = (root / "GENERATED.txt").read_text()
    assert "seed: 5" in marker
    assert f"version: {generate.VERSION}" in marker
    assert len(list(root.iterdir())) == 3
    assert [p.name for p in root.parent.iterdir()] == ["casting"]


def test_cloud_folders(tmp_path):
    root = write_dataset("cloud", tmp_path / "cloud", image_size=32, counts=FEW["cloud"])
    clear = sorted(p.name for p in (root / "noncloud/noncloud").iterdir())
    clouded = sorted(p.name for p in (root / "cloud/cloud").iterdir())
    assert clear == [f"train_{i:04d}.png" for i in range(1, 5)]
    assert clouded == [f"train_{i:04d}.png" for i in range(5, 15)]
    kinds = read_kinds(root / "cloud_kinds.csv")
    assert [file for file, _ in kinds] == clouded
    shares = {kind: [k for _, k in kinds].count(kind) for kind in CLOUD_KINDS}
    assert shares == {"normal": 0, "cloudy": 4, "partly_cloudy": 4, "haze": 2}
    with Image.open(root / "cloud/cloud" / clouded[0]) as image:
        assert image.mode == "RGB"


def read_kinds(path):
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "kind"]
    return [tuple(row) for row in rows[1:]]


def test_the_archives_have_the_papers_numbers():
    assert {name: dict(archive.counts) for name, archive in ARCHIVES.items()} == {
        "casting": {"train_normal": 2875, "test_normal": 262, "test_anomaly": 453},
        "cloud": {"normal": 1500, "anomaly": 100},
    }


def test_writing_does_not_depend_on_the_chunks(tmp_path, monkeypatch):
    roots = []
    for chunk in (2, 7):
        monkeypatch.setattr(generate, "CHUNK", chunk)
        roots.append(write_dataset("casting", tmp_path / str(chunk), 1, 16, FEW["casting"]))
    files = [sorted(p for p in root.rglob("*") if p.is_file()) for root in roots]
    assert len(files[0]) == 5 + 3 + 8 + 2
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("broken", ["picture", "table"])
def test_a_failure_midway_leaves_nothing(tmp_path, monkeypatch, broken):
    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    def save(image, path, **options):
        if path.name == "train_0006.png":
            fail()
        path.touch()

    if broken == "picture":
        monkeypatch.setattr(Image.Image, "save", save)
    else:
        monkeypatch.setattr(generate, "_write_kinds", fail)
    with pytest.raises(OSError, match="No space left"):
        write_dataset("cloud", tmp_path / "cloud", image_size=16, counts=FEW["cloud"])
    assert list(tmp_path.iterdir()) == []


def test_an_empty_root_is_filled_and_a_full_one_kept(tmp_path):
    root = tmp_path / "cloud"
    root.mkdir()
    write_dataset("cloud", root, image_size=16, counts=FEW["cloud"])
    with pytest.raises(GanlibError, match="already exists"):
        write_dataset("cloud", root, image_size=16, counts=FEW["cloud"])
    assert (root / "GENERATED.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": ["normal", "rust"]}, r"kinds\[1\] is 'rust'; expected one of normal, dent"),
        ({"kinds": "normal"}, "kinds is the string 'normal'; expected a list"),
        ({"image_size": 8}, "image_size is 8; expected 16 or more"),
        ({"seed": -1}, "seed is -1"),
        ({"start": -1}, "start is -1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(GanlibError, match=message):
        casting_images(**{"kinds": ["normal"], "seed": 0, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "steel"}, "data set is 'steel'; expected one of casting, cloud"),
        ({"counts": {"test": 3}}, "counts has a part 'test'; cloud has normal, anomaly"),
        ({"counts": {"normal": -3}}, r"counts\['normal'\] is -3; expected 0 or more"),
        ({"image_size": 4}, "image_size is 4"),
        ({"seed": -2}, "seed is -2"),
    ],
)
def test_wrong_arguments_make_no_folder(tmp_path, arguments, message):
    with pytest.raises(GanlibError, match=message):
        write_dataset(**{"name": "cloud", "root": tmp_path / "new" / "cloud", **arguments})
    assert list(tmp_path.iterdir()) == []
