"""Folders of images as data sets: what is read, what is refused, how images become square."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ganlib import data, errata, pipeline
from ganlib import settings as profiles
from ganlib.data import Dataset, held_out_split, load_images, load_masks, open_dataset, shown_box
from ganlib.data import splits as splits_module
from ganlib.data import unreadable as unreadable_module
from ganlib.data.folder import name_of
from ganlib.data.images import decode, decode_mask, size_of
from ganlib.errors import GanlibError


def write(path, level=0, size=(4, 4), mode="L"):
    """Write an image of one level; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level).save(path)
    return path


def fill(folder, count, first=0):
    for i in range(count):
        write(folder / f"{i:03}.png", first + i)


def make_parts(root, good=5):
    """Write the layout; levels count up from 0, 40, 80 and 120."""
    fill(root / "train/good", good)
    fill(root / "test/good", 3, 40)
    fill(root / "test/crack", 2, 80)
    fill(root / "test/hole", 2, 120)
    return root


def opened(name, tmp_path, *args, **kwargs):
    return open_dataset(name, "auto", tmp_path / "d", lambda _: None, *args, **kwargs)


# Which name is a folder


def test_a_name_is_an_archives_then_a_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("casting", "parts"):
        fill(tmp_path / name, 2)
    assert not data.is_folder("casting")  # the archive goes first
    assert data.is_folder("./casting")
    assert data.is_folder("parts")
    assert data.is_folder("no/where")
    assert not data.is_folder("nowhere")
    assert not data.is_folder("")
    for name in ("parts", tmp_path / "parts", "parts/"):
        assert opened(name, tmp_path).root == tmp_path / "parts"
        assert data.locate(name) == tmp_path / "parts"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.locate("~/parts") == tmp_path / "parts"
    (tmp_path / "a.png").write_text("")
    for function in (open_dataset, data.locate):
        with pytest.raises(GanlibError, match=r"no data set 'nowhere'.*or give a folder\."):
            function("nowhere")
        with pytest.raises(
            GanlibError, match=r"^no/where is not there, not a folder\. Give casting"
        ):
            function("no/where")
        with pytest.raises(GanlibError, match=r"^a\.png is a file, not a folder"):
            function("a.png")


@pytest.mark.parametrize(
    ("folder", "name"),
    [("My Parts (2)", "my-parts-2"), ("bottle", "bottle"), ("Casting", "casting-folder")],
)
def test_the_name_fits_files_and_is_no_archives(tmp_path, folder, name):
    fill(tmp_path / folder, 2)
    assert opened(tmp_path / folder, tmp_path).name == name


def test_names_without_a_latin_letter_differ():
    first, other = name_of(Path("부품")), name_of(Path("나사"))
    assert first != other
    assert all(name.isascii() and name.startswith("folder-") for name in (first, other))


# Which images are read


def test_the_layout_is_read_part_by_part(tmp_path):
    root = make_parts(tmp_path / "bottle")
    write(root / "ground_truth/crack/000_mask.png", 255)
    write(root / "ground_truth/crack/001.png", 255)
    dataset = opened(root, tmp_path)
    assert (dataset.name, dataset.source, dataset.resize) == ("bottle", "folder", "letterbox")
    assert dataset.root == root
    assert dataset.notes == ()
    files = dataset.files
    assert files["file"].tolist() == [
        *[f"train/good/{i:03}.png" for i in range(5)],
        *[f"test/good/{i:03}.png" for i in range(3)],
        *[f"test/{kind}/{i:03}.png" for kind in ("crack", "hole") for i in range(2)],
    ]
    parts = ["train_normal"] * 5 + ["test_normal"] * 3 + ["test_anomaly"] * 4
    assert files["part"].tolist() == parts
    assert files["kind"].tolist() == ["normal"] * 8 + ["crack"] * 2 + ["hole"] * 2
    assert files["label"].tolist() == [0] * 8 + [1] * 4
    masks = ["ground_truth/crack/000_mask.png", "ground_truth/crack/001.png", "", ""]
    assert files["mask"].tolist() == [""] * 8 + masks
    assert list(dataset.digests) == ["train_normal", "test_normal", "test_anomaly"]
    levels = load_images(dataset, 4, 1).max((1, 2, 3))
    assert levels.tolist() == [0, 1, 2, 3, 4, 40, 41, 42, 80, 81, 120, 121]
    assert dataset.caption == "bottle: 5 good, 3 + 4 test images in a folder"
    assert opened(root, tmp_path, resize="crop").caption.endswith(" in a folder, cropped")


