"""Files: written whole or not at all, read only if they are files, and named in one line."""

import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_safely(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Write a file so that it is there whole or not at all.

    Args:
        path: the file; its folder is made.
        write: called with a temporary path of the same suffix in the same folder, to be written.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished(path)
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_csv(path: str | Path, table) -> Path:
    """Write a pandas table without its index, whole or not at all."""
    return write_safely(path, lambda p: table.to_csv(p, index=False))


def write_json(path: str | Path, values: dict) -> Path:
    """Write a dictionary, whole or not at all; NumPy's scalars become plain numbers."""
    text = json.dumps(values, indent=1, default=lambda value: value.item())
    return write_safely(path, lambda p: p.write_text(text + "\n"))


def open_file(path: str | Path) -> IO[bytes]:
    """Open a file for reading; a pipe or a device is refused, for opening it may wait for ever.

    Args:
        path: the file, or a link to one.

    Returns:
        The open file.

    Raises:
        OSError: it is no file, or may not be read; `strerror` says why.
        ValueError: its name is not UTF-8, so that no table could name it.
    """
    path = Path(path)
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise ValueError("its name is not UTF-8, rename it") from None
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise OSError(0, "it is a pipe or a device, not a file")
    return path.open("rb")


def shown(path: str | Path) -> str:
    """Write a path so that it fits in a line: line breaks and the like are escaped."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def slug(name: str) -> str:
    """Make a name fit for files: lower case, with hyphens for all but letters and digits."""
    return "-".join(re.findall("[a-z0-9]+", name.lower()))


def unfinished(path: Path) -> Path:
    """Name what is written until it is whole, and then renamed to its final name.

    Args:
        path: the final name.

    Returns:
        A hidden name in the same folder, of the same suffix, that says which process writes it.
    """
    return path.with_name(f".{os.getpid()}.unfinished-{path.name}")


def remove_unfinished(folder: str | Path, name: str | None = None) -> None:
    """Remove what processes that were killed left unfinished.

    Args:
        folder: it and all below is looked through.
        name: look for the file of this final name alone, and in the folder itself alone.
    """
    folder = Path(folder)
    if name is None:
        found = list(folder.rglob(".*.unfinished-*"))
    else:
        found = [path for path in folder.glob(".*.unfinished-*") if path.name.endswith(f"-{name}")]
    for path in found:
        process = path.name.split(".")[1]
        if not process.isdecimal() or _runs(int(process)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
