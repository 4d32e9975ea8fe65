"""Near-duplicates and the audit: which copies are found, and what is never taken for one."""

import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from ganlib import data
from ganlib.data import duplicates as duplicates_module
from ganlib.data.duplicates import SIZE, THRESHOLD
from ganlib.data.synthetic import casting_images, cloud_images

REAL_IMAGES = os.environ.get("GANLIB_DATA")


@pytest.fixture(scope="module")
def castings():
    return np.concatenate([casting_images(["normal"], seed) for seed in range(30)])


def changed(matrix, shift=(0, 0)):
    """Return a function that resamples an image `(h, w, 1)` about its middle."""
    matrix = np.array(matrix)

    def change(image):
        middle = (np.array(image.shape[:2]) - 1) / 2
        offset, grey = middle - matrix @ middle + shift, image[..., 0].astype(float)
        grey = ndimage.affine_transform(grey, matrix, offset, order=1, mode="nearest")
        return grey.round().clip(0, 255).astype(np.uint8)[..., None]

    return change


FLIPS = [
    lambda image: image,
    lambda image: image[::-1],
    lambda image: image[:, ::-1],
    np.rot90,
    lambda image: np.rot90(image, 2),
    lambda image: image.swapaxes(0, 1),
]
COPIES = [
    *FLIPS,
    lambda image: (0.9 * image + 25).round().astype(np.uint8),  # brighter
    lambda image: (0.7 * image + 10).round().astype(np.uint8),  # less contrast
    changed([[0.94, -0.342], [0.342, 0.94]]),  # turned by 20 degrees
    changed([[1.01, 0], [0, 1.01]], (1, -1)),  # a little smaller and aside
    changed([[1.02, 0.01], [0.01, 1.0]]),  # slanted
]


def test_copies_of_castings_and_of_chips_fall_into_their_images_group_and_others_do_not(castings):
    originals = np.concatenate([casting_images(["normal"], seed, 256) for seed in range(6)])
    images = np.concatenate([originals, [c(image) for image in originals for c in COPIES]])
    # 2x2 pixels are averaged, as decoding does after the copies were made
    halves = images.reshape(len(images), 128, 2, 128, 2, 1).mean((2, 4)).round().astype(np.uint8)
    # Generated castings are grainier than real ones: a turn between two of the angles that are
    # tried costs them up to 0.04, unrelated ones are 0.13 apart and more.
    groups = data.near_duplicate_groups(halves, 0.06)
    assert groups.tolist() == [*range(6), *np.repeat(np.arange(6), len(COPIES))]
    assert data.near_duplicate_groups(castings).tolist() == list(range(30))
    for flip in FLIPS:  # no distance at all
        index, distance = data.nearest(np.array([flip(image) for image in castings[:4]]), castings)
        assert index.tolist() == [0, 1, 2, 3]
        assert distance.max() < 1e-4
    chips = cloud_images(["normal"] * 20, seed=1)
    flipped = np.rot90(chips[:, ::-1], axes=(1, 2))
    groups = data.near_duplicate_groups(np.concatenate([chips, flipped]))
    assert groups.tolist() == [*range(20), *range(20)]


def test_groups_are_the_components_of_near_pairs_whatever_the_chunks(castings, monkeypatch):
    codes = duplicates_module._describe(castings)
    (_, distances), *_ = duplicates_module._distances(codes, codes)
    for pairs in (duplicates_module.PAIRS, 200):
        monkeypatch.setattr(duplicates_module, "PAIRS", pairs)
        monkeypatch.setattr(duplicates_module, "CHUNK", 7)
        for threshold in (0.1, 0.15):
            count, components = connected_components(distances < threshold, directed=False)
            assert 1 < count < 30
            groups = data.near_duplicate_groups(castings, threshold)
            assert groups.tolist() == pd.factorize(components)[0].tolist()


def test_flat_images_are_no_copies_and_of_equally_near_ones_the_first_is_nearest(castings):
    noise = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    images = np.concatenate([np.full((2, 16, 16, 3), 90, np.uint8), noise])
    assert data.near_duplicate_groups(images).tolist() == [0, 1, 2, 3]
    index, distance = data.nearest(castings[:2], np.concatenate([castings[5:7], castings[1:2]] * 2))
    assert index[1] == 2
    assert distance[1] < 1e-4 and distance[0] > THRESHOLD
    assert (index.dtype, distance.dtype) == (np.int64, np.float32)


PARTS = {"train_normal": 8, "test_normal": 4, "test_anomaly": 4}


