"""Every bad or odd file is read right or refused by its name, alone and among others."""

import dataclasses
import errno
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import odd_images
import pytest
from odd_images import PNG, READ, REFUSED, SIDE, SMOOTH
from PIL import ImageFile
from refusals import refused
from sets import COUNTS, make_casting, make_cloud, opened

from ganlib.data import ARCHIVES, folder, load_images, loading, open_dataset, paper_split
from ganlib.data import dataset as dataset_module
from ganlib.data import images as images_module
from ganlib.data.images import decode, try_decode
from ganlib.errors import GanlibError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    return folder, odd_images.write(folder)


def assert_is_one_line_about(error, name):
    message = str(error.value)
    assert message.isprintable()  # no line break either
    assert (name if name.isprintable() else repr(name)[1:-1]) in message


@pytest.mark.parametrize("name", READ, ids=ascii)
def test_an_odd_file_is_read_right(made, name):
    folder, there = made
    assert name in there or sys.platform != "linux"
    if name not in there:
        pytest.skip("this file system cannot hold it")
    expected, tolerance = READ[name].expected, READ[name].tolerance
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = decode(folder / name, SIDE, 3)
        grey = decode(folder / name, SIDE, 1)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (SIDE, SIDE, 3))
    assert np.abs(pixels.astype(float) - expected).max() <= tolerance
    weighted = expected @ [0.299, 0.587, 0.114]  # ITU-R 601-2
    assert np.abs(grey[..., 0] - weighted).max() <= tolerance + 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_a_bad_file_is_refused_by_its_name(made, name):
    folder, there = made
    if name not in there:
        pytest.skip("this file system cannot hold it")
    with pytest.raises(GanlibError, match="cannot be read as an image: ") as error:
        decode(folder / name, SIDE, 3)
    assert_is_one_line_about(error, name)
    assert re.search(REFUSED[name].expected, str(error.value)), str(error.value)


