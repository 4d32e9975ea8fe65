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
from odd_images import CORPUS, PNG, READ, REFUSED, SIDE, SMOOTH
from PIL import Image, ImageFile

from ganlib.data import ARCHIVES, load_images, open_dataset, paper_split
from ganlib.data import dataset as dataset_module
from ganlib.data import images as images_module
from ganlib.data import unreadable as unreadable_module
from ganlib.data.images import decode
from ganlib.errors import GanlibError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    return folder, odd_images.write(folder)


def assert_is_one_line_about(error, name):
    message = str(error.value)
    assert message.isprintable()  # no line break either
    assert (name if name.isprintable() else repr(name)[1:-1]) in message


def test_the_corpus_is_as_large_as_it_says(made):
    if sys.platform == "linux":
        assert made[1].keys() == CORPUS.keys()
    assert len(READ) >= 60
    assert len(REFUSED) >= 60


@pytest.mark.parametrize("name", READ, ids=ascii)
def test_an_odd_file_is_read_right(made, name):
    folder, there = made
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


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_a_bad_file_is_refused_by_its_name(made, name):
    folder, there = made
    if name not in there:
        pytest.skip("this file system cannot hold it")
    for channels in (1, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(GanlibError, match="cannot be read as an image: ") as error:
                decode(folder / name, SIDE, channels)
        assert_is_one_line_about(error, name)
        assert re.search(REFUSED[name].expected, str(error.value)), str(error.value)


@pytest.mark.filterwarnings("ignore")
def test_a_bomb_is_refused_before_it_is_decoded(made, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decodes"))
    for name in ("bomb.png", "larger than it is.bmp"):
        with pytest.raises(GanlibError, match="MAX_IMAGE_PIXELS"):
            decode(made[0] / name, SIDE, 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("limit", [100, 200, 256, 300, None])
def test_the_limit_of_pixels_is_pillows(made, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    if limit is None or limit >= SIDE * SIDE:
        assert decode(made[0] / "plain.png", SIDE, 3).tolist() == odd_images.COLOUR.tolist()
    else:
        with pytest.raises(GanlibError, match=rf"plain\.png.* more than {limit} pixels"):
            decode(made[0] / "plain.png", SIDE, 3)


def forbid(monkeypatch, name):
    """Take away the right to read a file, from root too."""
    real = Path.open

    def opened(self, *arguments, **options):
        if self.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)


def test_a_file_that_may_not_be_read_is_refused(made, monkeypatch):
    forbid(monkeypatch, "plain.png")
    with pytest.raises(GanlibError, match=r"plain\.png.*: Permission denied\."):
        decode(made[0] / "plain.png", SIDE, 1)


# Among others, in a data set


def fill(folder, count, first=0):
    """Write images of one grey level each, which counts up."""
    folder.mkdir(parents=True)
    for i in range(first, first + count):
        (folder / f"n{i:03}.png").write_bytes(
            odd_images.saved(np.full((4, 4), i % 256, np.uint8), "PNG")
        )


def opened(root, on_error="skip", **options):
    """Open the images in root, with the cache beside them."""
    name = "cloud" if (root / "noncloud").is_dir() else "casting"
    lines = []
    dataset = open_dataset(name, root, root.parent / "d", lines.append, on_error, **options)
    assert dataset.caption in lines[-1]
    return dataset


@pytest.fixture
def cloud(tmp_path):
    """Lay out 110 normal images and 5 anomalies."""
    fill(tmp_path / "x/noncloud", 110)
    fill(tmp_path / "x/cloud", 5, 200)
    return tmp_path / "x"


@pytest.fixture
def casting(tmp_path, monkeypatch):
    """Make casting an archive of 9 + 4 + 4 images, of which these are Kaggle's."""
    folders = {"train_normal": "train/ok_front", "test_normal": "test/ok_front"}
    folders["test_anomaly"] = "test/def_front"
    counts = dict(zip(folders, (9, 4, 4), strict=True))
    for i, (part, folder) in enumerate(folders.items()):
        fill(tmp_path / "x" / folder, counts[part], 50 * i)
    archive = dataclasses.replace(ARCHIVES["casting"], counts=counts, digests={})
    monkeypatch.setitem(ARCHIVES, "casting", archive)
    known = dataclasses.replace(archive, digests=opened(tmp_path / "x", "raise").digests)
    monkeypatch.setitem(ARCHIVES, "casting", known)
    return tmp_path / "x"


def test_all_bad_files_are_left_out_and_all_others_are_in_their_rows(cloud):
    there = odd_images.write(cloud / "noncloud")
    files = sorted([*(f"n{i:03}.png" for i in range(110)), *there])
    bad = [name for name in files if name in REFUSED]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no message of Pillow's comes through
        dataset = opened(cloud)
        images = load_images(dataset, SIDE, 3)

    assert list(dataset.skipped.columns) == ["file", "part", "reason"]
    assert dataset.skipped["file"].tolist() == [f"noncloud/{name}" for name in bad]
    assert set(dataset.skipped["part"]) == {"normal"}
    for name, why in zip(bad, dataset.skipped["reason"], strict=True):
        assert re.search(REFUSED[name].expected, why), (name, why)
        assert why.isprintable()
    kept = [name for name in files if name not in REFUSED]
    assert dataset.files["file"].tolist() == [
        *(f"noncloud/{name}" for name in kept),
        *(f"cloud/n{i}.png" for i in range(200, 205)),
    ]
    assert dataset.files.index.tolist() == list(range(len(kept) + 5))
    for name, pixels in zip(kept, images[: len(kept)], strict=True):
        level = 0 * odd_images.COLOUR + int(name[1:4]) if name not in READ else READ[name].expected
        assert np.abs(pixels.astype(float) - level).max() <= SMOOTH, name
    assert images[len(kept) :, 0, 0, 0].tolist() == list(range(200, 205))

    total = len(files) + 5
    assert f"{len(files)} + 5 images in Kaggle's layout" in dataset.caption
    assert dataset.caption.endswith(f", {len(bad)} unreadable left out")
    note = f"{len(bad)} of {total} images cannot be read and were left out: {len(bad)} of normal."
    assert dataset.notes[-1] == note
    split = paper_split(dataset)
    assert len(split.train) == len(kept) - 100
    assert sorted([*split.train, *split.test_normal]) == list(range(len(kept)))


def test_leaving_out_is_the_same_as_never_having_had_them(cloud):
    before = opened(cloud)
    assert before.skipped.empty
    assert "left out" not in before.caption
    for name in ("text.jpg", "bomb.png", "folder.jpg", "cut at 50 percent.png"):
        odd_images.write(cloud / "cloud", {name: REFUSED[name]})
    after = opened(cloud)
    assert len(after.skipped) == 4
    assert after.digests == before.digests
    assert after.files.equals(before.files)
    assert load_images(after, 4, 1).filename == load_images(before, 4, 1).filename


def test_by_default_the_first_is_named_and_the_others_are_counted(cloud):
    for name in ("text.jpg", "zeros.jpg", "without its end.jpg"):
        odd_images.write(cloud / "noncloud", {name: REFUSED[name]})
    with pytest.raises(GanlibError) as error:
        load_images(opened(cloud, "raise"), 4, 1)
    assert_is_one_line_about(error, "text.jpg")
    assert str(error.value).endswith("So it is with 2 more of 118 images.")
    assert "zeros.jpg" not in str(error.value)
    assert list((cloud.parent / "d/cache").iterdir()) == []

    (cloud / "cloud/a.png").mkdir()
    (cloud / "cloud/b.png").symlink_to("nowhere")
    with pytest.raises(GanlibError) as error:
        opened(cloud, "raise")
    assert_is_one_line_about(error, "a.png")
    assert "Is a directory, and 1 more of cloud neither." in str(error.value)
    assert 'on_error="skip"' in str(error.value)
    assert len(opened(cloud).skipped) == 5


def test_a_file_that_may_not_be_read_is_left_out(cloud, monkeypatch):
    forbid(monkeypatch, "n007.png")
    dataset = opened(cloud)
    assert dataset.skipped.values.tolist() == [["noncloud/n007.png", "normal", "Permission denied"]]
    with pytest.raises(GanlibError, match=r"n007\.png cannot be read: Permission denied\. Mend"):
        opened(cloud, "raise")


def test_a_folder_that_may_not_be_read_is_named(cloud, monkeypatch):
    def forbidden(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(dataset_module.os, "scandir", forbidden)
    for on_error in ("raise", "skip"):
        with pytest.raises(GanlibError, match=r"x/noncloud cannot be listed: Permission denied\."):
            opened(cloud, on_error)


def test_castings_may_lack_the_bad_ones_but_no_others(casting):
    (casting / "train/ok_front/n003.png").write_bytes(b"")
    dataset = opened(casting)
    assert dataset.skipped.values.tolist() == [
        ["train/ok_front/n003.png", "train_normal", "it is empty"]
    ]
    assert dataset.source == "unverified"
    assert dataset.caption == (
        "casting: 9 + 4 + 4 images in Kaggle's layout, digest is not Kaggle's, "
        "1 unreadable left out"
    )
    assert "of train_normal are not those on record" in dataset.notes[0]
    assert dataset.notes[1] == (
        "1 of 17 images cannot be read and were left out: 1 of train_normal."
    )
    assert load_images(dataset, 4, 1)[:, 0, 0, 0].tolist()[:4] == [0, 1, 2, 4]
    (casting / "train/ok_front/n003.png").unlink()
    with pytest.raises(GanlibError, match=r"holds 8 \+ 4 \+ 4 images.*expected 9 \+ 4 \+ 4"):
        opened(casting)


def test_a_folder_too_many_does_not_make_other_images_of_them(casting):
    (casting / "test/def_front/folder.jpg").mkdir()
    dataset = opened(casting)
    assert (dataset.source, len(dataset.files), len(dataset.skipped)) == ("kaggle", 17, 1)
    assert dataset.caption == ("casting, Kaggle images (digest verified), 1 unreadable left out")
    assert dataset.notes == ("1 of 18 images cannot be read and were left out: 1 of test_anomaly.",)


def test_too_few_left_is_an_error(casting, cloud):
    for file in (cloud / "noncloud").glob("n00*"):
        file.write_bytes(b"rubbish")
    with pytest.raises(GanlibError, match=r"Too few images of cloud can be read: 100 \+ 5 .*n000"):
        opened(cloud)


def test_a_part_that_is_bad_as_a_whole_is_an_error(casting):
    for file in (casting / "test/ok_front").iterdir():
        file.write_bytes(b"rubbish")
    with pytest.raises(
        GanlibError, match=r"Too few .* 9 \+ 0 \+ 4 .*; 4 cannot, the first is"
    ) as e:
        opened(casting)
    assert_is_one_line_about(e, "n050.png")


def test_whether_an_image_is_an_anomaly_plays_no_part(casting):
    """The same bad bytes among normal images and anomalies are refused for the same reason."""
    for folder in ("train/ok_front", "test/ok_front", "test/def_front"):
        odd_images.write(casting / folder, {name: REFUSED[name] for name in ("folder.jpg",)})
        first = min((casting / folder).glob("n*"))
        first.write_bytes(odd_images.JPEG[:-2])
    skipped = opened(casting).skipped
    assert skipped["part"].value_counts().tolist() == [2, 2, 2]
    assert skipped.groupby("part")["reason"].agg(tuple).nunique() == 1


def test_the_same_bytes_are_tried_once(cloud, monkeypatch):
    (cloud / "noncloud/n003.png").write_bytes(b"rubbish")
    first = opened(cloud)
    tries = []

    def counted(*arguments):
        tries.append(arguments)
        return decode(*arguments)

    monkeypatch.setattr(unreadable_module, "decode", counted)
    moved = cloud.parent / "moved"
    cloud.rename(moved)
    again = opened(moved)
    assert tries == []
    assert again.skipped.equals(first.skipped)
    (record,) = (moved.parent / "d/cache").glob("*unreadable*")
    for spoilt in ("", "[1]", "null"):
        record.write_text(spoilt)
        assert opened(moved).skipped.equals(first.skipped)
    assert len(tries) == 3 * 115
    (moved / "noncloud/n003.png").write_bytes(PNG)
    assert opened(moved).skipped.empty
    assert len(tries) == 4 * 115


def test_too_little_memory_is_no_fault_of_the_file(cloud, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(images_module, "_open", full)
    with pytest.raises(GanlibError, match=r"n000\.png cannot be read as an image: MemoryError"):
        opened(cloud)
    assert not (cloud.parent / "d/cache").exists()


def test_a_cache_that_cannot_be_written_only_costs_time(cloud):
    (cloud.parent / "d").write_text("in the way")
    (cloud / "noncloud/n003.png").write_bytes(b"rubbish")
    assert len(opened(cloud).skipped) == 1


def test_another_word_for_on_error_is_refused(cloud):
    with pytest.raises(GanlibError, match=r"on_error is 'ignore': choose raise \| skip"):
        opened(cloud, "ignore")


def test_results_count_what_was_left_out(cloud):
    (cloud / "noncloud/n003.png").write_bytes(b"rubbish")
    (cloud / "cloud/n201.png").write_bytes(b"rubbish")
    dataset = opened(cloud)
    assert len(dataset.skipped) == 2
    assert dataset.caption.endswith(", 2 unreadable left out")


# The long form


def decode_or_none(path, content):
    """Decode this content, or see that it is refused as it should be, and nothing else."""
    path.write_bytes(content)
    try:
        return decode(path, SIDE, 3)
    except GanlibError as error:
        assert path.name in str(error)
        assert str(error).isprintable()
        return None


LONG = {
    name: READ[name].make
    for name in (
        "plain.jpg", "progressive.jpg", "arithmetic.jpg", "plain.png", "plain.bmp",
        "run lengths.bmp", "plain.tif", "lzw.tif", "deflate.tif", "really a gif.png",
        "really a webp.jpg",
    )
}  # fmt: skip


@pytest.mark.torture
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LONG)
def test_cut_anywhere_a_file_is_refused_or_whole(tmp_path, name):
    whole = decode_or_none(tmp_path / name, LONG[name])
    assert whole is not None
    for length in range(len(LONG[name])):
        pixels = decode_or_none(tmp_path / name, LONG[name][:length])
        assert pixels is None or np.array_equal(pixels, whole), length


@pytest.mark.torture
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LONG)
def test_with_any_byte_changed_a_file_is_decode_or_none(tmp_path, name):
    content, random = LONG[name], np.random.default_rng(0)
    whole = decode_or_none(tmp_path / name, content)
    for _ in range(1000):
        place, change = int(random.integers(len(content))), int(random.integers(1, 256))
        changed = content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]
        pixels = decode_or_none(tmp_path / name, changed)
        if name.endswith("plain.png"):  # all of it is under check sums
            assert pixels is None or np.array_equal(pixels, whole), (place, change)
