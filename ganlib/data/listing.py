"""What is in a folder: images by their names, folders, and what cannot be opened."""

import os
from collections.abc import Iterable
from pathlib import Path

from ganlib.errors import GanlibError
from ganlib.files import open_file, shown

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
# What archivers and file managers leave beside the images; other such things are hidden.
LEAVINGS = {"__MACOSX"}


def list_images(folder: Path) -> list[str]:
    """List what is named like an image and not hidden; what is none is refused in reading it.

    Args:
        folder: Only what lies in it directly.

    Returns:
        Bare names, sorted. A hundred thousand paths would take five times the memory.

    Raises:
        GanlibError: If the folder cannot be listed.
    """
    return [name for name in _names(folder) if Path(name).suffix.lower() in SUFFIXES]


def list_folders(folder: Path) -> list[str]:
    """List the folders in a folder that are not hidden; bare names, sorted.

    Raises:
        GanlibError: If the folder cannot be listed.
    """
    # By `os`, which says no where it is not allowed to look.
    return [
        name
        for name in _names(folder)
        if name not in LEAVINGS and os.path.isdir(folder / name)  # noqa: PTH112
    ]


def not_opened(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Find the names that are no files, or of files that may not be read.

    Args:
        folder: Where they are.
        names: Bare names.

    Returns:
        Why each of them cannot be opened, by name.
    """
    found = {}
    for name in names:
        try:
            open_file(folder / name).close()
        except (OSError, ValueError) as error:
            found[name] = getattr(error, "strerror", None) or str(error)
    return found


def refuse_closed(name: str, closed: Iterable[tuple[Path, dict[str, str]]]) -> None:
    """Refuse what is named like an image and cannot be opened.

    Args:
        name: Of the data set.
        closed: Folders, and what `not_opened` found in each.

    Raises:
        GanlibError: If there is anything; names the first and counts the others.
    """
    found = [(folder / file, why) for folder, files in closed for file, why in files.items()]
    if found:
        path, why = found[0]
        others = f", and {len(found) - 1} more of {name} neither" if found[1:] else ""
        raise GanlibError(
            f"{shown(path)} cannot be read: {why}{others}. Mend or remove it, or leave out such "
            'files with on_error="skip".'
        )


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        raise GanlibError(
            f"{shown(folder)} cannot be listed: {error.strerror}. Make it readable."
        ) from error
    return [name for name in names if not name.startswith(".")]
