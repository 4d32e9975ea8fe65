"""A folder of one's own images as a data set: which of its folders is which part.

Either the layout of MVTec AD and anomalib,

    train/good             good images to train on
    test/good              good images to test on
    test/<kind>            images with a defect of that kind, for instance test/crack
    ground_truth/<kind>    masks, <image>_mask.png or <image>.png: what is not black is the defect

of which `train/good` alone is enough; or one folder with good images in it. What lies deeper is not
read.

Reference:
    Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129 (2021) 1038-1059.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ganlib.data.catalogue import ARCHIVES
from ganlib.data.listing import SUFFIXES, list_folders, list_images
from ganlib.errors import GanlibError
from ganlib.files import shown, slug

GOOD = "good"
# No kind of defect is called so: good images would be taken for defects ("all" is what tables call
# all kinds together).
NO_KINDS = {"good", "ok", "normal", "all"}
NO_ANOMALIES = "There are no test anomalies: how many defects a detector finds cannot be known."
LAYOUT = "train/good, test/good, test/<kind of defect> and, if there are any, ground_truth/<kind>"


class Images(NamedTuple):
    """The images in one folder, which are all of one part and one kind.

    Attributes:
        part: "train_normal", "test_normal", "test_anomaly", or "normal" where nothing is divided.
        kind: "normal" or the name of the kind's folder.
        folder: Where they are.
        names: Bare names, sorted.
        masks: For some of the names the mask, a posix path relative to the root.
    """

    part: str
    kind: str
    folder: Path
    names: list[str]
    masks: dict[str, str]


def is_folder(name: str | Path) -> bool:
    """Tell whether a data set's name is that of a folder.

    Args:
        name: What the user calls the data set.

    Returns:
        False for the names of the archives. Else whether the path exists, or can only be meant as
        one because it has a separator in it.
    """
    text = str(name)
    is_path = "/" in text or "\\" in text or (text != "" and Path(text).exists())
    return is_path and text not in ARCHIVES


def folder_of(name: str | Path) -> Path:
    """Return the folder that is meant, as an absolute path.

    Raises:
        GanlibError: If it is not a folder.
    """
    folder = Path(str(name)).expanduser()
    if not folder.is_dir():
        found = "a file" if folder.exists() else "not there"
        raise GanlibError(
            f"{shown(folder)} is {found}, not a folder. Give {', '.join(ARCHIVES)} or a folder of "
            f"good images, or one with {LAYOUT}."
        )
    return folder.resolve()


def name_of(root: Path) -> str:
    """Name a folder's data set so that files can be called by it, and as no archive is called."""
    name = slug(root.name)
    if not name:  # other letters than ASCII's
        name = "folder-" + hashlib.sha256(root.name.encode(errors="replace")).hexdigest()[:6]
    return f"{name}-folder" if name in ARCHIVES else name


def called(name: str | Path) -> str:
    """Say what the `Dataset` of a name is called: as an archive, or as `name_of` calls a folder."""
    return name_of(folder_of(name)) if is_folder(name) else str(name)


def list_folder(root: Path) -> tuple[list[Images], tuple[str, ...]]:
    """Find out which images a folder holds, by the names of files and folders alone.

    Args:
        root: The folder.

    Returns:
        The images by part and kind, none of them empty; and sentences on what was passed over and
        on what cannot be known.

    Raises:
        GanlibError: If there is no image, or the folders are neither of the two forms.
    """
    folders = list_folders(root)
    if "train" not in folders and "test" not in folders:
        return _one_folder(root, folders)
    if "train" not in folders:
        raise GanlibError(
            f"{shown(root)} has a folder test but no folder train: put the good images to train on "
            f"into {shown(root / 'train' / GOOD)}. Expected: {LAYOUT}."
        )
    return _layout(root, folders)


def can_be_compared(name: str | Path) -> bool:
    """Tell whether detectors can be judged on a data set: it has test images of both kinds.

    Args:
        name: An archive's, or a folder.

    Raises:
        GanlibError: If it is neither, or the folder holds no images in the form expected.
    """
    if str(name) in ARCHIVES:
        return True
    parts = {images.part for images in list_folder(folder_of(name))[0]}
    return {"test_normal", "test_anomaly"} <= parts


