"""Images, masks and the cache: what the pixels are exactly, and what is never left behind."""

import dataclasses
import errno
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
from refusals import refused
from sets import bare, fill, make_parts, opened, png, saved, write

from ganlib import data
from ganlib.data import images as images_module
from ganlib.data import load_images, load_masks, loading, shown_box
from ganlib.data.images import decode, decode_mask, read_picture, size_of
from ganlib.errors import GanlibError

Usage = namedtuple("Usage", "total used free")

# One file: colours and kinds of files are in test_odd_images.py


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_levels_are_rounded_after_the_mean(tmp_path, suffix):
    # 100.4 three times and 101.3: the mean is 100.6, that of the rounded levels 100.25.
    levels = np.array([[25803, 25803], [25803, 26034]], np.uint16)
    saved(levels, tmp_path / f"image.{suffix}")
    for channels in (1, 3):
        assert decode(tmp_path / f"image.{suffix}", 1, channels).tolist() == [[[101] * channels]]


def test_shrinking_takes_the_plain_mean_and_the_same_size_changes_no_pixel(tmp_path):
    levels = np.full((8, 12), 200, np.uint8)
    levels[0, 0] = 8  # a dark defect in a corner, which other filters weight less
    saved(levels, tmp_path / "image.png")
    pixels = decode(tmp_path / "image.png", 2, 1)[..., 0]
    assert pixels.tolist() == [[192, 200], [200, 200]]  # 4x6 pixels each, (23 * 200 + 8) / 24
    assert decode(tmp_path / "image.png", 20, 3).shape == (20, 20, 3)
    levels = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    saved(levels, tmp_path / "image.png")
    np.testing.assert_array_equal(decode(tmp_path / "image.png", 6, 3), levels)
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "image.png")), levels)


def test_impossible_shapes_are_refused_and_pillow_may_not_fill_up(monkeypatch, tmp_path):
    path = write(tmp_path / "image.png")
    for size, channels in ((0, 1), (4, 2), (4, 4)):
        refused("image_size=.*expected at least 1, and 1 or 3", decode, path, size, channels)
    refused(r"resize is 'pad': choose squeeze \| letterbox \| crop", decode, path, 4, 1, "pad")
    refused(r"resize is 'pad'", opened, tmp_path, tmp_path, resize="pad")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    refused("LOAD_TRUNCATED_IMAGES", decode, path, 4, 1)


def test_a_letterbox_keeps_all_of_the_image_and_a_crop_the_middle(tmp_path):
    levels = saved(np.arange(10, 28, dtype=np.uint8).reshape(3, 6), tmp_path / "wide.png")
    saved(levels.T, tmp_path / "tall.png")
    boxed = np.zeros((6, 6), int)
    boxed[2:5] = levels  # an odd row of black is above
    assert shown_box(6, 3, "letterbox") == (0, -2, 6, 4)
    assert shown_box(6, 3, "crop") == (1, 0, 4, 3)
    assert shown_box(6, 3, "squeeze") == (0, 0, 6, 3)
    for name, turn in (("wide", np.array), ("tall", np.transpose)):
        path = tmp_path / f"{name}.png"
        assert decode(path, 6, 1, "letterbox")[..., 0].tolist() == turn(boxed).tolist()
        assert decode(path, 3, 1, "crop")[..., 0].tolist() == turn(levels[:, 1:4]).tolist()


@pytest.mark.parametrize(("width", "height"), [(12, 8), (8, 12), (16, 4), (7, 7), (9, 4)])
@pytest.mark.parametrize("resize", ["squeeze", "letterbox", "crop"])
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_the_square_shows_the_box(tmp_path, width, height, resize, mode):
    """Cut out of a black canvas by `shown_box`, then reduced: the same picture."""
    levels = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    image = Image.fromarray(levels.astype(np.uint16) * 257 if mode == "I;16" else levels)
    (image.convert("RGB") if mode == "RGB" else image).save(tmp_path / "image.png")
    left, top, right, bottom = shown_box(width, height, resize)
    canvas = np.pad(levels, 20)[top + 20 : bottom + 20, left + 20 : right + 20]
    expected = np.asarray(Image.fromarray(canvas).resize((4, 4), Image.Resampling.BOX))
    found = decode(tmp_path / "image.png", 4, 1, resize)[..., 0]
    # Rounded once more where rows are reduced first.
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_the_box_is_of_the_turned_image(tmp_path, suffix):
    levels, exif = np.arange(10, 28, dtype=np.uint8).reshape(3, 6), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(levels).save(path, exif=exif, **options)
    assert size_of(path) == (3, 6)
    left, _, right, _ = shown_box(3, 6, "letterbox")
    expected = np.pad(np.rot90(levels, -1), ((0, 0), (-left, right - 3)))
    assert decode(path, 6, 1, "letterbox")[..., 0].tolist() == expected.tolist()


