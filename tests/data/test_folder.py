"""Folders of images as data sets: what is read, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refused
from sets import fill, make_parts, opened, saved, write

from ganlib import data
from ganlib.data import open_dataset
from ganlib.data.folder import HEAT_MAPS, called, folders_below, name_of


def test_a_name_is_an_archives_then_a_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("casting", "parts"):
        fill(tmp_path / name, 2)
    (tmp_path / "a.png").write_text("")
    names = ("casting", "./casting", "parts", "no/where", "nowhere", "")
    assert [data.is_folder(name) for name in names] == [False, True, True, True, False, False]
    for name in ("parts", tmp_path / "parts", "parts/"):
        assert opened(name, tmp_path).root == tmp_path / "parts" == data.locate(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.locate("~/parts") == tmp_path / "parts"
    for name, message in (
        ("nowhere", r"no data set 'nowhere'.*or give a folder\."),
        ("no/where", r"^no/where does not exist\. Give casting"),
        ("a.png", r"^a\.png is not a folder\. Give"),
    ):
        for function in (open_dataset, data.locate):
            refused(message, function, name)
    for folder, name in (
        ("My Parts (2)", "my-parts-2"),
        ("bottle", "bottle"),
        ("Casting", "casting-folder"),
    ):
        fill(tmp_path / folder, 2)
        assert opened(tmp_path / folder, tmp_path).name == called(tmp_path / folder) == name
    assert called("casting") == "casting"
    first, other = name_of(Path("부품")), name_of(Path("나사"))
    assert first != other
    assert all(name.isascii() and name.startswith("folder-") for name in (first, other))


def test_the_layout_is_read_part_by_part_without_what_programs_leave_behind(tmp_path):
    root = make_parts(tmp_path / "bottle")
    write(root / "ground_truth/crack/000_mask.png", 255)
    write(root / "ground_truth/crack/001.png", 255)
    dataset = opened(root, tmp_path)
    assert (dataset.name, dataset.source, dataset.resize) == ("bottle", "folder", "letterbox")
    assert (dataset.root, dataset.notes) == (root, ())
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
    assert dataset.caption == "bottle: 5 good, 3 + 4 test images in a folder"
    assert opened(root, tmp_path, resize="crop").caption.endswith(" in a folder, cropped")
    assert data.can_be_compared(root) and data.can_be_compared("casting")
    root = make_parts(tmp_path / "x")
    for name in (".hidden.png", "._a.png", "Thumbs.db", "desktop.ini", "notes.txt"):
        (root / "train/good" / name).write_text("rubbish")
    for folder in ("test/__MACOSX", "test/.cache", "__MACOSX"):
        fill(root / folder, 2)
    write(root / "train/good/A.PNG")
    write(root / "train/good/b.TIF")
    files = opened(root, tmp_path).files
    names = [Path(file).name for file in files["file"][files["part"] == "train_normal"]]
    assert names == [f"{i:03}.png" for i in range(5)] + ["A.PNG", "b.TIF"]
    assert set(files["kind"]) == {"normal", "crack", "hole"}


def test_what_systems_leave_behind_and_own_pictures_are_no_images_and_the_rest_is_named(tmp_path):
    root = make_parts(tmp_path / "x")
    for name in ("#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir"):
        fill(root / "test" / name, 2)
    fill(root / "test/heat", 2)
    (root / "test/heat" / HEAT_MAPS).write_text("")
    for name in ("a.JFIF", "b.jpe", "c.gif"):
        write(root / "train/good/0.png").rename(root / "train/good" / name)
    for name in ("d.heic", "e.HEIC", "without", "Thumbs.db", ".hidden"):
        (root / "train/good" / name).write_text("")
    dataset = opened(root, tmp_path)
    assert set(dataset.files["kind"]) == {"normal", "crack", "hole"}
    assert dataset.files["part"].value_counts()["train_normal"] == 8
    (note,) = dataset.notes
    assert ": 2 .heic, 1 without suffix; first " in note and note.endswith("d.heic.")
    for name in ("here", "back", "twice"):  # a link is followed once, and never up
        (root / "test/crack" / name).symlink_to({"back": root}.get(name, tmp_path / "other"))
    fill(tmp_path / "other/deeper", 1)
    below = folders_below(root / "test/crack")
    assert [path.name for path in below] == ["crack", "here", "deeper"]


def test_validation_images_set_the_threshold_and_masks_of_one_image_are_united(
    tmp_path,
):
    root = make_parts(tmp_path / "loco", good=30)
    fill(root / "validation/good", 20, 50)
    for number, column in enumerate((1, 3)):
        mask = np.zeros((4, 4), "uint8")
        mask[2, column] = 255
        saved(mask, root / f"ground_truth/crack/001/{number:03}.png")
    dataset = opened(root, tmp_path)
    split, note = data.held_out_split(dataset)
    files = dataset.files["file"].iloc[split.calibration]
    assert files.str.startswith("validation/good/").all() and len(files) == 20
    assert len(split.train) == 30 and "20 of 50" in note and "validation/good" in note
    assert data.outlined(dataset, np.arange(57)).sum() == 54
    (mask,) = data.load_masks(dataset, np.flatnonzero(dataset.files["mask"] != ""), 4)
    assert np.argwhere(mask).tolist() == [[2, 1], [2, 3]]


def test_good_images_alone_are_enough_and_others_are_passed_over(tmp_path):
    fill(tmp_path / "parts", 12)
    fill(tmp_path / "parts/old", 2)
    dataset = opened(tmp_path / "parts", tmp_path)
    assert dataset.files["file"].tolist() == [f"{i:03}.png" for i in range(12)]
    assert set(dataset.files["part"]) == {"normal"}
    assert dataset.caption == "parts: 12 good images in a folder"
    ignored, unknown = dataset.notes
    assert ignored.endswith(": in old.")
    assert unknown.startswith("There are no test anomalies")
    assert not data.can_be_compared(tmp_path / "parts")

    fill(tmp_path / "a/train/good", 3)
    fill(tmp_path / "a/train/bad", 3)
    write(tmp_path / "a/photo.jpg")
    dataset = opened(tmp_path / "a", tmp_path)
    assert dataset.files["part"].tolist() == ["train_normal"] * 3
    assert dataset.caption == "a: 3 good images in a folder"
    assert dataset.notes[0].endswith(": in the folder itself, train/bad.")


# How an MVTec AD folder is spoiled
STEPS = {
    "-": shutil.rmtree,
    "+": lambda path: fill(path, 1),
    "=": lambda path: (shutil.rmtree(path, ignore_errors=True), path.mkdir(parents=True)),
    ">": write,
    "^": lambda path: write(path, 255, (4, 5)),
    "?": lambda path: write(path).write_text("rubbish"),
}
REFUSED = {
    "-train -test": r"x has no images \(\.bmp, .*train/good, test/good",
    "-train -test +crack +ok": r"x has no images.*Images are in the subfolder ok\.",
    "-train -test +color +crack": r"x has no images.*Images are in subfolders\.",
    "-train": r"a folder test but no folder train: put .*x/train/good",
    "-train/good +train/ok": r"x/train has no folder good, but ok: put",
    "=train/good": r"x/train/good has no images",
    "=test": r"x/test is empty",
    "=test/crack": r"x/test/crack has no images .*remove it",
    "+test/dent/deeper": r"x/test/dent has no images",
    ">test/000.png >test/001.png": r"x/test has 2 images directly in it, first 000\.png",
    "+test/OK": r"x/test/OK is not named after a defect",
    ">ground_truth/crack/007_mask.png": (
        r"crack/007_mask\.png is a mask without an image: expected .*test/crack/007 with"
    ),
    ">ground_truth/crack/000.png >ground_truth/crack/000_mask.png": (
        r"000_mask\.png: there are two masks called 000"
    ),
    ">test/hole/000.jpg >ground_truth/hole/000.png": (
        r"hole/000\.png: there are two images called 000"
    ),
    "^ground_truth/hole/000.png": (
        r"hole/000\.png has 4x5 pixels, but its image test/hole/000\.png has 4x4"
    ),
    "?ground_truth/hole/000.png": r"ground_truth/hole/000\.png cannot be read as an image",
    "=test/hole/009.png": r"test/hole/009\.png cannot be read: Is a directory",
}


@pytest.mark.parametrize("steps", REFUSED)
def test_what_is_no_data_set_is_told_in_one_line(tmp_path, steps):
    root = make_parts(tmp_path / "x")
    for step in steps.split():
        STEPS[step[0]](root / step[1:])
    assert "\n" not in refused(REFUSED[steps], opened, root, tmp_path)


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
    (root / "test/crack").rename(root / "test/scratch")  # now after hole
    assert len({first, swapped.digest, opened(root, tmp_path).digest}) == 3


def test_copies_are_looked_for_without_bars(tmp_path):
    """Two pictures that share nothing but the bars are two."""
    random = np.random.default_rng(0)
    for i in range(3):
        picture = Image.fromarray(random.integers(0, 256, (4, 12), dtype=np.uint8))
        picture = saved(
            picture.resize((192, 64), Image.Resampling.BICUBIC), tmp_path / f"x/{i}.png"
        )
    saved(np.asarray(picture)[::-1], tmp_path / "x/3.png")  # a copy of the last
    assert data.groups_of(opened(tmp_path / "x", tmp_path)).tolist() == [0, 1, 2, 2]
