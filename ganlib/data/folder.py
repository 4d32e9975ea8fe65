"""Use a folder of your own images as a data set: which subfolder is which part.

Either the layout of MVTec AD (Bergmann et al., IJCV 129 (2021) 1038-1059) and anomalib,

    train/good             good images to train on
    test/good              good images to test on
    test/<kind>            images with a defect of that kind, for instance test/crack
    validation/good        more good images, for the threshold
    ground_truth/<kind>    masks, <image>_mask.png or <image>.png, or a folder <image> of masks to
                           combine, as in MVTec LOCO: see `images.decode_mask`

of which only `train/good` is required; or a folder with good images directly in it.
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
# Left in folders by operating and storage systems: deleted files, thumbnails, snapshots.
NO_FOLDERS = {"#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recently-snapshot", "@recycle"}
NO_FOLDERS |= {"__macosx", "lost+found", "recycler", "system volume information"}
NO_FILES = {"desktop.ini", "ehthumbs.db", "thumbs.db"}
HEAT_MAPS = "ganlib-heat-maps.txt"  # marks a folder of ganlib's own pictures, to be skipped
GOOD = "good"
# Not accepted as names of defects: good images would be taken for anomalies.
NO_KINDS = {"good", "ok", "normal", "all"}
LAYOUT = "train/good, test/good, test/<kind of defect> and, optionally, ground_truth/<kind>"


class Images(NamedTuple):
    """The images in one folder, all of one part and one kind."""

    # train_normal, validation_normal, test_normal, test_anomaly, or normal for an undivided folder
    part: str
    kind: str  # normal or the name of the kind's folder
    folder: Path
    names: list[str]  # bare names, sorted
    masks: dict[str, str]  # for some of the names: posix path, from the root, of a file or folder


def list_images(folder: Path) -> list[str]:
    """List the files in a folder with an image suffix: bare names, sorted, none hidden."""
    return [name for name in _names(folder) if Path(name).suffix.lower() in SUFFIXES]


def passed_over(folders: Iterable[Path]) -> tuple[str, ...]:
    """Report in a sentence which files in folders `list_images` skips, if any."""
    files = [folder / name for folder in folders for name in _names(folder)]
    files = [path for path in files if path.suffix.lower() not in SUFFIXES and not path.is_dir()]
    files = [path for path in files if path.name.lower() not in NO_FILES]
    if not files:
        return ()
    kinds = Counter(shown(path.suffix.lower() or "without suffix") for path in files)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    return (f"Files without an image suffix were not read: {listed}; first {shown(files[0])}.",)


def folders_below(folder: Path) -> Iterator[Path]:
    """Yield a folder and all below it, each once; follow links unless they lead back up."""
    top, seen, waiting = folder.resolve(), set(), [folder]
    while waiting:
        real = (place := waiting.pop()).resolve()
        if real not in seen and (real == top or not top.is_relative_to(real)):
            seen.add(real)
            yield place
            waiting += [place / name for name in reversed(list_folders(place))]


def images_in(folder: Path, remedy: str) -> list[str]:
    """List images as `list_images` does; raise an error if there are none."""
    if names := list_images(folder):
        return names
    raise GanlibError(f"{shown(folder)} has no images ({', '.join(sorted(SUFFIXES))}). {remedy}")


def list_folders(folder: Path) -> list[str]:
    """List the subfolders with a user's own files: bare names, sorted, none hidden."""
    names = [name for name in _names(folder) if os.path.isdir(folder / name)]  # noqa: PTH112
    own = (name for name in names if name.casefold() not in NO_FOLDERS)
    return [name for name in own if not (folder / name / HEAT_MAPS).exists()]


def _names(folder: Path) -> list[str]:
    try:  # not Path, which silently skips unreadable folders
        return sorted(name for name in os.listdir(folder) if name[0] != ".")  # noqa: PTH208
    except OSError as error:
        found = f"{shown(folder)} cannot be listed: {error.strerror}"
        raise GanlibError(f"{found}. Make it readable.") from error


def is_folder(name: str | Path) -> bool:
    """Return whether a data set is a folder: the path exists or contains a separator."""
    text = str(name)
    return "/" in text or "\\" in text or (text not in ("", *ARCHIVES) and Path(text).exists())


