"""Writing files so that nothing half-written ever stands under its final name."""

import os
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
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
