"""One process at a time where two would mix what they write."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ganlib.errors import GanlibError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def only_one(folder: str | Path, what: str, wait: float = 10.0) -> Iterator[None]:
    """Keep other processes out of a folder for as long as the block lasts.

    The operating system gives the lock back when a process ends, however it ends. On Windows,
    where there is no such lock, nothing is kept out.

    Args:
        folder: it is made, and gets a file `.lock`.
        what: what the process does there, for the message: "make figures".
        wait: seconds to wait for another one. A notebook whose `make figures` was killed lives on
            for a second.

    Raises:
        GanlibError: another process has the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    with (folder / ".lock").open("a+") as file:
        until = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(0.1)
                    continue
                file.seek(0)
                raise GanlibError(
                    f"{folder} is in use: {file.read().strip() or 'another process'} is at work "
                    f"there, so {what} cannot. Wait until it has ended, stop it, or use another "
                    "clone of the project."
                ) from None
        file.truncate(0)
        file.write(f"{what} (process {os.getpid()})\n")
        file.flush()
        yield
