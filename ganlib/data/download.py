"""Download an archive with Kaggle's own client."""

import contextlib
import errno
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import IO

from ganlib.data.archives import Archive
from ganlib.errors import GanlibError
from ganlib.files import unfinished

# Kaggle's client has no time limit: without a network that drops packets silently it would hang.
SILENCE_SECONDS = 60.0
MOST_GROWTH = 100  # images hardly shrink in a zip file; a bomb's zeros do a thousandfold
# By the status of Kaggle's answer, of which all above 500 count as 500: the words of answers that
# bring their own message instead of a number, and what to do.
ANSWERS = {
    401: (
        "unauthori[sz]ed|unauthenticated|authentication required",
        "it wants a login or does not know this one; make a token at "
        "https://www.kaggle.com/settings",
    ),
    403: (
        "forbidden|permission|denied|accept|terms",
        "sign in at {url}, accept the terms there and try again with that account's token",
    ),
    404: (
        "not found|does not exist",
        "there is no such data set; open {url} to see whether it has moved",
    ),
    429: (
        "too many requests|rate limit|quota",
        "there were too many requests; wait some minutes and try again",
    ),
    500: ("internal server error|unavailable", "its server has failed; try again later"),
}
CONNECTION = "ConnectionPool|Connection (aborted|broken)|timed out|IncompleteRead|file size"


def download(archive: Archive, data_dir: Path, check: Callable[[Path], object]) -> Path:
    """Download an archive from Kaggle and unpack it to `data_dir/<slug>`, whole or not at all.

    Args:
        archive: What to download.
        data_dir: The folder to put it in; made if absent.
        check: Called with the unpacked folder; raises a `GanlibError` that names the folder if
            images are missing in it.

    Returns:
        The archive's root folder.

    Raises:
        GanlibError: If Kaggle's client fails or falls silent, the zip file is damaged, unsafe or
            not this archive, there is no space, or the target is in the way. The first line says
            why, the others which ways are left. It repeats nothing that the client or Kaggle's
            server said: that may hold the user's key.
    """
    target = data_dir / archive.folder
    if target.exists():
        raise _failure(
            archive, target, f"{target} is in the way and holds none of its folders; remove it"
        )
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        prefix = f"{unfinished(target).name}-"
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=prefix) as scratch:
            packed, unpacked = Path(scratch, "packed"), Path(scratch, "unpacked")
            packed.mkdir()
            if reason := _run_client(archive, packed) or _unpack(packed, unpacked):
                raise _failure(archive, target, reason)
            try:
                check(unpacked)
            except GanlibError as error:
                reason = str(error).replace(str(unpacked), "the zip file")
                raise _failure(archive, target, reason) from error
            unpacked.replace(target)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = _no_space(data_dir) if full else str(error)[:200]
        raise _failure(archive, target, reason) from error
    return target


def _command(archive: Archive, folder: Path) -> list[str]:
    """Write the client's command line: as a program, and begun like this, it needs no login."""
    client = [sys.executable, "-m", "kaggle", "datasets", "download"]
    return [*client, archive.kaggle, "--path", str(folder), "--quiet"]


def _run_client(archive: Archive, folder: Path) -> str:
    """Run the client; return why it failed, or an empty string."""
    # With these the client prints the login and holds the whole file in memory.
    quiet = {k: v for k, v in os.environ.items() if k not in ("VERBOSE", "VERBOSE_OUTPUT")}
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        subprocess.Popen(
            _command(archive, folder), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=quiet
        ) as process,
    ):
        before, received = -1, 0
        try:
            while process.poll() is None:
                if received == before:
                    # On a full disk the client tries again and again.
                    if shutil.disk_usage(folder).free < 1e5:
                        return _no_space(folder.parent.parent)
                    return (
                        f"Kaggle's client received nothing for {SILENCE_SECONDS:.0f} seconds; "
                        "check the network and try again"
                    )
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SILENCE_SECONDS)
                before, received = received, sum(f.stat().st_size for f in folder.glob("*.zip"))
        finally:
            process.kill()  # does nothing to a client that has ended
        return _reason(archive, _read(out), _read(err)) if process.returncode else ""


def _no_space(folder: Path) -> str:
    return f"no space is left on the disk of {folder}; free some or choose another data_dir"


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()


def _reason(archive: Archive, out: str, err: str) -> str:
    """Say why the client failed, in our own words."""
    # Without a login the client prints help on logging in to `out` even where it needs none; the
    # true reason is the last line of `err`, unless it was the login.
    said = err.splitlines()[-1] if err else out
    status = next(map(int, re.findall(r"(\d{3}) (?:Client|Server) Error", said)), 0)
    if not status and re.search(CONNECTION, said):
        return "Kaggle is out of reach or the connection broke; check the network and try again"
    if not status and (number := re.search(r"\[Errno (\d+)\]", said)):
        return f"Kaggle's client cannot write the file: {os.strerror(int(number[1]))}"
    if not status:
        spoken = (code for code, (words, _) in ANSWERS.items() if re.search(words, said, re.I))
        status = next(spoken, 0)
    if answer := ANSWERS.get(min(status, 500)):
        return f"Kaggle answers {status}: {answer[1].format(url=archive.url)}"
    return (
        "Kaggle's client failed; to read what it says, run python -m kaggle datasets download "
        f"{archive.kaggle}"
    )


def _unpack(packed: Path, unpacked: Path) -> str:
    """Unzip; return why that failed, or an empty string."""
    files = sorted(packed.glob("*.zip"))
    if not files:
        return "Kaggle's client ended without an error, but left no zip file"
    try:
        with zipfile.ZipFile(files[0]) as file:
            reason = _danger(file, files[0])
            if not reason:
                file.extractall(unpacked)  # stops at the sizes that were declared, checks the CRCs
            return reason
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        return f"the file that came is not a whole zip file ({str(error)[:200]})"
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a position before the start of the file
            raise
        return "the file that came is not a whole zip file"


def _danger(file: zipfile.ZipFile, path: Path) -> str:
    """Say what in the zip file at `path` no archive of images has, or return an empty string."""
    members = file.infolist()
    for member in members:
        name = repr(member.filename[:100])
        inside = PureWindowsPath(member.filename)  # splits at both slashes and knows drives
        if inside.anchor or ".." in inside.parts:
            return f"the zip file is unsafe: {name} lies outside of its folder"
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            return f"the zip file is unsafe: {name} is a link or a device"
    if len(set(file.namelist())) < len(members):
        return "the zip file holds a name twice"
    size, needed = path.stat().st_size, sum(member.file_size for member in members)
    free = shutil.disk_usage(path.parent).free
    if needed > MOST_GROWTH * size:
        return f"the zip file is unsafe: {size / 1e6:.1f} MB would become {needed / 1e6:.1f} MB"
    return f"{needed / 1e6:.0f} MB needed to unzip, {free / 1e6:.0f} MB free" * (needed > free)


def _failure(archive: Archive, target: Path, reason: str) -> GanlibError:
    """Say why there are no images and which ways are left."""
    return GanlibError(
        f"{archive.kaggle} could not be downloaded: {reason.rstrip('.')}.\n"
        "- If Kaggle wants a login: create a token at https://www.kaggle.com/settings and save it "
        "as ~/.kaggle/access_token (as kaggle.json, if it is one), or set KAGGLE_API_TOKEN, or "
        "KAGGLE_USERNAME and KAGGLE_KEY.\n"
        f"- By hand: download the archive from {archive.url} in a browser and unzip it to "
        f"{target.resolve()}.\n"
        "- Without Kaggle: data='generated' draws images of the same kind."
    )
