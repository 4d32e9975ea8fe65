"""A folder of your own images as a data set: which of its folders is which part.

Either the layout of MVTec AD (Bergmann et al., IJCV 129 (2021) 1038-1059) and anomalib,

    train/good             good images to train on
    test/good              good images to test on
    test/<kind>            images with a defect of that kind, for instance test/crack
    validation/good        more good images, for the threshold
    ground_truth/<kind>    masks, <image>_mask.png or <image>.png, or a folder <image> of masks that
                           are laid over each other, as in MVTec LOCO: see `images.decode_mask`

of which `train/good` alone is enough; or one folder with good images in it, and none deeper.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ganlib.data.archives import ARCHIVES
from ganlib.errors import GanlibError
from ganlib.files import shown, slug

SUFFIXES = {".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff"}
SUFFIXES |= {".webp"}
# What systems and storage leave in folders: deleted files, thumbnails, snapshots.
NO_FOLDERS = {"#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recently-snapshot", "@recycle"}
NO_FOLDERS |= {"__macosx", "lost+found", "recycler", "system volume information"}
NO_FILES = {"desktop.ini", "ehthumbs.db", "thumbs.db"}
HEAT_MAPS = "ganlib-heat-maps.txt"  # in a folder of ganlib's own pictures, which are no images
GOOD = "good"
# No names of defects: good images would be taken for anomalies.
NO_KINDS = {"good", "ok", "normal", "all"}
LAYOUT = "train/good, test/good, test/<kind of defect> and, if there are any, ground_truth/<kind>"


class Images(NamedTuple):
    """The images in one folder, all of one part and one kind."""

    # train_normal, validation_normal, test_normal, test_anomaly, or normal if nothing is divided
    part: str
    kind: str  # normal or the name of the kind's folder
    folder: Path
    names: list[str]  # bare names, sorted
    masks: dict[str, str]  # of some of the names, posix paths relative to the root; or of a folder


def list_images(folder: Path) -> list[str]:
    """List the files in a folder that have an image's suffix: bare names, sorted, none hidden."""
    return [name for name in _names(folder) if Path(name).suffix.lower() in SUFFIXES]


def passed_over(folders: Iterable[Path]) -> tuple[str, ...]:
    """Say in a sentence, if there are any, which files `list_images` passes over in folders."""
    files = [folder / name for folder in folders for name in _names(folder)]
    files = [path for path in files if path.suffix.lower() not in SUFFIXES and not path.is_dir()]
    files = [path for path in files if path.name.lower() not in NO_FILES]
    if not files:
        return ()
    kinds = Counter(shown(path.suffix.lower() or "without suffix") for path in files)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    return (f"Not read, for want of an image's suffix: {listed}; first {shown(files[0])}.",)


def folders_below(folder: Path) -> Iterator[Path]:
    """Yield a folder and all below it, each once; links too, unless they lead back up."""
    top, seen, waiting = folder.resolve(), set(), [folder]
    while waiting:
        real = (place := waiting.pop()).resolve()
        if real not in seen and (real == top or not top.is_relative_to(real)):
            seen.add(real)
            yield place
            waiting += [place / name for name in reversed(list_folders(place))]


def images_in(folder: Path, remedy: str) -> list[str]:
    """List images as `list_images` does, or refuse a folder without any."""
    if names := list_images(folder):
        return names
    raise GanlibError(f"{shown(folder)} holds no image ({', '.join(sorted(SUFFIXES))}). {remedy}")


def list_folders(folder: Path) -> list[str]:
    """List the folders with a person's files in a folder: bare names, sorted, none hidden."""
    names = [name for name in _names(folder) if os.path.isdir(folder / name)]  # noqa: PTH112
    own = (name for name in names if name.casefold() not in NO_FOLDERS)
    return [name for name in own if not (folder / name / HEAT_MAPS).exists()]


def _names(folder: Path) -> list[str]:
    try:  # not by Path, which is silent about folders that it may not read
        return sorted(name for name in os.listdir(folder) if name[0] != ".")  # noqa: PTH208
    except OSError as error:
        found = f"{shown(folder)} cannot be listed: {error.strerror}"
        raise GanlibError(f"{found}. Make it readable.") from error


def is_folder(name: str | Path) -> bool:
    """Tell whether a data set is a folder: the path exists or has a separator in it."""
    text = str(name)
    return "/" in text or "\\" in text or (text not in ("", *ARCHIVES) and Path(text).exists())


def folder_of(name: str | Path) -> Path:
    """Return the folder of this name as an absolute path, or refuse it."""
    folder = Path(str(name)).expanduser()
    if not folder.is_dir():
        found = f"{shown(folder)} is {'a file' if folder.exists() else 'not there'}, not a folder"
        names = ", ".join(ARCHIVES)
        raise GanlibError(f"{found}. Give {names}, a folder of good images or one with {LAYOUT}.")
    return folder.resolve()


def name_of(root: Path) -> str:
    """Name a folder's data set so that files can have this name, and no archive has it."""
    digest = hashlib.sha256(root.name.encode(errors="replace")).hexdigest()[:6]
    name = slug(root.name) or f"folder-{digest}"  # of other letters than ASCII's
    return f"{name}-folder" if name in ARCHIVES else name


