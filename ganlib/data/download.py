"""Download an archive with Kaggle's own client."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ganlib.data.archives import Archive
from ganlib.errors import GanlibError
from ganlib.files import unfinished

SILENCE_SECONDS = 60.0  # Kaggle's client has no limit, and on a full disk tries again and again
# By the client's last line, the first that fits. Never its own words: they may hold the user's key.
REASONS = {
    "No module named": "Kaggle's client is not installed; pip install 'ganlib[kaggle]'",
    "ConnectionPool|Connection (aborted|broken)|timed out|IncompleteRead|file size": (
        "Kaggle is out of reach or the connection broke; check the network and try again"
    ),
    r"\[Errno \d+\]": "Kaggle's client cannot write the files: {system}",
    "valid zip file|unexpected error": "the file that came is not a whole zip file",
    "401 Client|unauthori[sz]ed|unauthenticated|authentication required|access_token": (
        "Kaggle answers 401: it wants a login or does not know this one"
    ),
    "403 Client|forbidden|permission|denied|accept|terms": (
        "Kaggle answers 403: sign in at {url}, accept the terms there and use that account's token"
    ),
    "404 Client|not found|does not exist": (
        "Kaggle answers 404: there is no such data set; open {url} to see whether it has moved"
    ),
    "429 Client|too many requests|rate limit|quota": (
        "Kaggle answers 429: there were too many requests; wait some minutes and try again"
    ),
    r"5\d\d Server|server error|unavailable": "Kaggle's server has failed; try again later",
    "": "Kaggle's client failed; to read what it says, run python -m kaggle datasets download {0}",
}


def download(archive: Archive, data_dir: Path, check: Callable[[Path], object]) -> Path:
    """Download an archive to `data_dir/<slug>`, whole or not at all; return this folder.

    `check` raises a `GanlibError` if images are missing in the unpacked folder. The first line of
    an error says why there are none, the others which ways are left.
    """
    unpacked = target = data_dir / archive.folder
    try:
        if target.exists():
            raise GanlibError(f"{target} is in the way and holds none of its folders; remove it")
        data_dir.mkdir(parents=True, exist_ok=True)
        prefix = f"{unfinished(target).name}-"
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=prefix) as scratch:
            (unpacked := Path(scratch, "unpacked")).mkdir()
            _run_client(archive, unpacked)
            check(unpacked)
            unpacked.replace(target)
    except (GanlibError, OSError) as error:
        reason = str(error).replace(str(unpacked), "the zip file")
        raise GanlibError(
            f"{archive.kaggle} could not be downloaded: {reason.rstrip('.')}.\n"
            "- For a login: create a token at https://www.kaggle.com/settings and save it as "
            "~/.kaggle/access_token or kaggle.json, or set KAGGLE_API_TOKEN.\n"
            f"- By hand: download {archive.url} in a browser and unzip it to {target.resolve()}.\n"
            "- Without Kaggle: data='generated' draws images of the same kind."
        ) from error
    return target


def _run_client(archive: Archive, folder: Path) -> None:
    """Let the client download and unzip (by `zipfile`, safely); as a program it needs no login."""
    command = [sys.executable, "-m", "kaggle", "datasets", "download", archive.kaggle]
    command += ["--unzip", "--quiet", "--path", str(folder)]
    # With these the client prints the login and holds the whole file in memory.
    env = {k: v for k, v in os.environ.items() if k not in ("VERBOSE", "VERBOSE_OUTPUT")}
    env["PYTHONUNBUFFERED"] = "1"  # else help on logging in comes after the error
    nothing, both = subprocess.DEVNULL, subprocess.STDOUT
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=nothing, stdout=said, stderr=both, env=env) as process,
    ):
        before, received = -1, 0
        try:
            while process.poll() is None:
                if received == before:
                    silent = f"Kaggle's client received nothing for {SILENCE_SECONDS:.0f} seconds"
                    raise GanlibError(f"{silent}; check the network and the space on the disk")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SILENCE_SECONDS)
                with contextlib.suppress(FileNotFoundError):  # the zip file goes at the end
                    size = sum(path.stat().st_size for path in folder.rglob("*"))
                    before, received = received, size
        finally:
            process.kill()  # does nothing to a client that has ended
        said.seek(0)
        if process.returncode:
            raise GanlibError(_reason(archive, said.read().decode(errors="replace")))


def _reason(archive: Archive, said: str) -> str:
    last = said.strip().rpartition("\n")[2].partition(" for url")[0]
    number = re.search(r"\[Errno (\d+)\]", last)
    system = os.strerror(int(number[1])) if number else ""
    reason = next(why for pattern, why in REASONS.items() if re.search(pattern, last, re.I))
    return reason.format(archive.kaggle, url=archive.url, system=system)
