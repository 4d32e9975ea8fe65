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

SILENCE_SECONDS = 60.0  # Kaggle's client has no timeout, and keeps retrying on a full disk
# First match in the client's last line. Its text is never shown: it may hold the user's key.
REASONS = {
    "No module named": "Kaggle's client is not installed; pip install 'ganlib[kaggle]'",
    "ConnectionPool|Connection (aborted|broken)|timed out|IncompleteRead|file size": (
        "Kaggle is unreachable or the connection broke; check the network and try again"
    ),
    r"\[Errno \d+\]": "Kaggle's client cannot write the files: {system}",
    "valid zip file|unexpected error": "the downloaded file is not a complete zip file",
    "401 Client|unauthori[sz]ed|unauthenticated|authentication required|access_token": (
        "Kaggle answers 401: it requires a login or rejects this one"
    ),
    "403 Client|forbidden|permission|denied|accept|terms": (
        "Kaggle answers 403: sign in at {url}, accept the terms there and use that account's token"
    ),
    "404 Client|not found|does not exist": (
        "Kaggle answers 404: there is no such data set; open {url} to see whether it has moved"
    ),
    "429 Client|too many requests|rate limit|quota": (
        "Kaggle answers 429: there were too many requests; wait a few minutes and try again"
    ),
    r"5\d\d Server|server error|unavailable": "Kaggle's server has failed; try again later",
    "": "Kaggle's client failed; to see its output, run python -m kaggle datasets download {0}",
}


def download(archive: Archive, data_dir: Path, check: Callable[[Path], object]) -> Path:
    """Download an archive to `data_dir/<slug>`, completely or not at all; return this folder.

    `check` raises a `GanlibError` if images are missing in the unpacked folder. The first line of
    an error gives the reason, the others the alternatives.
    """
    unpacked = target = data_dir / archive.folder
    try:
        if target.exists():
            raise GanlibError(f"{target} already exists and has none of its folders; remove it")
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
            "- To log in: create a token at https://www.kaggle.com/settings and save it as "
            "~/.kaggle/access_token or kaggle.json, or set KAGGLE_API_TOKEN.\n"
            f"- By hand: download {archive.url} in a browser and unzip it to {target.resolve()}.\n"
            "- Without Kaggle: data='generated' generates stand-in images."
        ) from error
    return target


def _run_client(archive: Archive, folder: Path) -> None:
    """Run the client as a program, which needs no login; it unzips safely, by `zipfile`."""
    command = [sys.executable, "-m", "kaggle", "datasets", "download", archive.kaggle]
    command += ["--unzip", "--quiet", "--path", str(folder)]
    # With these set, the client prints the login and holds the whole file in memory.
    env = {k: v for k, v in os.environ.items() if k not in ("VERBOSE", "VERBOSE_OUTPUT")}
    env["PYTHONUNBUFFERED"] = "1"  # otherwise help on logging in follows the error
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
                    raise GanlibError(f"{silent}; check the network and the free disk space")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SILENCE_SECONDS)
                with contextlib.suppress(FileNotFoundError):  # the zip file is deleted at the end
                    size = sum(path.stat().st_size for path in folder.rglob("*"))
                    before, received = received, size
        finally:
            process.kill()  # has no effect if the client has ended
        said.seek(0)
        if process.returncode:
            raise GanlibError(_reason(archive, said.read().decode(errors="replace")))


def _reason(archive: Archive, said: str) -> str:
    last = said.strip().rpartition("\n")[2].partition(" for url")[0]
    number = re.search(r"\[Errno (\d+)\]", last)
    system = os.strerror(int(number[1])) if number else ""
    reason = next(why for pattern, why in REASONS.items() if re.search(pattern, last, re.I))
    return reason.format(archive.kaggle, url=archive.url, system=system)