@pytest.mark.filterwarnings("ignore")
def test_a_bomb_is_refused_before_it_is_decoded(made, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decodes"))
    for name in ("bomb.png", "larger than it is.bmp"):
        refused("MAX_IMAGE_PIXELS", decode, made[0] / name, SIDE, 1)


def skipping(root, tmp_path, on_error="skip"):
    name = "cloud" if (root / "noncloud").is_dir() else "casting"
    return opened(name, tmp_path, root, on_error=on_error)


@pytest.fixture
def cloud(tmp_path):
    """Lay out 110 normal images and 5 anomalies."""
    return make_cloud(tmp_path / "x", 110, 5)


@pytest.fixture
def casting(tmp_path, monkeypatch):
    """Make casting an archive of 5 + 3 + 4 images, of which these are Kaggle's."""
    root = make_casting(tmp_path / "x", ".")
    archive = dataclasses.replace(ARCHIVES["casting"], counts=COUNTS, digests={})
    monkeypatch.setitem(ARCHIVES, "casting", archive)
    known = dataclasses.replace(archive, digests=opened("casting", tmp_path, root).digests)
    monkeypatch.setitem(ARCHIVES, "casting", known)
    return root


def test_all_bad_files_are_left_out_and_all_others_are_in_their_rows(cloud, tmp_path):
    normal = cloud / "noncloud/noncloud"
    files = sorted([*(f"{i:03}.png" for i in range(110)), *odd_images.write(normal)])
    bad = [name for name in files if name in REFUSED]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no message of Pillow's comes through
        dataset = skipping(cloud, tmp_path)
        images = load_images(dataset, SIDE, 3)

    assert list(dataset.skipped.columns) == ["file", "part", "reason"]
    assert [Path(file).name for file in dataset.skipped["file"]] == bad
    assert set(dataset.skipped["part"]) == {"normal"}
    for name, why in zip(bad, dataset.skipped["reason"], strict=True):
        assert re.search(REFUSED[name].expected, why), (name, why)
        assert why.isprintable()
    kept = [name for name in files if name not in REFUSED]
    assert [Path(file).name for file in dataset.files["file"]][:-5] == kept
    assert dataset.files.index.tolist() == list(range(len(kept) + 5))
    for name, pixels in zip(kept, images[: len(kept)], strict=True):
        level = READ[name].expected if name in READ else 0 * odd_images.COLOUR + int(name[:3])
        assert np.abs(pixels.astype(float) - level).max() <= SMOOTH, name
    assert images[len(kept) :, 0, 0, 0].tolist() == list(range(200, 205))

    assert f"{len(files)} + 5 images in Kaggle's layout" in dataset.caption
    assert dataset.caption.endswith(f", {len(bad)} unreadable left out")
    assert dataset.notes[-1] == (
        f"{len(bad)} of {len(files) + 5} images cannot be read and were left out: {len(bad)} of "
        "normal."
    )
    assert len(paper_split(dataset).train) == len(kept) - 100


def test_by_default_the_first_is_named_and_the_others_are_counted(cloud, tmp_path):
    for name in ("text.jpg", "zeros.jpg", "without its end.jpg"):
        odd_images.write(cloud / "noncloud/noncloud", {name: REFUSED[name]})
    with pytest.raises(GanlibError, match=r"text\.jpg.* 2 more of 118 images"):
        load_images(skipping(cloud, tmp_path, "raise"), 4, 1)
    (cloud / "cloud/cloud/a.png").mkdir()
    (cloud / "cloud/cloud/b.png").symlink_to("nowhere")
    with pytest.raises(GanlibError, match="Is a directory") as error:
        skipping(cloud, tmp_path, "raise")
    assert_is_one_line_about(error, "a.png")
    assert 'on_error="skip"' in str(error.value)
    assert len(skipping(cloud, tmp_path).skipped) == 5
    refused(r"on_error is 'ignore': choose raise \| skip", open_dataset, "cloud", on_error="ignore")


def test_what_may_not_be_read_is_left_out_or_named(cloud, tmp_path, monkeypatch):
    """From root, too, who may read everything."""

    def forbidden(path, *_):
        if path.name in ("007.png", "noncloud"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    real = dataset_module.open_file
    with monkeypatch.context() as patch:
        patch.setattr(dataset_module, "open_file", forbidden)
        patch.setattr(images_module, "open_file", forbidden)
        assert skipping(cloud, tmp_path).skipped["reason"].tolist() == ["Permission denied"]
        with pytest.raises(GanlibError, match=r"007\.png cannot be read: Permission denied\. Fix"):
            skipping(cloud, tmp_path, "raise")
    real = folder.os.listdir
    monkeypatch.setattr(folder.os, "listdir", forbidden)
    refused(r"noncloud cannot be listed: Permission denied\.", skipping, cloud, tmp_path)


def test_castings_may_lack_the_bad_ones_but_no_others(casting, tmp_path):
    bad = casting / "train/ok_front/train_normal_3.png"
    bad.write_bytes(b"")
    dataset = skipping(casting, tmp_path)
    assert dataset.skipped["reason"].tolist() == ["it is empty"]
    assert dataset.source == "unverified"
    assert dataset.caption == (
        "casting: 5 + 3 + 4 images in Kaggle's layout, digest is not Kaggle's, "
        "1 unreadable left out"
    )
    assert "of train_normal differ from those on record" in dataset.notes[0]
    assert load_images(dataset, 4, 1)[:, 0, 0, 0].tolist()[:4] == [0, 1, 2, 4]
    bad.unlink()
    refused(r"holds 4 \+ 3 \+ 4 images.*expected 5 \+ 3 \+ 4", skipping, casting, tmp_path)


def test_the_same_bytes_are_tried_once(cloud, tmp_path, monkeypatch):
    (cloud / "noncloud/noncloud/003.png").write_bytes(b"rubbish")
    (tmp_path / "d").write_text("in the way of the record, which only saves time")
    assert len(skipping(cloud, tmp_path).skipped) == 1
    (tmp_path / "d").unlink()
    first, tries = skipping(cloud, tmp_path), []
    monkeypatch.setattr(loading, "try_decode", lambda *a: tries.append(a) or try_decode(*a))
    moved = cloud.rename(tmp_path / "moved")
    assert skipping(moved, tmp_path).skipped.equals(first.skipped)
    assert tries == []
    (record,) = (tmp_path / "d/cache").glob("*unreadable*")
    for broken in ("", "[1]", "null"):
        record.write_text(broken)
        assert skipping(moved, tmp_path).skipped.equals(first.skipped)
    (moved / "noncloud/noncloud/003.png").write_bytes(PNG)
    assert skipping(moved, tmp_path).skipped.empty
    assert len(tries) == 4 * 115


@pytest.mark.torture
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", odd_images.GOOD)
def test_damaged_anywhere_a_file_is_refused_by_its_name(tmp_path, suffix):
    content, path = odd_images.GOOD[suffix], tmp_path / f"a.{suffix}"
    random = np.random.default_rng(0)

    def decode_or_none(content):
        path.write_bytes(content)
        pixels = try_decode(path, SIDE, 3, "squeeze")
        if isinstance(pixels, GanlibError):
            assert path.name in str(pixels)
            return None
        return pixels

    whole = decode_or_none(content)
    for length in range(len(content)):
        pixels = decode_or_none(content[:length])
        assert pixels is None or np.array_equal(pixels, whole), length
    for _ in range(1000):
        changed = bytearray(content)
        changed[random.integers(len(content))] ^= int(random.integers(1, 256))
        pixels = decode_or_none(bytes(changed))
        if suffix == "png":  # all of it is under checksums
            assert pixels is None or np.array_equal(pixels, whole), bytes(changed)