@pytest.fixture
def dataset(castings, tmp_path):
    """8 + 4 + 4 images: test normal 0 is training file 0, test normal 1 is training image 1
    turned; anomalies 0 and 1 are one picture, and anomaly 2 is training file 2."""
    images = list(castings[:16])
    images[8], images[9] = images[0], np.rot90(images[1])
    images[13], images[14] = images[12][::-1], images[2]
    rows = []
    for i, part in enumerate(part for part, count in PARTS.items() for _ in range(count)):
        Image.fromarray(images[i][..., 0]).save(tmp_path / f"{i:02}.png")
        label = int(part == "test_anomaly")
        rows.append((f"{i:02}.png", part, label, "dent" if label else "normal"))
    files = pd.DataFrame(rows, columns=["file", "part", "label", "kind"])
    digests = dict.fromkeys(PARTS, "0")
    return data.Dataset("casting", "unverified", tmp_path, files, digests, (), tmp_path / "data")


def test_normals_and_anomalies_are_grouped_apart_and_cached_by_threshold(dataset, monkeypatch):
    groups = data.groups_of(dataset)
    assert groups[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 8, 9]
    assert groups[12:].tolist() == [10, 10, 11, 12]
    first = data.groups_of(dataset)
    assert len(set(data.groups_of(dataset, 0.5))) < len(set(first))
    caches = sorted((dataset.cache_dir / "cache").glob("*groups*"))
    assert len(caches) == 2
    with monkeypatch.context() as patch:
        patch.setattr(duplicates_module, "near_duplicate_groups", lambda *_: pytest.fail("again"))
        assert data.groups_of(dataset).tolist() == first.tolist()
    for path in caches:
        path.write_bytes(b"broken")
    assert data.groups_of(dataset).tolist() == first.tolist()


def test_the_audit_counts_copies_within_and_across_sets_and_compares_brightness(dataset):
    audit = data.audit_dataset(dataset)
    copies = audit.copies.set_index(["of", "within"])
    assert copies.loc[("test normal", "train")].tolist() == [4, 1, 1, 2]
    assert copies.loc[("train", "test normal")].tolist() == [8, 1, 1, 2]
    assert copies.loc[("train", "train")].tolist() == [8, 0, 0, 0]
    assert copies.loc[("test anomaly", "test anomaly")].tolist() == [4, 0, 0, 2]
    assert copies.loc[("test anomaly", "train")].tolist()[:3] == [4, 1, 1]
    assert copies.loc[("test anomaly", "train"), "near"] is pd.NA

    assert audit.groups["images"].tolist() == [2, 2] + [1] * 8
    assert audit.groups.iloc[0].to_dict() == {
        "group": 0, "images": 2, "train": 1, "test normal": 1,
    }  # fmt: skip

    table = audit.nearest
    assert table["copy"].tolist() == [True, True, False, False]
    assert table["distance"].is_monotonic_increasing
    found = table.set_index("row")
    assert found.loc[[8, 9], "nearest_row"].tolist() == [0, 1]
    assert found.loc[[8, 9], "nearest_file"].tolist() == ["00.png", "01.png"]
    assert found["same_file"].to_dict() == {8: True, 9: False, 10: False, 11: False}
    line = audit.brightness.set_index(["set", "kind"]).loc["test anomaly", "dent"]
    images = [np.asarray(Image.open(dataset.root / f"{i}.png"), float) for i in range(12, 16)]
    means, spreads = ([float(f(image)) for image in images] for f in (np.mean, np.std))
    expected = [4, np.mean(means), np.std(means, ddof=1), np.mean(spreads), np.std(spreads, ddof=1)]
    assert line.tolist() == pytest.approx(expected)


@pytest.mark.skipif(not REAL_IMAGES, reason="GANLIB_DATA names no folder with the real images")
def test_the_real_castings_come_from_18_photographs(tmp_path):
    """Not from 519: any threshold between .011 and .036 gives the same 18 groups."""
    casting = data.open_dataset("casting", "kaggle", tmp_path, lambda _: None)
    groups = data.groups_of(casting)
    normal = casting.files["label"].to_numpy() == 0
    sizes = np.bincount(groups[normal])
    assert normal.sum() == 3137
    assert len(sizes) == 18
    assert (sizes.min(), sizes.max()) == (27, 339)

    leaks = data.audit_dataset(casting).nearest
    assert leaks["same_file"].sum() == 64
    assert leaks["copy"].all()  # each of the paper's 262 is a copy of a training image

    assert len(np.intersect1d(*(groups[rows] for rows in data.paper_split(casting)[:2]))) == 16
    split = data.grouped_split(casting, groups)
    assert len(split.test_normal) >= 262
    held_out = np.concatenate([split.test_normal, split.calibration])
    images = data.load_images(casting, SIZE, 1)
    assert data.nearest(images[held_out], images[split.train])[1].min() > 0.036