def called(name: str | Path) -> str:
    """Return the `Dataset.name` that `open_dataset` gives to a data set."""
    return name_of(folder_of(name)) if is_folder(name) else str(name)


def can_be_compared(name: str | Path) -> bool:
    """Tell whether methods can be compared on a data set: it has test images of both kinds."""
    return str(name) in ARCHIVES or {"test_normal", "test_anomaly"} <= {
        images.part for images in list_folder(folder_of(name))[0]
    }


def list_folder(root: Path) -> tuple[list[Images], tuple[str, ...]]:
    """List a folder's images by part and kind, none empty, with notes on what it lacks."""
    folders = list_folders(root)
    if {"train", "test"} & set(folders):
        images, ignored = _layout(root, folders)
    else:
        ignored = [folder for folder in folders if list_images(root / folder)]
        named_good = next((shown(each) for each in ignored if each.casefold() in NO_KINDS), None)
        hint = "Images are in folders of it. " * bool(ignored)  # which may show defects
        hint = f"Images are in its folder {named_good}. " if named_good else hint
        names = images_in(root, f"{hint}Expected: good images, or {LAYOUT}.")
        images = [Images("normal", "normal", root, names, {})]
    listed = ", ".join(shown(folder) if folder else "the folder itself" for folder in ignored)
    left = f"Images that were not read, because they are not where images go: in {listed}."
    notes = [left] * bool(ignored) + [*passed_over(each.folder for each in images)]
    if all(each.part != "test_anomaly" for each in images):
        notes += ["There are no test anomalies: how many defects a detector finds is not known."]
    return images, tuple(notes)


def _layout(root: Path, folders: list[str]) -> tuple[list[Images], list[str]]:
    """Read the layout of MVTec AD; return the folders ignored, too."""
    trained = list_folders(root / "train") if "train" in folders else []
    if GOOD not in trained:
        found = f"{shown(root)} has a folder test but no folder train"
        if "train" in folders:
            others = ", ".join(map(shown, trained)) or f"{len(list_images(root / 'train'))} images"
            found = f"{shown(root / 'train')} has no folder {GOOD}, but {others}"
        good = shown(root / "train" / GOOD)
        raise GanlibError(f"{found}: put good images to train on into {good}. Expected: {LAYOUT}.")
    ignored = [folder for folder in ("", "train") if list_images(root / folder)]
    ignored += [f"train/{folder}" for folder in trained if folder != GOOD]
    kinds = _kinds(root / "test") if "test" in folders else []
    masks = _masks(root, kinds) if "ground_truth" in folders else {}
    images = []
    validated = "validation" in folders and GOOD in list_folders(root / "validation")
    sides = [("train", GOOD), *[("validation", GOOD)] * validated]
    for side, kind in [*sides, *(("test", kind) for kind in kinds)]:
        part, called = (f"{side}_normal", "normal") if kind == GOOD else (f"{side}_anomaly", kind)
        names = images_in(root / side / kind, "Put images into it or remove it.")
        own = masks.get(kind, {}) if side == "test" else {}
        images.append(Images(part, called, root / side / kind, names, own))
    return images, ignored


def _kinds(test: Path) -> list[str]:
    kinds = sorted(list_folders(test), key=lambda kind: kind != GOOD)
    if (loose := list_images(test)) or not kinds:
        first = f"holds {len(loose)} images itself, the first is {shown(loose[0])}" if loose else ""
        raise GanlibError(
            f"{shown(test)} {first or 'is empty'}. Put good images into {shown(test / GOOD)}, "
            "others into folders named after their defects, or remove it."
        )
    for kind in kinds:
        if kind != GOOD and kind.casefold() in NO_KINDS:
            found = f"{shown(test / kind)} is not named after a defect"
            raise GanlibError(f"{found}. Call good images {GOOD}, others by their defect.")
    return kinds


def _masks(root: Path, kinds: list[str]) -> dict[str, dict[str, str]]:
    """Find the image of every mask; return per kind the masks by the images' names."""
    masks = {}
    for kind in list_folders(root / "ground_truth"):
        folder, masks[kind], images = root / "ground_truth" / kind, {}, defaultdict(list)
        for name in list_images(root / "test" / kind) if kind in kinds else []:
            images[Path(name).stem].append(name)
        several = [name for name in list_folders(folder) if list_images(folder / name)]
        for mask in [*list_images(folder), *several]:
            stem = mask if mask in several else Path(mask).stem
            stem = stem if stem in images else stem.removesuffix("_mask")
            if stem not in images:
                image = shown(root / "test" / kind / stem)
                found = f"{shown(folder / mask)} is a mask without an image"
                raise GanlibError(f"{found}: expected {image} with an image's suffix.")
            name, *others = images[stem]
            if others or name in masks[kind]:
                what = "images" if others else "masks"
                found = f"{shown(folder / mask)}: there are two {what} called {shown(stem)}"
                raise GanlibError(f"{found}. Rename or remove one.")
            masks[kind][name] = f"ground_truth/{kind}/{mask}"
    return masks