@pytest.fixture
def parts(tmp_path):
    """Open 12 images, their cache at `tmp_path/d/cache`."""
    return opened(make_parts(tmp_path / "x"), tmp_path)


def cache_files(tmp_path):
    return sorted(path.name for path in (tmp_path / "d/cache").iterdir())


def refuse(*_):
    raise AssertionError("decodes")


def test_row_i_is_file_i(parts, monkeypatch, tmp_path):
    monkeypatch.setattr(loading, "AHEAD", 5)
    before = sorted(parts.root.rglob("*"))
    images = load_images(parts, 4, 3)
    assert isinstance(images, np.memmap)
    assert (images.dtype, images.shape) == (np.uint8, (12, 4, 4, 3))
    levels = [0, 1, 2, 3, 4, 40, 41, 42, 80, 81, 120, 121]
    assert images.min((1, 2, 3)).tolist() == images.max((1, 2, 3)).tolist() == levels
    assert not images.flags.writeable
    assert cache_files(tmp_path) == [f"x-{parts.digest[:12]}-4x4x3-letterbox-v1.npy"]
    assert sorted(parts.root.rglob("*")) == before


def test_the_cache_spares_decoding(parts, monkeypatch, tmp_path):
    first = np.array(load_images(parts, 4, 1))
    monkeypatch.setattr(images_module, "decode", refuse)
    np.testing.assert_array_equal(load_images(parts, 4, 1), first)
    squeezed = dataclasses.replace(parts, resize="squeeze")
    for dataset, size, channels, folder in (
        (parts, 5, 1, None),
        (parts, 4, 3, None),
        (parts, 4, 1, tmp_path / "other"),
        (squeezed, 4, 1, None),
    ):
        with pytest.raises(AssertionError, match="decodes"):
            load_images(dataset, size, channels, folder)


def test_other_bytes_or_another_version_are_decoded_again(parts, monkeypatch, tmp_path):
    load_images(parts, 4, 1)
    (parts.root / parts.files["file"].iloc[2]).write_bytes(png(250))
    changed = opened(parts.root, tmp_path)
    assert load_images(changed, 4, 1)[2].max() == 250
    monkeypatch.setattr(loading, "VERSION", 99)
    load_images(changed, 4, 1)
    assert len(cache_files(tmp_path)) == 3


def test_a_broken_cache_is_rebuilt(parts, tmp_path):
    first = np.array(load_images(parts, 4, 1))
    path = tmp_path / "d/cache" / cache_files(tmp_path)[0]
    whole = path.read_bytes()
    for content in (b"", b"garbage" * 50, whole[:-7], whole.replace(b"|u1", b"|i1")):
        path.write_bytes(content)
        np.testing.assert_array_equal(load_images(parts, 4, 1), first)
        assert path.read_bytes() == whole
    np.save(path, np.zeros((3, 4, 4, 1), np.uint8))
    np.testing.assert_array_equal(load_images(parts, 4, 1), first)