def folder_of(name: str | Path) -> Path:
    """Return the absolute path of a folder; raise an error if it is not one."""
    folder = Path(str(name)).expanduser()
    if not folder.is_dir():
        found = f"{shown(folder)} {'is not a folder' if folder.exists() else 'does not exist'}"
        names = ", ".join(ARCHIVES)
        raise GanlibError(f"{found}. Give {names}, a folder of good images or one with {LAYOUT}.")
    return folder.resolve()


def name_of(root: Path) -> str:
    """Name a folder's data set: safe for file names, and different from every archive's name."""
    digest = hashlib.sha256(root.name.encode(errors="replace")).hexdigest()[:6]
    name = slug(root.name) or f"folder-{digest}"  # no ASCII letters or digits
    return f"{name}-folder" if name in ARCHIVES else name


def called(name: str | Path) -> str:
    """Return the `Dataset.name` that `open_dataset` gives to a data set."""
    return name_of(folder_of(name)) if is_folder(name) else str(name)


def can_be_compared(name: str | Path) -> bool:
    """Return whether methods can be compared on a data set: it needs good and bad test images."""
    return str(name) in ARCHIVES or {"test_normal", "test_anomaly"} <= {
        images.part for images in list_folder(folder_of(name))[0]
    }


def list_folder(root: Path) -> tuple[list[Images], tuple[str, ...]]:
    """List a folder's images by part and kind (none empty), with notes on what is missing."""
    folders = list_folders(root)
    if {"train", "test"} & set(folders):
        images, ignored = _layout(root, folders)
    else:
        ignored = [folder for folder in folders if list_images(root / folder)]
        named_good = next((shown(each) for each in ignored if each.casefold() in NO_KINDS), None)
        hint = "Images are in subfolders. " * bool(ignored)  # they may show defects
        hint = f"Images are in the subfolder {named_good}. " if named_good else hint
        names = images_in(root, f"{hint}Expected: good images, or {LAYOUT}.")
        images = [Images("normal", "normal", root, names, {})]
    listed = ", ".join(shown(folder) if folder else "the folder itself" for folder in ignored)
    left = f"Images outside the expected folders were ignored: in {listed}."
    notes = [left] * bool(ignored) + [*passed_over(each.folder for each in images)]
    if all(each.part != "test_anomaly" for each in images):
        notes += ["There are no test anomalies: the share of defects a detector finds is unknown."]
    return images, tuple(notes)


def _layout(root: Path, folders: list[str]) -> tuple[list[Images], list[str]]:
    """Read the layout of MVTec AD; return also the ignored folders."""
    trained = list_folders(root / "train") if "train" in folders else []
    if GOOD not in trained:
        found = f"{shown(root)} has a folder test but no folder train"
        if "train" in folders:
            others = ", ".join(map(shown, trained)) or f"{len(list_images(root / 'train'))} images"
            found = f"{shown(root / 'train')} has no folder {GOOD}, but {others}"
        good = shown(root / "train" / GOOD)
        raise GanlibError(f"{found}: put good training images into {good}. Expected: {LAYOUT}.")
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
        first = f"has {len(loose)} images directly in it, first {shown(loose[0])}" if loose else ""
        raise GanlibError(
            f"{shown(test)} {first or 'is empty'}. Put good images into {shown(test / GOOD)}, "
            "others into folders named after their defects, or remove it."
        )
    for kind in kinds:
        if kind != GOOD and kind.casefold() in NO_KINDS:
            found = f"{shown(test / kind)} is not named after a defect"
            raise GanlibError(f"{found}. Name good images {GOOD}, others after their defect.")
    return kinds


def _masks(root: Path, kinds: list[str]) -> dict[str, dict[str, str]]:
    """Match every mask to its image; return the masks by kind and image name."""
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
                raise GanlibError(f"{found}: expected {image} with an image suffix.")
            name, *others = images[stem]
            if others or name in masks[kind]:
                what = "images" if others else "masks"
                found = f"{shown(folder / mask)}: there are two {what} called {shown(stem)}"
                raise GanlibError(f"{found}. Rename or remove one.")
            masks[kind][name] = f"ground_truth/{kind}/{mask}"
    return masks