def _one_folder(root: Path, folders: list[str]) -> tuple[list[Images], tuple[str, ...]]:
    """Take all images in the folder itself as good ones."""
    names = list_images(root)
    nested = [folder for folder in folders if list_images(root / folder)]
    if not names:
        hint = f"Images are in its folder {shown(nested[0])}: give that one, or" if nested else "Or"
        raise GanlibError(
            f"{shown(root)} holds no image ({', '.join(sorted(SUFFIXES))}). {hint} give a folder "
            f"with {LAYOUT}."
        )
    return [Images("normal", "normal", root, names, {})], (*_passed_over(nested), NO_ANOMALIES)


def _layout(root: Path, folders: list[str]) -> tuple[list[Images], tuple[str, ...]]:
    """Take the parts of the layout."""
    passed_over = [folder for folder in ("", "train") if list_images(root / folder)]
    trained = list_folders(root / "train")
    if GOOD not in trained:
        found = ", ".join(map(shown, trained)) or f"{len(list_images(root / 'train'))} images"
        raise GanlibError(
            f"{shown(root / 'train')} has no folder {GOOD}, but {found}: put the good images to "
            f"train on into {shown(root / 'train' / GOOD)}. Expected: {LAYOUT}."
        )
    passed_over += [f"train/{folder}" for folder in trained if folder != GOOD]
    kinds = _kinds(root) if "test" in folders else []
    masks = _masks(root, kinds) if "ground_truth" in folders else {}
    # Good ones first, as in the archives.
    places = [("train_normal", "train", GOOD)]
    places += [("test_normal", "test", GOOD)] if GOOD in kinds else []
    places += [("test_anomaly", "test", kind) for kind in kinds if kind != GOOD]
    found = []
    for part, above, kind in places:
        folder = root / above / kind
        names = list_images(folder)
        if not names:
            raise GanlibError(
                f"{shown(folder)} holds no image ({', '.join(sorted(SUFFIXES))}). Put images into "
                "it or remove it."
            )
        outlined = masks.get(kind, {}) if above == "test" else {}
        found.append(Images(part, "normal" if kind == GOOD else kind, folder, names, outlined))
    unknown = () if any(each.part == "test_anomaly" for each in found) else (NO_ANOMALIES,)
    return found, _passed_over(passed_over) + unknown


def _kinds(root: Path) -> list[str]:
    """List the folders in `test`."""
    test = root / "test"
    kinds = list_folders(test)
    if loose := list_images(test):
        raise GanlibError(
            f"{shown(test)} holds {len(loose)} images itself, the first is {shown(loose[0])}: put "
            f"good ones into {shown(test / GOOD)}, others into a folder named after their defect."
        )
    if not kinds:
        raise GanlibError(
            f"{shown(test)} is empty. Put images into {shown(test / GOOD)} and into folders named "
            "after their defects, or remove it."
        )
    for kind in kinds:
        if kind != GOOD and kind.casefold() in NO_KINDS:
            raise GanlibError(
                f"{shown(test / kind)} is not called after a defect. If its images are good, call "
                f"it {GOOD}; else give it the name of their defect."
            )
    return kinds


def _masks(root: Path, kinds: list[str]) -> dict[str, dict[str, str]]:
    """Find the image of every mask; returns per kind the masks by the images' names."""
    found: dict[str, dict[str, str]] = {}
    truth = root / "ground_truth"
    for kind in list_folders(truth):
        images = list_images(root / "test" / kind) if kind in kinds else []
        stems = Counter(Path(name).stem for name in images)
        by_stem = {Path(name).stem: name for name in images}
        found[kind] = {}
        for mask in list_images(truth / kind):
            stem = Path(mask).stem
            stem = stem if stem in by_stem else stem.removesuffix("_mask")
            if stem not in by_stem:
                raise GanlibError(
                    f"{shown(truth / kind / mask)} is a mask without an image: expected "
                    f"{shown(root / 'test' / kind / stem)} with the suffix of an image. Add the "
                    "image, or remove or rename the mask."
                )
            name = by_stem[stem]
            if stems[stem] > 1 or name in found[kind]:
                two = "images" if stems[stem] > 1 else "masks"
                raise GanlibError(
                    f"{shown(truth / kind / mask)}: there are two {two} called {shown(stem)}, so "
                    "which mask belongs to which image cannot be told. Rename or remove one."
                )
            found[kind][name] = f"ground_truth/{kind}/{mask}"
    return found


def _passed_over(folders: list[str]) -> tuple[str, ...]:
    """Say which images are not read."""
    if not folders:
        return ()
    listed = ", ".join(shown(folder) if folder else "the folder itself" for folder in folders)
    return (f"Images that were not read, because they are not where images go: in {listed}.",)