def test_one_folder_holds_good_images_and_what_is_below_is_not_read(tmp_path):
    fill(tmp_path / "parts", 12)
    fill(tmp_path / "parts/old", 2)
    dataset = opened(tmp_path / "parts", tmp_path)
    assert dataset.files["file"].tolist() == [f"{i:03}.png" for i in range(12)]
    assert set(dataset.files["part"]) == {"normal"}
    assert (dataset.files["kind"] == "normal").all()
    assert dataset.caption == "parts: 12 good images in a folder"
    passed_over, unknown = dataset.notes
    assert passed_over.endswith(": in old.")
    assert unknown.startswith("There are no test anomalies")


def test_good_training_images_alone_are_enough(tmp_path):
    fill(tmp_path / "a/train/good", 3)
    fill(tmp_path / "a/train/bad", 3)
    write(tmp_path / "a/photo.jpg")
    dataset = opened(tmp_path / "a", tmp_path)
    assert dataset.files["part"].tolist() == ["train_normal"] * 3
    assert dataset.caption == "a: 3 good images in a folder"
    assert dataset.notes[0].endswith(": in the folder itself, train/bad.")


def test_leavings_are_no_images_and_case_tells_names_apart(tmp_path):
    root = make_parts(tmp_path / "x")
    good = root / "train/good"
    for name in ("A.PNG", "a.png", "b.webp", "c.TIF"):
        write(good / name)
    if len(list(good.iterdir())) < 9:
        pytest.skip("a file system to which A.PNG is a.png")
    for name in (".hidden.png", "._a.png", "Thumbs.db", "desktop.ini", "notes.txt"):
        (good / name).write_text("rubbish")
    fill(root / "test/__MACOSX", 2)
    fill(root / "test/.cache", 2)
    fill(root / "__MACOSX", 2)
    files = opened(root, tmp_path).files
    names = [Path(file).name for file in files["file"][files["part"] == "train_normal"]]
    assert names == [f"{i:03}.png" for i in range(5)] + ["A.PNG", "a.png", "b.webp", "c.TIF"]
    assert set(files["kind"]) == {"normal", "crack", "hole"}


def remove(*names):
    def change(root):
        for name in names:
            shutil.rmtree(root / name)

    return change


def add(*names, count=1):
    def change(root):
        for name in names:
            fill(root / name, count)

    return change


def empty(name):
    def change(root):
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)

    return change