def test_whatever_goes_wrong_leaves_nothing(parts, monkeypatch, tmp_path):
    def fails(error):
        def function(*_):
            raise error

        return function

    full = OSError(errno.ENOSPC, "No space left on device")
    for owner, name, replacement, message in (
        (Path, "replace", fails(OSError("cannot rename")), "cannot rename"),
        (np.lib.format, "write_array_header_1_0", fails(full), "No space left"),
        (shutil, "disk_usage", lambda _: Usage(9, 9, 100), r"0\.0 MB, .*No space left"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, replacement)
            refused(message, load_images, parts, 4, 1)
    monkeypatch.setattr(loading, "AHEAD", 4)
    for row in (9, 10):
        (parts.root / parts.files["file"].iloc[row]).write_bytes(b"broken")
    refused(r"crack/001\.png .* 1 more of 12 images", load_images, parts, 4, 1)
    assert cache_files(tmp_path) == []
    (tmp_path / "file").write_text("")
    refused(r"file/cache.*another data_dir", load_images, parts, 4, 1, tmp_path / "file")


def test_levels_of_as_many_bits_as_are_used_become_white(tmp_path):
    ramp = np.linspace(0, 255, 16).reshape(4, 4)
    for number, (bits, highest) in enumerate(((16, 65535), (12, 4095), (10, 1000), (16, 20000))):
        root = tmp_path / f"x{number}"
        fill(root, 11)
        saved(np.rint(ramp / 255 * highest).astype("uint16"), root / "wide.png")
        dataset = opened(root, tmp_path)
        assert dataset.white == 2**bits - 1
        assert any(f"use {bits} bits" in note for note in dataset.notes) == (bits < 16)
        expected = np.rint(ramp * highest / (2**bits - 1))
        assert np.abs(load_images(dataset, 4, 1)[-1, ..., 0] - expected).max() <= 1
    remarks = []
    image = decode(root / "wide.png", 4, 1, white=4095, remarks=remarks)
    assert image.max() == 255 and remarks[0].startswith("16-bit levels above")


def test_channels_are_told_by_the_good_images(tmp_path):
    root = make_parts(tmp_path / "x")
    random = np.random.default_rng(0)
    grey = np.repeat(random.integers(0, 256, (40, 30, 1), dtype=np.uint8), 3, 2)
    # What a camera's JPEG does to grey: colour that comes and goes from pixel to pixel.
    noisy = np.asarray(Image.fromarray(grey).resize((300, 400))).astype(int)
    noisy = np.clip(noisy + random.integers(-9, 10, noisy.shape), 0, 255).astype(np.uint8)
    assert np.ptp(noisy, axis=2).max() > 15
    Image.fromarray(noisy).save(root / "train/good/noisy.jpg", quality=60)
    write(root / "test/crack/000.png", (200, 30, 30), mode="RGB")  # a red defect
    (root / "train/good/bad.png").write_text("rubbish")
    assert data.channels_of(str(root)) == data.channels_of(opened(root, tmp_path)) == 1
    write(root / "train/good/colour.png", (120, 100, 100), mode="RGB")
    assert data.channels_of(root) == data.channels_of(opened(root, tmp_path)) == 3
    assert data.channels_of("casting") is data.channels_of(bare("kaggle")) is None
    write(tmp_path / "y/a.png").write_text("rubbish")
    refused(r"a\.png cannot be read as an image", data.channels_of, tmp_path / "y")


def test_masks_lie_on_the_defects_whatever_shape_and_size_and_archives_have_none(tmp_path):
    root = make_parts(tmp_path / "x")
    for name, size, spot in (("000", (30, 12), (24, 3)), ("001", (12, 30), (5, 20))):
        levels, mask = np.full(size[::-1], 90, np.uint8), np.zeros(size[::-1], np.uint8)
        levels[spot[1] : spot[1] + 3, spot[0] : spot[0] + 3] = 255
        mask[spot[1] : spot[1] + 3, spot[0] : spot[0] + 3] = 1  # not 255: what is not black counts
        saved(levels, root / f"test/crack/{name}.png")
        saved(mask, root / f"ground_truth/crack/{name}.png")
    for resize in ("letterbox", "squeeze", "crop"):
        dataset = opened(root, tmp_path, resize=resize)
        images = load_images(dataset, 10, 1)[8:10, ..., 0]
        masks = load_masks(dataset, np.array([8, 9, 0]), 10)
        assert (masks.dtype, masks.shape) == (bool, (3, 10, 10))
        # A pixel brighter than the part has some of the defect in it, and no other has.
        assert masks[:2].tolist() == (images > 90).tolist()
        assert not masks[2].any()
        assert masks[0].any() == (resize != "crop")  # cut off there
    known = data.outlined(dataset, np.arange(12))
    assert known.tolist() == [True] * 10 + [False] * 2
    assert not data.outlined(dataset, np.array([0, 5, 10])).any()  # no mask among these
    with pytest.raises(GanlibError, match=r"hole/000\.png shows a defect but has no mask"):
        load_masks(dataset, np.array([10]), 10)
    place = np.pad(np.ones((2, 2), "uint8"), 1)
    nothing, palette = 0 * place, Image.fromarray(place, "P")
    palette.putpalette([0, 0, 0, 0, 0, 1])
    for shown in (
        *(place, place.astype("uint16"), np.dstack([place, nothing, nothing])),
        *(np.dstack([nothing, nothing, 2 * place]), np.dstack([*3 * [nothing], 255 * place])),
        *(np.dstack([place, place, place, 0 * place + 255]), palette),
    ):
        saved(shown, tmp_path / "mask.png")
        np.testing.assert_array_equal(decode_mask(tmp_path / "mask.png", 4), place)
    mask = Image.new("1", (900, 900))
    mask.putpixel((450, 10), 1)
    mask.save(tmp_path / "mask.png")
    assert np.argwhere(decode_mask(tmp_path / "mask.png", 8)).tolist() == [[0, 4]]
    dataset = bare("kaggle", normal=3, anomaly=2)
    assert not data.outlined(dataset, np.arange(5)).any()
    assert not load_masks(dataset, np.array([1, 2]), 4).any()
    refused("has no mask", load_masks, dataset, np.array([4]), 4)
