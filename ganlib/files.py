"""Writing files so that nothing half-written ever stands under its final name."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


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


def unfinished(path: Path) -> Path:
    """Name what is written until it is whole, and then renamed to its final name.

    Args:
        path: the final name.

    Returns:
        A hidden name in the same folder, of the same suffix, that says which process writes it.
    """
    return path.with_name(f".{os.getpid()}.unfinished-{path.name}")


def remove_unfinished(folder: str | Path) -> None:
    """Remove what processes that were killed left unfinished.

    Args:
        folder: it and all below is looked through.
    """
    for path in list(Path(folder).rglob(".*.unfinished-*")):
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