REFUSED = {
    "empty": (remove("train", "test"), r"x holds no image \(\.bmp, .*train/good, test/good"),
    "one level up": (
        lambda root: (remove("train", "test")(root), add("good")(root)),
        r"x holds no image.*Images are in its folder good: give that one",
    ),
    "no train": (remove("train"), r"a folder test but no folder train: put .*x/train/good"),
    "no good": (
        lambda root: (root / "train/good").rename(root / "train/ok"),
        r"x/train has no folder good, but ok: put",
    ),
    "images in train": (
        lambda root: (remove("train")(root), add("train", count=3)(root)),
        r"x/train has no folder good, but 3 images",
    ),
    "empty good": (empty("train/good"), r"x/train/good holds no image"),
    "empty test": (empty("test"), r"x/test is empty"),
    "empty kind": (empty("test/crack"), r"x/test/crack holds no image .*remove it"),
    "nested kind": (add("test/dent/deeper"), r"x/test/dent holds no image"),
    "images in test": (
        add("test", count=2),
        r"x/test holds 2 images itself, the first is 000\.png",
    ),
    "a kind called good": (add("test/OK"), r"x/test/OK is not called after a defect"),
    "a kind called normal": (add("test/normal"), r"x/test/normal is not called after a defect"),
    "a mask without image": (
        lambda root: write(root / "ground_truth/crack/007_mask.png"),
        r"crack/007_mask\.png is a mask without an image: expected .*test/crack/007 with",
    ),
    "masks without a kind": (add("ground_truth/dent"), r"dent/000\.png is a mask without"),
    "two masks": (
        lambda root: [write(root / f"ground_truth/crack/000{end}.png") for end in ("", "_mask")],
        r"000_mask\.png: there are two masks called 000",
    ),
    "two images of a mask": (
        lambda root: [write(root / p) for p in ("test/hole/000.jpg", "ground_truth/hole/000.png")],
        r"hole/000\.png: there are two images called 000",
    ),
    "a mask of another size": (
        lambda root: write(root / "ground_truth/hole/000.png", 255, (4, 5)),
        r"hole/000\.png has 4x5 pixels, but its image test/hole/000\.png has 4x4",
    ),
    "a mask that is none": (
        lambda root: write(root / "ground_truth/hole/000.png").write_text("rubbish"),
        r"ground_truth/hole/000\.png cannot be read as an image",
    ),
    "a folder like an image": (
        lambda root: (root / "test/hole/009.png").mkdir(),
        r"test/hole/009\.png cannot be read: Is a directory",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_data_set_is_told_in_one_line(tmp_path, case):
    change, message = REFUSED[case]
    change(make_parts(tmp_path / "x"))
    with pytest.raises(GanlibError, match=message) as error:
        opened(tmp_path / "x", tmp_path)
    assert "\n" not in str(error.value)


def test_choices_that_do_not_exist_are_refused(tmp_path):
    root = make_parts(tmp_path / "x")
    with pytest.raises(GanlibError, match=r"resize is 'pad': choose squeeze \| letterbox \| crop"):
        opened(root, tmp_path, resize="pad")
    with pytest.raises(GanlibError, match=r"resize is 'pad'"):
        decode(root / "train/good/000.png", 4, 1, "pad")


# Digests, the cache, and what cannot be read


def test_digests_tell_folders_within_from_the_folder_itself(tmp_path):
    root = make_parts(tmp_path / "x")
    first = opened(root, tmp_path).digest
    shutil.copytree(root, tmp_path / "elsewhere")
    assert opened(tmp_path / "elsewhere", tmp_path).digest == first
    # As many files of the same names and bytes, in another order.
    crack, hole = root / "test/crack/000.png", root / "test/hole/000.png"
    crack.rename(tmp_path / "kept")
    hole.rename(crack)
    (tmp_path / "kept").rename(hole)
    swapped = opened(root, tmp_path)
    assert swapped.digest != first
    assert load_images(swapped, 4, 1).max((1, 2, 3)).tolist()[8:] == [120, 81, 80, 121]
    (root / "test/crack").rename(root / "test/scratch")  # now after hole
    renamed = opened(root, tmp_path)
    assert renamed.digest != swapped.digest
    assert load_images(renamed, 4, 1).max((1, 2, 3)).tolist()[8:] == [80, 121, 120, 81]


def test_the_cache_tells_how_images_became_square(tmp_path):
    write(tmp_path / "x/a.png", 200, (8, 4))
    seen = {}
    for resize in ("squeeze", "letterbox", "crop"):
        dataset = opened(tmp_path / "x", tmp_path, resize=resize)
        seen[resize] = float(load_images(dataset, 4, 1).mean())
    assert seen == {"squeeze": 200, "letterbox": 100, "crop": 200}
    start = f"x-{dataset.digest[:12]}-4x4x1"
    names = sorted(path.name for path in (tmp_path / "d/cache").iterdir())
    assert names == [f"{start}{end}-v1.npy" for end in ("-crop", "-letterbox", "")]


def test_images_of_one_name_are_left_out_one_by_one(tmp_path, monkeypatch):
    root = make_parts(tmp_path / "x")
    (root / "test/hole/000.png").write_text("rubbish")
    with pytest.raises(GanlibError, match=r"hole/000\.png cannot be read"):
        load_images(opened(root, tmp_path), 4, 1)
    dataset = opened(root, tmp_path, "skip")
    assert dataset.skipped["file"].tolist() == ["test/hole/000.png"]
    assert "test/crack/000.png" in set(dataset.files["file"])
    assert dataset.caption == "x: 5 good, 3 + 4 test images in a folder, 1 unreadable left out"
    assert dataset.notes[-1].startswith("1 of 12 images cannot be read")
    monkeypatch.setattr(unreadable_module, "decode", lambda *_: pytest.fail("tries again"))
    assert opened(root, tmp_path, "skip").skipped.equals(dataset.skipped)
    monkeypatch.undo()
    (root / "test/hole/001.png").write_text("rubbish")
    (root / "test/crack/000.png").write_text("rubbish")
    (root / "test/crack/001.png").write_text("rubbish")
    with pytest.raises(GanlibError, match=r"No image of test_anomaly in .* can be read; the first"):
        opened(root, tmp_path, "skip")


# How images become square


def numbered(width, height, mode="L"):
    """An image whose pixels all differ, and its array."""
    levels = (np.arange(width * height) + 10).reshape(height, width).astype(np.uint8)
    return Image.fromarray(levels).convert(mode), levels


def test_a_letterbox_keeps_all_of_the_image_between_black_bars(tmp_path):
    image, levels = numbered(6, 3)
    image.save(tmp_path / "wide.png")
    image.transpose(Image.Transpose.TRANSPOSE).save(tmp_path / "tall.png")
    expected = np.zeros((6, 6), int)
    expected[1:4] = levels
    assert shown_box(6, 3, "letterbox") == (0, -2, 6, 4)
    # An odd row of black is below: three of six are left, one above and two below.
    expected = np.zeros((6, 6), int)
    expected[2:5] = levels
    assert decode(tmp_path / "wide.png", 6, 1, "letterbox")[..., 0].tolist() == expected.tolist()
    tall = decode(tmp_path / "tall.png", 6, 1, "letterbox")[..., 0]
    assert tall.tolist() == expected.T.tolist()


@pytest.mark.parametrize(("width", "height"), [(12, 8), (8, 12), (16, 4), (7, 7), (9, 4)])
@pytest.mark.parametrize("resize", ["squeeze", "letterbox", "crop"])
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_the_square_shows_the_box(tmp_path, width, height, resize, mode):
    """Cut out of a black canvas by `shown_box`, then reduced: the same picture."""
    levels = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    image = Image.fromarray(levels)
    saved = Image.fromarray(levels.astype(np.uint16) * 257) if mode == "I;16" else image
    saved = saved.convert("RGB") if mode == "RGB" else saved
    saved.save(tmp_path / "image.png")
    left, top, right, bottom = shown_box(width, height, resize)
    canvas = np.pad(levels, 20)[top + 20 : bottom + 20, left + 20 : right + 20]
    expected = np.asarray(Image.fromarray(canvas).resize((4, 4), Image.Resampling.BOX))
    found = decode(tmp_path / "image.png", 4, 1, resize)[..., 0]
    # Rounded once more where rows are reduced first.
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_crop_is_the_central_square(tmp_path):
    image, levels = numbered(7, 4)
    image.save(tmp_path / "a.png")
    assert shown_box(7, 4, "crop") == (1, 0, 5, 4)
    assert decode(tmp_path / "a.png", 4, 1, "crop")[..., 0].tolist() == levels[:, 1:5].tolist()
    assert shown_box(7, 4, "squeeze") == (0, 0, 7, 4)


def test_the_box_is_of_the_turned_image(tmp_path):
    image, levels = numbered(6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    for suffix in ("png", "webp", "tif"):
        options = {"lossless": True} if suffix == "webp" else {}
        image.save(tmp_path / f"a.{suffix}", exif=exif, **options)
        assert size_of(tmp_path / f"a.{suffix}") == (3, 6)
        left, _, right, _ = shown_box(3, 6, "letterbox")
        expected = np.pad(np.rot90(levels, -1), ((0, 0), (-left, right - 3)))
        found = decode(tmp_path / f"a.{suffix}", 6, 1, "letterbox")[..., 0]
        assert found.tolist() == expected.tolist()


def test_a_strip_takes_no_square_of_memory(tmp_path, monkeypatch):
    write(tmp_path / "strip.png", 255, (20000, 21))
    sizes = []
    crop = Image.Image.crop

    def watched(image, box):
        sizes.append((box[2] - box[0]) * (box[3] - box[1]))
        return crop(image, box)

    monkeypatch.setattr(Image.Image, "crop", watched)
    pixels = decode(tmp_path / "strip.png", 32, 1, "letterbox")
    assert max(sizes) == 20000 * 32
    assert pixels.sum() == pytest.approx(255 * 21 / 20000 * 32 * 32, abs=32)
    write(tmp_path / "line.png", 255, (20000, 1))
    with pytest.raises(
        GanlibError, match=r"line\.png.*20000x1 pixels, more than 1000 times as long"
    ):
        decode(tmp_path / "line.png", 32, 1, "letterbox")


def test_sizes_and_modes_may_be_mixed(tmp_path):
    write(tmp_path / "x/a.png", 100, (4, 9))
    write(tmp_path / "x/b.jpg", (200, 200, 200), (12, 5), "RGB")
    write(tmp_path / "x/c.png", 50 * 257, (6, 6), "I;16")
    write(tmp_path / "x/d.png", (10, 10, 10, 255), (7, 6), "RGBA")
    images = load_images(opened(tmp_path / "x", tmp_path), 8, 3)
    assert images.shape == (4, 8, 8, 3)
    assert [int(image.max()) for image in images] == [100, 200, 50, 10]
    assert [bool((image == 0).any()) for image in images] == [True, True, False, True]


# Grey or coloured


def test_channels_are_told_by_the_good_images(tmp_path, monkeypatch):
    root = make_parts(tmp_path / "x")
    assert data.channels_of(root) == data.channels_of(opened(root, tmp_path)) == 1
    random = np.random.default_rng(0)
    grey = np.repeat(random.integers(0, 256, (40, 30, 1), dtype=np.uint8), 3, 2)
    Image.fromarray(grey).save(root / "train/good/jpeg.jpg", quality=60)
    # What a camera's JPEG does to grey: colour that comes and goes from pixel to pixel.
    noisy = np.asarray(Image.fromarray(grey).resize((300, 400))).astype(int)
    noisy = np.clip(noisy + random.integers(-9, 10, noisy.shape), 0, 255).astype(np.uint8)
    assert np.ptp(noisy, axis=2).max() > 15
    Image.fromarray(noisy).save(root / "train/good/noisy.jpg", quality=60)
    for i in range(2):
        write(root / f"test/crack/{i:03}.png", (200, 30, 30), mode="RGB")  # a red defect
    (root / "train/good/bad.png").write_text("rubbish")
    assert data.channels_of(str(root)) == 1
    write(root / "train/good/colour.png", (120, 100, 100), mode="RGB")
    assert data.channels_of(root) == 3
    assert data.channels_of(opened(root, tmp_path)) == 3
    assert data.channels_of("casting") is None
    files = pd.DataFrame({"file": [], "part": []})
    assert data.channels_of(Dataset("casting", "kaggle", root, files, {}, (), root)) is None


def test_a_folder_where_nothing_can_be_read_has_no_channels(tmp_path):
    write(tmp_path / "x/a.png").write_text("rubbish")
    with pytest.raises(GanlibError, match=r"a\.png cannot be read as an image"):
        data.channels_of(tmp_path / "x")


def test_any_folder_has_the_profiles_row_and_the_errata_of_both(tmp_path):
    fill(tmp_path / "parts", 1)
    folder = str(tmp_path / "parts")
    for profile in ("smoke", "quick", "paper"):
        casting = profiles.settings(profile, "casting")
        assert profiles.settings(profile, folder, channels=1) == casting
        assert profiles.settings(profile, folder).channels == 3
    assert "pixels scaled by 31.5" not in errata.presets(folder, "GANomaly")
    assert errata.presets(folder, "AnoGAN") == errata.presets("casting", "AnoGAN")


# Splits


def bare(source="folder", **counts):
    """Make a Dataset of rows without files."""
    parts = [part for part, count in counts.items() for _ in range(count)]
    files = pd.DataFrame({"file": [f"{i}.png" for i in range(len(parts))], "part": parts})
    files = files.assign(kind="any", label=[int("anomaly" in part) for part in parts])
    return Dataset("x", source, Path(), files, dict.fromkeys(counts, "0"), (), Path())


def test_a_folder_with_both_kinds_is_split_and_scored_as_the_archives_are(tmp_path):
    dataset = opened(make_parts(tmp_path / "x", good=30), tmp_path)
    split = data.paper_split(dataset)
    assert split.train.tolist() == list(range(30))
    assert split.test_normal.tolist() == [30, 31, 32]
    assert split.test_anomaly.tolist() == [33, 34, 35, 36]
    table = data.to_score(dataset, split)
    known = data.add_truth(dataset, split, table)
    assert known["group"].value_counts()["test anomaly"] == 4
    assert known.loc[known["label"] == 1, "kind"].value_counts().to_dict() == {
        "crack": 2,
        "hole": 2,
    }
    grouped = data.grouped_split(dataset, np.arange(37))
    assert len(grouped.test_normal) == 4  # of four groups, as everywhere
    assert not set(grouped.train) & set(grouped.test_normal)


@pytest.mark.parametrize(
    "counts",
    [
        {"normal": 50},
        {"train_normal": 50},
        {"train_normal": 50, "test_normal": 5},
        {"train_normal": 50, "test_anomaly": 5},
    ],
)
def test_without_both_kinds_there_is_no_comparison(counts):
    with pytest.raises(GanlibError, match=r"cannot be compared.*05_your_images.*ganlib train"):
        data.paper_split(bare(**counts))


@pytest.fixture
def groups(monkeypatch):
    """Set the groups of near-copies."""

    def set_groups(of_rows):
        monkeypatch.setattr(splits_module, "groups_of", lambda dataset: np.asarray(of_rows))

    return set_groups


def test_held_out_images_have_no_copy_in_training(groups):
    dataset = bare(train_normal=300, test_normal=20, test_anomaly=30)
    of_rows = np.append(np.arange(300) // 5, 1000 + np.arange(50))
    groups(of_rows)
    split, note = held_out_split(dataset, seed=3)
    assert len(split.calibration) == 60
    assert sorted([*split.train, *split.calibration]) == list(range(300))
    assert not set(of_rows[split.train]) & set(of_rows[split.calibration])
    assert split.test_normal.tolist() == list(range(300, 320))
    assert split.test_anomaly.tolist() == list(range(320, 350))
    assert "60 of 300 good images" in note
    assert "no near-copy of them is trained on (the good images are 60 pictures)" in note
    again, other = held_out_split(dataset, seed=3)[0], held_out_split(dataset, seed=4)[0]
    assert all(map(np.array_equal, split, again))
    assert split.calibration.tolist() != other.calibration.tolist()
    assert 100 < split.calibration.mean() < 200  # from everywhere


@pytest.mark.parametrize("seed", range(5))
def test_large_groups_are_kept_together_and_giants_train(groups, seed):
    of_rows = np.repeat([0, 1, 2, 3, 4, 5], [35, 25, 20, 10, 5, 5])
    groups(of_rows)
    split, _ = held_out_split(bare(normal=100), seed=seed)
    assert set(range(35)) <= set(split.train)
    assert not set(of_rows[split.train]) & set(of_rows[split.calibration])
    assert 20 <= len(split.calibration) <= 25


def test_few_copies_are_not_one_witness(groups):
    of_rows = np.arange(200) // 12  # 17 groups, of which four hold a fifth of the images and more
    groups(of_rows)
    for seed in range(5):
        split, _ = held_out_split(bare(normal=200), share=0.05, seed=seed)
        assert len(set(of_rows[split.calibration])) == 4


def test_one_of_five_pictures_is_held_out_and_four_train(groups):
    groups(np.arange(100) // 20)
    split, _ = held_out_split(bare(normal=100))
    assert (len(split.train), len(split.calibration)) == (80, 20)


@pytest.mark.parametrize(
    ("of_rows", "expected"),
    [(np.arange(100), [13, 16, 27, 33]), (np.zeros(100, int), [1, 10, 18, 26])],
    ids=["groups", "one by one"],
)
def test_what_is_held_out_is_the_same_on_every_machine(groups, of_rows, expected):
    groups(of_rows)
    assert held_out_split(bare(normal=100))[0].calibration[:4].tolist() == expected


def test_two_images_at_least_are_held_out_under_a_fixed_camera(groups):
    groups(np.zeros(10, int))
    assert len(held_out_split(bare(normal=10), share=0.05)[0].calibration) == 2


def test_under_a_fixed_camera_images_are_drawn_one_by_one_and_that_is_said(groups):
    for of_rows, giant in (
        (np.zeros(100, int), 100),
        (np.maximum(np.arange(100) - 49, 0), 50),
        (np.arange(100) // 50, 100),
    ):
        groups(of_rows)
        split, note = held_out_split(bare(normal=100))
        assert len(split.calibration) == 20
        assert f"drawn one by one, as {giant} of the good images are so alike" in note
        assert 30 < split.calibration.mean() < 70
    groups(np.maximum(np.arange(100) - 48, 0))  # a giant of 49: more than half can be told
    split, note = held_out_split(bare(normal=100))
    assert "no near-copy" in note
    assert set(range(49)) <= set(split.train)


def test_many_images_are_not_compared(monkeypatch):
    monkeypatch.setattr(splits_module, "groups_of", lambda _: pytest.fail("compares"))
    split, note = held_out_split(bare(normal=4000, test_anomaly=1001))
    assert (len(split.train), len(split.calibration)) == (3200, 800)
    assert "drawn one by one, as more than 5,000 images are not compared" in note


@pytest.mark.parametrize(
    ("good", "share", "held_out"),
    [(10, 0.2, 2), (20, 0.2, 4), (59, 0.2, 12), (60, 0.2, 19), (94, 0.2, 19), (100, 0.2, 20),
     (100, 0.5, 50), (1000, 0.05, 50)],
)  # fmt: skip
def test_as_many_are_held_out_as_a_threshold_needs(groups, good, share, held_out):
    groups(np.arange(good))
    assert len(held_out_split(bare(normal=good), share)[0].calibration) == held_out


def test_too_few_images_and_impossible_shares_are_refused(groups):
    groups(np.arange(9))
    with pytest.raises(GanlibError, match=r"x has 9 good images .* at least 10"):
        held_out_split(bare(normal=9))
    for share, seed in ((0.0, 0), (0.6, 0), (0.2, -1)):
        with pytest.raises(GanlibError, match=r"share is above 0 and at most 0\.5"):
            held_out_split(bare(normal=50), share, seed)


def test_archives_can_be_held_out_of_too(groups):
    groups(np.arange(120))
    split, _ = held_out_split(bare("kaggle", normal=100, anomaly=20))
    assert (len(split.train), len(split.calibration), len(split.test_normal)) == (80, 20, 0)
    assert split.test_anomaly.tolist() == list(range(100, 120))


def test_copies_are_looked_for_without_bars(tmp_path):
    """Two pictures that share nothing but the bars are two."""
    random = np.random.default_rng(0)
    for i in range(3):
        picture = Image.fromarray(random.integers(0, 256, (4, 12), dtype=np.uint8))
        picture = picture.resize((192, 64), Image.Resampling.BICUBIC)
        path = tmp_path / f"x/{i}.png"
        path.parent.mkdir(exist_ok=True)
        picture.save(path)
    Image.fromarray(np.asarray(picture)[::-1]).save(tmp_path / "x/3.png")  # a copy of the last
    groups = data.groups_of(opened(tmp_path / "x", tmp_path))
    assert groups.tolist() == [0, 1, 2, 2]


# Masks


def test_masks_lie_on_the_defects_whatever_the_shape(tmp_path):
    root = make_parts(tmp_path / "x")
    for name, size, spot in (("000", (30, 12), (24, 3)), ("001", (12, 30), (5, 20))):
        levels = np.full(size[::-1], 90, np.uint8)
        mask = np.zeros(size[::-1], np.uint8)
        levels[spot[1] : spot[1] + 3, spot[0] : spot[0] + 3] = 255
        mask[spot[1] : spot[1] + 3, spot[0] : spot[0] + 3] = 1  # not 255: what is not black counts
        Image.fromarray(levels).save(root / f"test/crack/{name}.png")
        (root / "ground_truth/crack").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(root / f"ground_truth/crack/{name}.png")
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
    with pytest.raises(GanlibError, match=r"hole/000\.png shows a defect and has no mask"):
        load_masks(dataset, np.array([10]), 10)


def test_one_white_pixel_among_many_is_a_defect(tmp_path):
    mask = Image.new("1", (900, 900))
    mask.putpixel((450, 10), 1)
    mask.save(tmp_path / "mask.png")
    found = decode_mask(tmp_path / "mask.png", 8)
    assert np.argwhere(found).tolist() == [[0, 4]]


def test_a_mask_has_the_size_of_the_turned_image(tmp_path):
    root = make_parts(tmp_path / "x")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (8, 4)).save(root / "test/hole/000.png", exif=exif)
    write(root / "ground_truth/hole/000.png", 255, (4, 8))
    assert opened(root, tmp_path).files["mask"].iloc[-2] == "ground_truth/hole/000.png"
    write(root / "ground_truth/hole/000.png", 255, (8, 4))
    with pytest.raises(GanlibError, match=r"has 8x4 pixels, but its image .* has 4x8"):
        opened(root, tmp_path)


def test_archives_have_no_masks():
    dataset = bare("kaggle", normal=3, anomaly=2)
    assert not data.outlined(dataset, np.arange(5)).any()
    assert not load_masks(dataset, np.array([1, 2]), 4).any()
    with pytest.raises(GanlibError, match="has no mask"):
        load_masks(dataset, np.array([4]), 4)


# make figures


def test_runs_and_figures_are_called_by_the_name_not_the_path(tmp_path):
    root = str(make_parts(tmp_path / "My parts"))
    steps = pipeline.plan("smoke", ["casting", root], ["paper"], [0], "auto", "raise", "crop")
    of_folder = [step for step in steps if step.parameters.get("dataset") == root]
    assert [step.label for step in of_folder] == [
        "00_download: my-parts",
        "01_dcgan_anogan: my-parts, paper, seed 0",
        "02_ganomaly: my-parts, paper, seed 0",
        "02b_baselines: my-parts, paper, seed 0",
        "04_errata: my-parts, seed 0",
    ]
    for step in of_folder:
        assert step.output.is_relative_to(pipeline.PROJECT / "runs/smoke/my-parts")
        assert step.parameters["resize"] == "crop"
    assert steps[-1].label == "03_comparison: casting and my-parts"
    assert steps[-1].parameters["datasets"] == "casting my-parts"


def test_a_folder_without_both_kinds_gets_the_notebook_of_its_own(tmp_path):
    fill(tmp_path / "parts", 3)
    root = str(tmp_path / "parts")
    (step,) = pipeline.plan("smoke", [root], ["paper", "grouped"], [4, 5], "auto", "skip")
    assert step.notebook.name == "05_your_images.ipynb"
    assert step.output == pipeline.PROJECT / "runs/smoke/parts/05_your_images.ipynb"
    given = {name: step.parameters[name] for name in ("folder", "seed", "on_error", "resize")}
    assert given == {"folder": root, "seed": 4, "on_error": "skip", "resize": "letterbox"}
    assert step.label == "05_your_images: parts"
    both = pipeline.plan("smoke", ["casting", root], ["paper"], [0], "auto")
    assert both[-1].parameters["datasets"] == "casting"
    assert len(both) == 7


def test_two_data_sets_of_one_name_are_refused(tmp_path):
    roots = [str(make_parts(tmp_path / where / "parts")) for where in "ab"]
    with pytest.raises(GanlibError, match="called parts and parts in runs"):
        pipeline.plan("smoke", roots, ["paper"], [0], "auto")


def test_changed_images_of_a_folder_are_noticed(tmp_path):
    root = make_parts(tmp_path / "parts")
    step = pipeline.plan("smoke", [str(root)], ["paper"], [0], "auto")[0]
    before = pipeline.key(step)
    assert pipeline.key(step) == before
    write(root / "train/good/new.png")
    assert pipeline.key(step) != before


@pytest.fixture
def planned(monkeypatch):
    """Run the command line without executing a notebook; returns the plans made."""
    plans = []
    monkeypatch.setattr(pipeline, "run", lambda steps, profile: plans.append(steps))
    return plans


def test_the_command_takes_folders_with_blanks_in_quotes(tmp_path, planned, monkeypatch, capsys):
    make_parts(tmp_path / "my parts")
    monkeypatch.setattr(pipeline, "PROJECT", tmp_path)
    monkeypatch.chdir(tmp_path)
    asked = ["--profile", "smoke", "--protocols", "paper", "--datasets"]
    assert pipeline.main([*asked, "'my parts' casting"]) == 0
    assert planned[0][0].parameters["dataset"] == str(tmp_path / "my parts")
    for names, message in (
        ("bob's", 'DATASETS is "bob\'s": No closing quotation'),
        ("'my parts/train'", "has no folder"),
        ("my parts", "no data set 'my'"),
    ):
        fill(tmp_path / "my parts/train/train/bad", 1)
        assert pipeline.main([*asked, names]) == 1
        error = capsys.readouterr().err
        assert error.startswith("Error: ")
        assert message in error
    assert pipeline.main([*asked, "casting", "--resize", "pad"]) == 1
    assert "RESIZE is 'pad': choose squeeze, letterbox, crop" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_hands_quotes_over(tmp_path):
    command = ["make", "figures", "RUN=echo", "-o", ".venv/ready", "DATASETS=cloud '/a  b/c'"]
    said = subprocess.run(
        command, cwd=Path(__file__).parent.parent.parent, capture_output=True, text=True, check=True
    )
    assert "--datasets cloud '/a  b/c' --protocols paper grouped" in said.stdout


def test_the_comparison_calls_a_folder_as_its_runs_are_called(tmp_path):
    fill(tmp_path / "My parts", 1)
    assert data.folder.called(str(tmp_path / "My parts")) == "my-parts"
    assert data.folder.called("casting") == "casting"
    assert data.folder.called("my-parts") == "my-parts"
