"""Write files completely or not at all, open them safely, name them, and lock folders."""

import contextlib
import glob
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from ganlib.errors import GanlibError


def write_safely(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Call `write` with a temporary path next to `path`, with its suffix; then rename it."""
    temporary = unfinished(path := Path(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write(temporary)
        return temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: str | Path, table) -> Path:
    """Write a pandas table without its index."""
    return write_safely(path, lambda p: table.to_csv(p, index=False))


def write_json(path: str | Path, values: dict) -> Path:
    """Write a dictionary as JSON; NumPy scalars become plain numbers."""
    text = json.dumps(values, indent=1, default=lambda value: value.item())
    return write_safely(path, lambda p: p.write_text(text + "\n"))


def open_file(path: str | Path) -> IO[bytes]:
    """Open a file for reading; raise an OSError for pipes and devices, which might block."""
    path = Path(path)
    if path.name.encode(errors="replace").decode() != path.name:
        raise ValueError("its name is not UTF-8, rename it")
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise OSError(0, "it is a pipe or a device, not a file")
    return path.open("rb")


def shown(path: str | Path) -> str:
    """Return a path on one line: escape line breaks and other unprintable characters."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def slug(name: str) -> str:
    """Make a name safe for files: lowercase ASCII letters and digits, joined by hyphens."""
    return "-".join(re.findall("[a-z0-9]+", name.lower()))


def unfinished(path: Path) -> Path:
    """Return a file's temporary path: hidden, in the same folder, with the process id."""
    return path.with_name(f".{os.getpid()}.unfinished-{path.name}")


def remove_unfinished(folder: str | Path, name: str | None = None) -> None:
    """Remove unfinished files of killed processes: all below a folder, or of one `name` in it."""
    pattern = "**/.*.unfinished-*" if name is None else f".*.unfinished-{glob.escape(name)}"
    for path in list(Path(folder).glob(pattern)):
        process = path.name.split(".")[1]
        if process.isdecimal() and not _runs(int(process)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


@contextlib.contextmanager
def standard_error_in(path: str | Path) -> Iterator[None]:
    """Redirect standard error to a file, including that of C libraries and child processes."""
    terminal = os.dup(2)
    with Path(path).open("wb") as log:
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


@contextlib.contextmanager
def only_one(folder: str | Path, what: str, wait: float = 10.0) -> Iterator[None]:
    """Let one process at a time write to a folder; its lock ends with the process.

    Another process waits for `wait` seconds, then gets an error that shows the first's `what`.
    """
    path = Path(folder, ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, other = FileLock(path), "another process"
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        with contextlib.suppress(OSError):  # Windows does not let others read it
            other = path.read_text().strip() or other
        found = f"{folder} is in use: {other} is running there, so {what} cannot start"
        remedy = "Wait until it ends, stop it, or use another clone of the project"
        raise GanlibError(f"{found}. {remedy}.") from None
    try:
        with contextlib.suppress(OSError):
            path.write_text(f"{what} (process {os.getpid()})\n")
        yield
    finally:
        lock.release()
