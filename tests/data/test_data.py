"""Data sets: what is taken, what is refused, and what the pixels and rows are exactly."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import types
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFile

from ganlib.data import ARCHIVES, Dataset, load_images, locate, open_dataset, paper_split
from ganlib.data import catalogue as catalogue_module
from ganlib.data import dataset as dataset_module
from ganlib.data import images as images_module
from ganlib.data.images import decode
from ganlib.errors import GanlibError

REAL_IMAGES = os.environ.get("GANLIB_DATA")
CASTING, CLOUD = ARCHIVES["casting"], ARCHIVES["cloud"]
COUNTS = {"train_normal": 5, "test_normal": 3, "test_anomaly": 4}
ENDS = {
    "train_normal": "train/ok_front",
    "test_normal": "test/ok_front",
    "test_anomaly": "test/def_front",
}
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Keep the tests off the network, the generator and the user's own images."""
    monkeypatch.delenv("GANLIB_DATA", raising=False)
    monkeypatch.setattr(dataset_module, "download", lambda *_: pytest.fail("downloads"))
    generate = types.ModuleType("ganlib.data.synthetic")
    generate.write_dataset = lambda *_: pytest.fail("generates")
    monkeypatch.setitem(sys.modules, "ganlib.data.synthetic", generate)


@pytest.fixture
def tiny(monkeypatch):
    """Make casting an archive of 5 + 3 + 4 images without known digests."""
    archive = dataclasses.replace(CASTING, counts=COUNTS, digests={})
    monkeypatch.setitem(ARCHIVES, "casting", archive)
    return archive


def png(value, size=4):
    """Encode a grey image of one value."""
    file = io.BytesIO()
    Image.new("L", (size, size), value).save(file, "PNG")
    return file.getvalue()


