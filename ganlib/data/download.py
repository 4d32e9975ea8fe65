"""Downloading an archive with Kaggle's own client."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

from ganlib.data.catalogue import Archive
from ganlib.errors import GanlibError

# The client sets no limit to a connection, and waits minutes for every chunk: without a network
# that drops packets silently it would hang. A byte a minute is enough to be let go on.
SILENCE_SECONDS = 60.0


def download(archive: Archive, data_dir: Path) -> Path:
    """Download an archive from Kaggle and unpack it to `data_dir/<slug>`.

    The target appears complete or not at all.

    Args:
        archive: What to download.
        data_dir: The folder to put it in; made if absent.

    Returns:
        The archive's root folder.

    Raises:
        GanlibError: If Kaggle's client fails or falls silent, the zip file is damaged or is not
            this archive, there is no space, or the target is in the way. The first line says why,
            the others what to do.
    """
    target = data_dir / archive.folder
    if target.exists():
        raise _failure(
            archive, target, f"{target} is in the way and holds none of its folders; remove it"
        )
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=f".{archive.folder}-") as scratch:
            packed, unpacked = Path(scratch, "packed"), Path(scratch, "unpacked")
            packed.mkdir()
            if reason := _run_client(archive, packed) or _unpack(archive, packed, unpacked):
                raise _failure(archive, target, reason)
            unpacked.replace(target)
    except OSError as error:
        raise _failure(archive, target, str(error)) from error
    return target


def _command(archive: Archive, folder: Path) -> list[str]:
    """Write the client's command line.

    The client runs as a program, because only so does it download public data sets without an
    account; imported as a library it demands a login. It grants that to command lines that begin
    with `datasets download`, so no option may come before.
    """
    client = [sys.executable, "-m", "kaggle", "datasets", "download"]
    return [*client, archive.kaggle, "--path", str(folder), "--quiet"]


def _run_client(archive: Archive, folder: Path) -> str:
    """Run the client; returns why it failed, or an empty string."""
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        subprocess.Popen(
            _command(archive, folder), stdin=subprocess.DEVNULL, stdout=out, stderr=err
        ) as process,
    ):
        received = 0
        try:
            while process.poll() is None:
                try:
                    process.wait(SILENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    before, received = received, sum(f.stat().st_size for f in folder.iterdir())
                    if received == before:
                        return f"Kaggle's client received nothing for {SILENCE_SECONDS:.0f} seconds"
        finally:
            process.kill()  # does nothing to a client that has ended
        if process.returncode == 0:
            return ""
        # Without a login the client prints help on logging in even where it needs none; what
        # really went wrong is on stderr.
        said = _lines(err)[-1:] or _lines(out)[:1] or [f"exit status {process.returncode}"]
        return f"Kaggle's client says: {said[0]}"


def _lines(file: IO[bytes]) -> list[str]:
    """Read what the client wrote, without empty lines and secrets."""
    file.seek(0)
    text = file.read().decode(errors="replace")
    for variable in ("KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        if secret := os.environ.get(variable):
            text = text.replace(secret, "***")
    text = re.sub(r"\?\S+=\S+", "?***", text)  # download addresses are signed in their query
    return [line.strip()[:400] for line in text.splitlines() if line.strip()]


def _unpack(archive: Archive, packed: Path, unpacked: Path) -> str:
    """Unzip and check the layout; returns why that failed, or an empty string."""
    files = sorted(packed.glob("*.zip"))
    if not files:
        return "Kaggle's client ended without an error, but left no zip file"
    try:
        with zipfile.ZipFile(files[0]) as file:
            needed = sum(member.file_size for member in file.infolist())
            free = shutil.disk_usage(packed).free
            if needed > free:
                return f"{needed / 1e6:.0f} MB needed to unzip, {free / 1e6:.0f} MB free"
            # Keeps members inside the folder (drops drives, roots and ".."), makes no links and
            # checks every member's CRC.
            file.extractall(unpacked)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        return f"the zip file is damaged ({error})"
    missing = [part for part in archive.counts if archive.part_folder(unpacked, part) is None]
    if missing:
        return f"the zip file has no folder {archive.folders[missing[0]][0]}"
    return ""


def _failure(archive: Archive, target: Path, reason: str) -> GanlibError:
    """Say why there are no images and which ways are left."""
    return GanlibError(
        f"{archive.kaggle} could not be downloaded: {reason.rstrip('.')}.\n"
        "- If Kaggle wants a login: create a token at https://www.kaggle.com/settings, then save "
        "it as ~/.kaggle/kaggle.json, or set KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY.\n"
        f"- By hand: download the archive from {archive.url} in a browser and unzip it to "
        f"{target.resolve()}.\n"
        "- Without Kaggle: data='generated' draws images of the same kind."
    )
