"""A data set: images on disk, listed but not read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ganlib.errors import GanlibError
from ganlib.files import open_file, shown

RESIZES = ("squeeze", "letterbox", "crop")  # how images become square, see `images.decode`
WHITE = 65535  # the 16-bit grey level that is read as 255, unless a data set uses fewer bits


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images of one data set, as `open_dataset` returns them.

    Attributes:
        source: `'kaggle'` (the digests are those on record), `'unverified'` (Kaggle's layout, but
            perhaps other bytes), `'generated'` by ganlib, or `'folder'` (the user's own).
        files: One row per image, ordered by part, kind and name: `file` (posix path in `root`),
            `part` (as in `Archive.counts` or `folder.Images`), `label` (1 anomaly), `kind`
            (`'normal'`, `'anomaly'` or its kind); for a folder also `mask` (a file, or `''`).
    """

    name: str  # 'casting', 'cloud', or a folder's name made safe for file names
    source: str
    root: Path
    files: pd.DataFrame
    digests: Mapping[str, str]  # of every part, see `part_digests`
    notes: tuple[str, ...]  # caveats that readers of results on these images must know
    cache_dir: Path
    skipped: pd.DataFrame = field(  # unreadable images that were left out
        default_factory=lambda: pd.DataFrame(columns=["file", "part", "reason"])
    )
    resize: str = "squeeze"  # one of RESIZES
    white: int = WHITE  # the 16-bit grey level that is read as 255
    description: str = ""  # which images these are; the start of `caption`

    @property
    def digest(self) -> str:
        """SHA-256 over all parts' names and digests, in hexadecimal."""
        return digest_of(self.digests)

    @property
    def caption(self) -> str:
        """Which images these are, for the caption of a figure."""
        shapes = {"crop": ", cropped", "squeeze": ", squeezed"} if self.source == "folder" else {}
        left_out = f", {len(self.skipped)} unreadable left out" if len(self.skipped) else ""
        return (self.description or self.name) + shapes.get(self.resize, "") + left_out


def part_digests(dataset: Dataset, skip: bool = False) -> dict[str, str]:
    """Return each part's digest: SHA-256 over its files' name, NUL, length, NUL, content, by name.

    Names are bare in an archive. With `skip`, the error replaces the content of unreadable files.
    """
    digests, root, nested = {}, dataset.root, dataset.source == "folder"
    for part, own in dataset.files.groupby("part", sort=False)["file"]:
        digest = hashlib.sha256()
        for name, file in sorted((file if nested else Path(file).name, file) for file in own):
            try:
                with open_file(root / file) as stream:
                    content = stream.read()
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or str(error)
                if not skip:
                    found = f"{shown(root / file)} cannot be read: {why}. Fix or delete it, or"
                    raise GanlibError(f'{found} skip it with on_error="skip".') from error
                content = why.encode()
            digest.update(f"{name}\0{len(content)}\0".encode(errors="surrogateescape") + content)
        digests[part] = digest.hexdigest()
    return digests


def digest_of(digests: Mapping[str, str]) -> str:
    """Return the digest of all parts: SHA-256 over their names and digests."""
    lines = "".join(f"{part}\0{digest}\n" for part, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