def fill(folder, names, first=0):
    """Write images whose grey values count up from `first`."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        (folder / name).write_bytes(png((first + i) % 256))


def make_casting(root, nesting="casting_data/casting_data", counts=COUNTS):
    """Write a casting archive with its decoys; grey values differ from part to part."""
    for i, (part, end) in enumerate(ENDS.items()):
        fill(root / nesting / end, [f"{part}_{n}.png" for n in range(counts[part])], 10 * i)
    fill(root / nesting / "train/def_front", ["decoy.png"])
    fill(root / "casting_512x512/casting_512x512/ok_front", ["decoy.png"])
    fill(root / "casting_512x512/casting_512x512/def_front", ["decoy.png"])
    return root


def make_cloud(root, normal, anomaly):
    fill(root / "noncloud/noncloud", [f"n{i:04}.png" for i in range(normal)])
    fill(root / "cloud/cloud", [f"a{i:04}.png" for i in range(anomaly)])
    return root


def make_generated(root):
    make_casting(root)
    (root / "GENERATED.txt").write_text("generated")
    return root


def generator(monkeypatch, write):
    """Stand in for the generator; returns the list of its calls."""
    calls = []

    def write_dataset(name, root):
        calls.append((name, root))
        write(root)

    monkeypatch.setattr(sys.modules["ganlib.data.synthetic"], "write_dataset", write_dataset)
    return calls


def quiet(*args, **kwargs):
    return open_dataset(*args, on_message=lambda _: None, **kwargs)


def bare(name, **counts):
    """Make a Dataset of rows without files."""
    rows = [(f"{part}{i}", part, 0, "normal") for part, n in counts.items() for i in range(n)]
    files = pd.DataFrame(rows, columns=["file", "part", "label", "kind"])
    return Dataset(name, "unverified", Path(), files, dict.fromkeys(counts, "0"), (), Path())


# Which files a data set has


@pytest.mark.parametrize("nesting", ["casting_data/casting_data", "casting_data", "."])
def test_the_parts_are_found_at_every_nesting_and_nothing_else(tiny, tmp_path, nesting):
    make_casting(tmp_path / "x", nesting)
    dataset = quiet("casting", tmp_path / "x", tmp_path / "d")
    prefix = "" if nesting == "." else nesting + "/"
    assert dataset.files["file"].tolist() == [
        f"{prefix}{end}/{part}_{n}.png" for part, end in ENDS.items() for n in range(COUNTS[part])
    ]
    assert dataset.files["part"].tolist() == [part for part in COUNTS for _ in range(COUNTS[part])]
    assert dataset.files["label"].tolist() == [0] * 8 + [1] * 4
    assert dataset.files["kind"].tolist() == ["normal"] * 8 + ["anomaly"] * 4


@pytest.mark.parametrize("nesting", [("noncloud/noncloud", "cloud/cloud"), ("noncloud", "cloud")])
def test_cloud_is_found_nested_and_flattened(tmp_path, nesting):
    fill(tmp_path / nesting[0], [f"n{i}.png" for i in range(101)])
    fill(tmp_path / nesting[1], ["a.png"])
    files = quiet("cloud", tmp_path, tmp_path / "d").files
    assert files["file"].iloc[-1] == f"{nesting[1]}/a.png"
    assert files["label"].tolist() == [0] * 101 + [1]


def test_only_images_count_sorted_by_name(monkeypatch, tmp_path):
    counts = {"train_normal": 6, "test_normal": 1, "test_anomaly": 1}
    archive = dataclasses.replace(CASTING, counts=counts, digests={})
    monkeypatch.setitem(ARCHIVES, "casting", archive)
    root = make_casting(tmp_path / "x", ".", counts | {"train_normal": 0})
    train = root / "train/ok_front"
    fill(train, ["z.JPG", "b.Tiff", "a10.png", "a2.bmp", "B.jpeg", "c.tif"])
    fill(train, [".hidden.png", "._a2.png", "notes.txt", "Thumbs.db"])
    files = quiet("casting", root, tmp_path).files
    names = [Path(file).name for file in files["file"][files["part"] == "train_normal"]]
    assert names == ["B.jpeg", "a10.png", "a2.bmp", "b.Tiff", "c.tif", "z.JPG"]


def test_kinds_come_from_the_table_and_only_for_anomalies(tiny, tmp_path):
    make_casting(tmp_path)
    (tmp_path / "any_kinds.csv").write_text(
        "file,kind\ntest_anomaly_2.png,hole\ntest_anomaly_0.png,NA\ntest_normal_0.png,scratch\n"
    )
    files = quiet("casting", tmp_path, tmp_path).files
    assert files["kind"].tolist() == ["normal"] * 8 + ["NA", "anomaly", "hole", "anomaly"]


@pytest.mark.parametrize("text", ["", "name,kind\na,b\n"])
def test_a_bad_table_of_kinds_is_named(tiny, tmp_path, text):
    make_casting(tmp_path)
    (tmp_path / "casting_kinds.csv").write_text(text)
    with pytest.raises(GanlibError, match=r"casting_kinds\.csv.*columns file,kind"):
        quiet("casting", tmp_path, tmp_path)


# Digests


def test_the_digest_of_a_part_is_the_documented_one(tmp_path):
    (tmp_path / "b").write_bytes(b"xyz")
    (tmp_path / "a").write_bytes(b"")
    expected = hashlib.sha256(b"a\x000\x00" + b"b\x003\x00xyz").hexdigest()
    files = [tmp_path / "b", tmp_path / "a"]
    assert catalogue_module.part_digest(files) == expected


def test_digests_depend_on_names_and_bytes_alone(tiny, tmp_path):
    def digest(root):
        dataset = quiet("casting", root, tmp_path)
        return dataset.digest, dict(dataset.digests)

    first, parts = digest(make_casting(tmp_path / "one"))
    other = make_casting(tmp_path / "two", ".")
    folder = other / "train/ok_front"
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    folder.mkdir()
    for name in sorted(contents, reverse=True):
        (folder / name).write_bytes(contents[name])
    assert digest(other) == (first, parts)

    (folder / "train_normal_3.png").write_bytes(png(99))
    changed, changed_parts = digest(other)
    assert changed != first
    assert [part for part in parts if parts[part] != changed_parts[part]] == ["train_normal"]

    (folder / "train_normal_3.png").write_bytes(contents["train_normal_3.png"])
    assert digest(other)[0] == first
    (folder / "train_normal_3.png").rename(folder / "train_normal_30.png")
    assert digest(other)[0] != first


def test_only_the_known_digests_are_kaggle(tiny, monkeypatch, tmp_path):
    make_casting(tmp_path)
    unknown = quiet("casting", tmp_path, tmp_path)
    assert unknown.source == "unverified"
    assert unknown.caption.endswith("images in Kaggle's layout, Kaggle's digest not on record")

    known = dataclasses.replace(tiny, digests=unknown.digests)
    monkeypatch.setitem(ARCHIVES, "casting", known)
    dataset = quiet("casting", tmp_path, tmp_path)
    assert (dataset.source, dataset.notes) == ("kaggle", ())
    assert dataset.caption == "casting, Kaggle images (digest verified)"

    path = tmp_path / "casting_data/casting_data/test/def_front/test_anomaly_0.png"
    path.write_bytes(png(123))
    dataset = quiet("casting", tmp_path, tmp_path)
    assert dataset.source == "unverified"
    assert dataset.caption == (
        "casting: 5 + 3 + 4 images in Kaggle's layout, digest is not Kaggle's"
    )
    assert len(dataset.notes) == 1
    assert "of test_anomaly are not" in dataset.notes[0]


# What is refused


def test_an_unknown_name_lists_the_names():
    for function in (open_dataset, locate):
        with pytest.raises(GanlibError, match=r"'clouds'.*casting, cloud"):
            function("clouds")


def test_folders_without_the_images_are_refused(tmp_path):
    for function in (quiet, locate):
        with pytest.raises(GanlibError, match=r"no/where is not a folder.*'generated'"):
            function("casting", "no/where", data_dir=tmp_path)
        with pytest.raises(GanlibError, match=r"does not hold the casting images.*train/ok_front"):
            function("casting", tmp_path, data_dir=tmp_path)


def test_a_wrong_variable_is_refused_rather_than_passed_over(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path / "typo"))
    with pytest.raises(GanlibError, match=r"GANLIB_DATA names .*typo"):
        locate("casting", data_dir=tmp_path)


def test_missing_and_empty_parts_are_named(tiny, tmp_path):
    folder = make_casting(tmp_path) / "casting_data/casting_data/test/def_front"
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(GanlibError, match=r"test/def_front holds no image.*expected 4"):
        quiet("casting", tmp_path, tmp_path)
    folder.rmdir()
    with pytest.raises(GanlibError, match=r"lacks the test_anomaly images.*test/def_front"):
        quiet("casting", tmp_path, tmp_path)


@pytest.mark.parametrize("change", [-1, 1])
def test_other_counts_of_casting_are_refused(tiny, tmp_path, change):
    make_casting(tmp_path, counts=COUNTS | {"test_normal": 3 + change})
    with pytest.raises(GanlibError) as error:
        quiet("casting", tmp_path, tmp_path)
    assert f"5 + {3 + change} + 4 images" in str(error.value)
    assert "expected 5 + 3 + 4. Unzip" in str(error.value)


def test_a_smaller_cloud_is_a_stand_in_that_says_so(tmp_path):
    dataset = quiet("cloud", make_cloud(tmp_path, 101, 1), tmp_path)
    assert dataset.source == "unverified"
    assert dataset.caption == (
        "cloud stand-in: 101 + 1 images in Kaggle's layout, not Kaggle's 1500 + 100"
    )
    assert len(dataset.notes) == 1
    assert "101 + 1 images are a stand-in" in dataset.notes[0]


def test_a_cloud_that_leaves_nothing_to_train_on_is_refused(tmp_path):
    with pytest.raises(GanlibError, match=r"100 \+ 1 images.*more than 100 normal"):
        quiet("cloud", make_cloud(tmp_path, 100, 1), tmp_path)


def test_generated_images_must_be_complete_even_for_cloud(tmp_path):
    make_cloud(tmp_path, 101, 1)
    (tmp_path / "GENERATED.txt").write_text("generated")
    with pytest.raises(GanlibError, match=r"101 \+ 1 images.*expected 1500 \+ 100.*Delete"):
        quiet("cloud", tmp_path, tmp_path)


# Which images are taken


def test_auto_takes_the_best_there_is_and_says_so(tiny, monkeypatch, tmp_path):
    """Start with everything there and take away one place after the other."""
    data_dir, named = tmp_path / "data", tmp_path / "named"
    monkeypatch.setenv("GANLIB_DATA", str(named))
    places = [
        (make_casting(data_dir / tiny.folder), "unverified", f"real images found in {data_dir}"),
        (make_casting(named / tiny.folder), "unverified", "real images found in GANLIB_DATA"),
        (make_generated(data_dir / "generated" / tiny.folder), "generated", "no real images"),
    ]
    for root, source, why in places:
        lines = []
        dataset = open_dataset("casting", "auto", data_dir, lines.append)
        assert (dataset.root, dataset.source) == (root, source)
        assert dataset.cache_dir == data_dir
        assert len(lines) == 1
        assert why in lines[0]
        assert dataset.caption in lines[0]
        assert locate("casting", "auto", data_dir) == root
        shutil.rmtree(root)
    assert locate("casting", "auto", data_dir) is None

    def download(archive, folder, check):
        return make_casting(folder / archive.folder)

    monkeypatch.setattr(dataset_module, "download", download)
    lines = []
    dataset = open_dataset("casting", "auto", data_dir, lines.append)
    assert dataset.root == data_dir / tiny.folder
    assert "downloaded from Kaggle" in lines[-1]


def test_auto_generates_when_kaggle_does_not_let_in(tiny, monkeypatch, tmp_path):
    def download(*_):
        raise GanlibError("Kaggle is away.\nLog in so and so")

    monkeypatch.setattr(dataset_module, "download", download)
    calls = generator(monkeypatch, make_generated)
    lines = []
    dataset = open_dataset("casting", data_dir=tmp_path, on_message=lines.append)
    assert calls == [("casting", tmp_path / "generated" / tiny.folder)]
    assert dataset.source == "generated"
    assert dataset.caption == "GENERATED images (casting-like)"
    assert "newly generated, Kaggle is away." in lines[-1]
    assert "Log in" not in "".join(lines)
    with pytest.raises(GanlibError, match="Log in"):
        quiet("casting", "kaggle", tmp_path)


def test_generated_and_kaggle_are_never_taken_for_each_other(tiny, monkeypatch, tmp_path):
    make_casting(tmp_path / tiny.folder)
    assert locate("casting", "generated", tmp_path) is None
    calls = generator(monkeypatch, make_generated)
    first = quiet("casting", "generated", tmp_path)
    assert first.source == "generated"
    assert locate("casting", "generated", tmp_path) == first.root
    assert quiet("casting", "generated", tmp_path).digest == first.digest
    assert len(calls) == 1

    shutil.rmtree(tmp_path / tiny.folder)
    shutil.copytree(first.root, tmp_path / tiny.folder)
    assert locate("casting", "kaggle", tmp_path) is None
    assert quiet("casting", tmp_path / tiny.folder, tmp_path).source == "generated"


def test_a_folder_is_the_archive_or_holds_it(tiny, tmp_path):
    root = make_casting(tmp_path / "here" / tiny.folder)
    for data in (root, tmp_path / "here", str(tmp_path / "here")):
        dataset = quiet("casting", data, tmp_path / "d")
        assert dataset.root == root
        assert locate("casting", data, tmp_path / "d") == root
        assert (root / dataset.files["file"].iloc[0]).is_file()


# Decoding


def cells(mode, values):
    """Make a 2x2 image of four pixels."""
    image = Image.new(mode, (2, 2))
    image.putdata(values)
    return image


def palette(**options):
    image = cells("P", [0, 1, 1, 1])
    image.putpalette([200, 100, 40, 0, 20, 72])
    image.info.update(options)
    return image


def wide(values):
    return Image.fromarray(np.array(values, np.uint16).reshape(2, 2))


@pytest.mark.parametrize(
    ("image", "suffix", "grey", "colour"),
    [
        (cells("L", [0, 10, 20, 32]), "png", 16, (16, 16, 16)),
        (cells("1", [255, 0, 0, 0]), "png", 64, (64, 64, 64)),
        (cells("RGB", [(40, 80, 120)] * 4), "png", 73, (40, 80, 120)),
        (cells("RGB", [(8, 8, 8), (0, 0, 0), (0, 0, 0), (0, 0, 0)]), "bmp", 2, (2, 2, 2)),
        # Without black, CMYK is what RGB lacks to 255.
        (cells("CMYK", [(10, 20, 30, 0)] * 4), "tif", 237, (245, 235, 225)),
        (cells("LA", [(200, 255), (200, 0), (200, 255), (200, 0)]), "png", 100, (100,) * 3),
        (cells("RGBA", [(200, 100, 40, 0)] * 3 + [(200, 100, 40, 255)]), "png", 31, (50, 25, 10)),
        (palette(), "png", 46, (50, 40, 64)),
        (palette(transparency=0), "png", 15, (0, 15, 54)),
        (wide([0, 65535, 65535, 65535]), "png", 191, (191, 191, 191)),
        # 100.4 three times and 101.3: the mean is 100.6, that of the rounded levels 100.25.
        (wide([25803, 25803, 25803, 26034]), "png", 101, (101, 101, 101)),
        (wide([25803, 25803, 25803, 26034]), "tif", 101, (101, 101, 101)),
    ],
)
def test_every_mode_becomes_the_expected_pixel(tmp_path, image, suffix, grey, colour):
    path = tmp_path / f"image.{suffix}"
    image.save(path)
    for channels, expected in ((1, (grey,)), (3, colour)):
        pixels = decode(path, 1, channels)
        assert (pixels.dtype, pixels.shape) == (np.uint8, (1, 1, channels))
        assert tuple(pixels[0, 0].tolist()) == expected
        assert decode(path, 5, channels).shape == (5, 5, channels)


def test_shrinking_takes_the_plain_mean_of_the_covered_pixels(tmp_path):
    levels = np.full((8, 12), 200, np.uint8)
    levels[0, 0] = 8  # a dark defect in a corner, which other filters weight less
    Image.fromarray(levels).save(tmp_path / "image.png")
    pixels = decode(tmp_path / "image.png", 2, 1)[..., 0]
    assert pixels.tolist() == [[192, 200], [200, 200]]  # 4x6 pixels each, (23 * 200 + 8) / 24


def test_the_same_size_changes_no_pixel(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "image.png")
    np.testing.assert_array_equal(decode(tmp_path / "image.png", 6, 3), levels)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif"])
def test_truncated_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    levels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(levels).save(path)
    decode(path, 4, 1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(GanlibError, match=rf"cut\.{suffix} cannot be read"):
        decode(path, 4, 1)


def test_pillow_may_not_fill_up_truncated_files(monkeypatch, tmp_path):
    (tmp_path / "image.png").write_bytes(png(3))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(GanlibError, match="LOAD_TRUNCATED_IMAGES"):
        decode(tmp_path / "image.png", 4, 1)


def test_files_that_are_no_known_image_are_named(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((2, 2), 70000, np.int32)).save(tmp_path / "int.tif")
    for name in ("text.jpg", "float.tif", "int.tif", "absent.png"):
        with pytest.raises(GanlibError, match=name):
            decode(tmp_path / name, 4, 1)


def test_impossible_shapes_are_refused(tmp_path):
    for size, channels in ((0, 1), (4, 2), (4, 4)):
        with pytest.raises(GanlibError, match="image_size is at least 1"):
            decode(tmp_path / "any.png", size, channels)


# The cache of decoded images


@pytest.fixture
def casting(tiny, tmp_path):
    """Open the tiny casting set, its cache at `tmp_path/d/cache`."""
    return quiet("casting", make_casting(tmp_path / "x"), tmp_path / "d")


def cache_files(tmp_path):
    return sorted(path.name for path in (tmp_path / "d/cache").iterdir())


def refuse(*_):
    raise AssertionError("decodes")


def test_row_i_is_file_i(casting, monkeypatch, tmp_path):
    monkeypatch.setattr(images_module, "BATCH", 5)  # neither one batch nor whole ones
    before = sorted(casting.root.rglob("*"))
    images = load_images(casting, 4, 3)
    assert isinstance(images, np.memmap)
    assert (images.dtype, images.shape) == (np.uint8, (12, 4, 4, 3))
    grey = [10 * i + n for i, part in enumerate(COUNTS) for n in range(COUNTS[part])]
    assert images.min((1, 2, 3)).tolist() == images.max((1, 2, 3)).tolist() == grey
    assert not images.flags.writeable
    assert cache_files(tmp_path) == [f"casting-{casting.digest[:12]}-4x4x3-v1.npy"]
    assert sorted(casting.root.rglob("*")) == before


def test_the_cache_spares_decoding(casting, monkeypatch, tmp_path):
    first = np.array(load_images(casting, 4, 1))
    monkeypatch.setattr(images_module, "decode", refuse)
    np.testing.assert_array_equal(load_images(casting, 4, 1), first)
    for size, channels, folder in ((5, 1, None), (4, 3, None), (4, 1, tmp_path / "other")):
        with pytest.raises(AssertionError, match="decodes"):
            load_images(casting, size, channels, folder)


def test_other_bytes_or_another_version_are_decoded_again(casting, monkeypatch, tmp_path):
    load_images(casting, 4, 1)
    (casting.root / casting.files["file"].iloc[2]).write_bytes(png(250))
    changed = quiet("casting", casting.root, tmp_path / "d")
    assert load_images(changed, 4, 1)[2].max() == 250
    monkeypatch.setattr(images_module, "CODE_VERSION", 99)
    load_images(changed, 4, 1)
    assert len(cache_files(tmp_path)) == 3


def save(array):
    def spoil(path):
        np.save(path, array)

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        save(np.zeros((3, 4, 4, 1), np.uint8)),
        save(np.zeros((12, 4, 4, 1), np.int8)),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"garbage" * 50),
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
    ],
)
def test_a_spoilt_cache_is_rebuilt(casting, tmp_path, spoil):
    first = np.array(load_images(casting, 4, 1))
    path = tmp_path / "d/cache" / cache_files(tmp_path)[0]
    spoil(path)
    np.testing.assert_array_equal(load_images(casting, 4, 1), first)
    np.testing.assert_array_equal(np.load(path), first)


def test_a_failure_midway_leaves_nothing(casting, monkeypatch, tmp_path):
    monkeypatch.setattr(images_module, "BATCH", 4)
    (casting.root / casting.files["file"].iloc[9]).write_bytes(b"broken")
    with pytest.raises(GanlibError, match=r"test_anomaly_1\.png"):
        load_images(casting, 4, 1)
    assert cache_files(tmp_path) == []


def test_a_cache_appears_by_one_rename(casting, monkeypatch, tmp_path):
    def replace(*_):
        raise OSError("cannot rename")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(GanlibError, match="cannot rename"):
        load_images(casting, 4, 1)
    assert cache_files(tmp_path) == []


def test_too_little_space_is_seen_before_decoding(casting, monkeypatch, tmp_path):
    monkeypatch.setattr(images_module, "decode", refuse)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 2_000_000))
    with pytest.raises(GanlibError, match=r"12\.6 MB needed, 2\.0 MB free"):
        load_images(casting, 1024, 1)
    assert cache_files(tmp_path) == []


def test_a_disk_that_fills_up_is_told_and_leaves_nothing(casting, monkeypatch, tmp_path):
    def header(file, _):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", header)
    with pytest.raises(GanlibError, match=r"No space.*MB needed"):
        load_images(casting, 4, 1)
    assert cache_files(tmp_path) == []


def test_a_cache_that_cannot_be_made_is_named(casting, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GanlibError, match=r"file/cache.*another data_dir"):
        load_images(casting, 4, 1, tmp_path / "file")


# Splits


def test_casting_keeps_kaggles_split():
    split = paper_split(bare("casting", train_normal=30, test_normal=120, test_anomaly=150))
    assert split.train.tolist() == list(range(30))
    assert split.test_normal.tolist() == list(range(30, 150))
    assert split.test_anomaly.tolist() == list(range(150, 300))


def test_cloud_holds_100_normal_images_out():
    split = paper_split(bare("cloud", normal=500, anomaly=130))
    assert (len(split.train), len(split.test_normal), len(split.test_anomaly)) == (400, 100, 100)
    assert sorted([*split.train, *split.test_normal]) == list(range(500))
    assert split.test_anomaly.min() >= 500
    assert len(set(split.test_anomaly)) == 100
    assert 200 < split.test_normal.mean() < 300  # from everywhere, not from one end
    assert len(paper_split(bare("cloud", normal=101, anomaly=40)).test_anomaly) == 40


def test_scatter_plots_show_100_of_each_test():
    split = paper_split(bare("casting", train_normal=30, test_normal=262, test_anomaly=453))
    assert len(set(split.scatter_normal)) == len(set(split.scatter_anomaly)) == 100
    assert set(split.scatter_normal) < set(split.test_normal)
    assert set(split.scatter_anomaly) < set(split.test_anomaly)
    few = paper_split(bare("cloud", normal=200, anomaly=40))
    assert few.scatter_normal.tolist() == few.test_normal.tolist()
    assert few.scatter_anomaly.tolist() == few.test_anomaly.tolist()


@pytest.mark.parametrize("limit", [None, 7])
def test_a_split_depends_on_the_seed_alone(limit):
    dataset = bare("cloud", normal=500, anomaly=130)
    first, again = paper_split(dataset, 3, limit), paper_split(dataset, 3, limit)
    other = paper_split(dataset, 4, limit)
    assert len(first.calibration) == 0
    for rows, same, different in list(zip(first, again, other, strict=True))[:5]:
        assert rows.tolist() == same.tolist() == sorted(rows.tolist())
        assert rows.tolist() != different.tolist()
        assert rows.dtype == np.int64


def test_a_split_is_the_same_on_every_machine():
    split = paper_split(bare("cloud", normal=1500, anomaly=100))
    assert split.test_normal[:6].tolist() == [2, 3, 11, 13, 20, 53]


def test_a_limit_only_takes_away():
    dataset = bare("cloud", normal=500, anomaly=130)
    whole, few = paper_split(dataset), paper_split(dataset, limit=7)
    for rows, kept in zip(whole[:3], few[:3], strict=True):
        assert len(kept) == 7
        assert set(kept) < set(rows)
    assert few.scatter_normal.tolist() == few.test_normal.tolist()
    unchanged = paper_split(dataset, limit=1000)
    assert all(map(np.array_equal, whole, unchanged))


@pytest.mark.parametrize(("seed", "limit"), [(-1, None), (0, 0)])
def test_impossible_splits_are_refused(seed, limit):
    with pytest.raises(GanlibError, match="limit is at least 1"):
        paper_split(bare("cloud", normal=500, anomaly=130), seed, limit)


# The package and the real images


def test_looking_needs_neither_keras_nor_pandas():
    script = (
        "import sys, json, ganlib.data; ganlib.data.locate('casting', data_dir='none')\n"
        "heavy = ('keras', 'tensorflow', 'pandas', 'scipy')\n"
        "print(json.dumps([m for m in heavy if m in sys.modules]))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    assert json.loads(shown) == []


@pytest.mark.skipif(not REAL_IMAGES, reason="GANLIB_DATA names no folder with the real images")
def test_the_real_images_are_recognised(monkeypatch, tmp_path):
    monkeypatch.setenv("GANLIB_DATA", REAL_IMAGES)
    casting = quiet("casting", "kaggle", tmp_path)
    assert (casting.source, casting.notes) == ("kaggle", ())
    assert casting.files["part"].value_counts().to_dict() == CASTING.counts
    images = load_images(casting, 64, 1)
    assert images.shape == (3590, 64, 64, 1)
    # Defects are darker than normal castings; a resize that loses the brightness loses that too.
    means = images.mean((1, 2, 3), dtype=np.float64)
    test, anomaly = (
        means[casting.files["part"] == part] for part in ("test_normal", "test_anomaly")
    )
    assert (test[:, None] > anomaly).mean() == pytest.approx(0.866, abs=0.005)

    if locate("cloud", "kaggle", tmp_path) is None:
        pytest.skip("GANLIB_DATA holds no cloud images")
    cloud = quiet("cloud", "kaggle", tmp_path)
    assert cloud.source == "unverified"
    assert len(cloud.notes) == 1
    assert load_images(cloud, 64, 3).shape == (len(cloud.files), 64, 64, 3)
