"""Which images of a data set cannot be read: found once for the same bytes, then remembered."""

import contextlib
import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from ganlib.data.catalogue import digest_of, part_digests
from ganlib.data.images import BATCH, CODE_VERSION, decode, reason
from ganlib.errors import GanlibError
from ganlib.files import write_safely
from ganlib.progress import progress

if TYPE_CHECKING:
    import pandas as pd


def add_undecodable(
    name: str, root: Path, files: "pd.DataFrame", cache_dir: Path, nested: bool = False
) -> "pd.DataFrame":
    """Decode all images of a data set, to say which of them cannot be.

    That takes as long as decoding them for `load_images`. So the answer is kept, in
    `<cache_dir>/cache/<name>-<digest>-unreadable-v<version>.json`, and other bytes or names have
    another digest.

    Args:
        name: Name of the data set.
        root: The folder that the files are relative to.
        files: With the columns `file`, `part` and `reason`; those with a reason are passed over.
        cache_dir: Where the folder `cache` is made.
        nested: Whether the folders below the root count, see `part_digest`.

    Returns:
        The table with a reason in every line whose image cannot be decoded.

    Raises:
        GanlibError: If a file cannot be read any more.
    """
    tried = files[files["reason"] == ""]
    digest = digest_of(part_digests(root, tried, nested))
    record = f"{name}-{digest[:12]}-unreadable-v{CODE_VERSION}.json"
    record = cache_dir / "cache" / record
    # By part and name, which is what the digest knows of a file: the folder may have moved.
    keys = tried["part"] + "/" + (tried["file"] if nested else tried["file"].str.rpartition("/")[2])
    try:
        known = dict(json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):  # absent or spoilt: made anew
        known = _undecodable(name, root, dict(zip(keys, tried["file"], strict=True)))
        with contextlib.suppress(OSError):  # it only saves time
            write_safely(record, lambda path: path.write_text(json.dumps(known)))
    reasons = files["reason"].copy()
    reasons[keys.index] = [known.get(key, "") for key in keys]
    return files.assign(reason=reasons)


def _undecodable(name: str, root: Path, files: dict[str, str]) -> dict[str, str]:
    """Decode all files in parallel; returns why those fail that do, by their keys."""

    def attempt(file: str) -> str:
        try:
            decode(root / file, 1, 1)
        except GanlibError as error:
            # Too little memory says nothing about the file.
            if error.__cause__ is None or isinstance(error.__cause__, MemoryError):
                raise
            return reason(error.__cause__)
        return ""

    found, keys = {}, list(files)
    with (
        warnings.catch_warnings(action="ignore"),  # of Pillow's, on files that can be read
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress(len(files), f"checking {name}", "image") as advance,
    ):
        for start in range(0, len(files), BATCH):
            batch = keys[start : start + BATCH]
            found |= zip(batch, pool.map(attempt, map(files.get, batch)), strict=True)
            advance(len(batch))
    return {key: why for key, why in found.items() if why}
