"""A data set: images on disk, listed but not read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ganlib.errors import GanlibError
from ganlib.files import open_file, shown

RESIZES = ("squeeze", "letterbox", "crop")  # how images become square, see `images.decode`


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images of one data set, as `open_dataset` returns them.

    Attributes:
        name: `'casting'`, `'cloud'`, or a folder's name in a form fit for file names.
        source: `'kaggle'`: the digests are those on record for Kaggle's files. `'generated'`: drawn
            by `ganlib.data.synthetic`. `'unverified'`: Kaggle's layout, but not known to be
            Kaggle's bytes. `'folder'`: the user's own.
        root: The folder that `files` are relative to.
        files: One row per image, ordered by part, kind and name: `file` (posix path relative to
            `root`), `part` (a key of `Archive.counts` or a part of `folder.Images`), `label` (0
            normal, 1 anomaly), `kind` (`'normal'`, `'anomaly'` or the kind of anomaly); of a folder
            also `mask` (posix path relative to `root`, `''` if there is none).
        digests: For every part the digest of its files, see `part_digests`.
        notes: Sentences that a reader of results on these images must know.
        cache_dir: The folder of the cache.
        skipped: One row per image that cannot be read and was left out: `file`, `part`, `reason`.
        resize: How images become square, one of `RESIZES`.
        description: Which images these are, the beginning of `caption`.
    """

    name: str
    source: str
    root: Path
    files: pd.DataFrame
    digests: Mapping[str, str]
    notes: tuple[str, ...]
    cache_dir: Path
    skipped: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["file", "part", "reason"])
    )
    resize: str = "squeeze"
    description: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 over all parts' names and digests, 64 hexadecimal digits."""
        return digest_of(self.digests)

    @property
    def caption(self) -> str:
        """Which images these are, for the small print of a figure."""
        shape = {"crop": ", cropped", "squeeze": ", squeezed"}.get(self.resize, "")
        left_out = f", {len(self.skipped)} unreadable left out" if len(self.skipped) else ""
        shape = shape if self.source == "folder" else ""  # archives are square
        return (self.description or self.name) + shape + left_out


def part_digests(
    root: Path, files: pd.DataFrame, nested: bool = False, skip: bool = False
) -> dict[str, str]:
    """Digest the files of every part: SHA-256 over their names and contents, ordered by name.

    Every file adds its name in UTF-8, a NUL, its length in bytes as decimal digits, a NUL, and its
    content. With `nested`, the folders below the root belong to the name. With `skip`, why a file
    cannot be opened takes the place of its content.

    Returns:
        Part to digest, 64 hexadecimal digits, in the order of the parts.
    """
    digests = {}
    for part, own in files.groupby("part", sort=False)["file"]:
        digest = hashlib.sha256()
        for name, file in sorted((file if nested else Path(file).name, file) for file in own):
            try:
                with open_file(root / file) as stream:
                    content = stream.read()
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or str(error)
                if not skip:
                    raise GanlibError(
                        f"{shown(root / file)} cannot be read: {why}. Fix or delete it, or leave "
                        'out such files with on_error="skip".'
                    ) from error
                content = why.encode()
            digest.update(f"{name}\0{len(content)}\0".encode(errors="surrogateescape") + content)
        digests[part] = digest.hexdigest()
    return digests


def digest_of(digests: Mapping[str, str]) -> str:
    """Digest the digests of all parts: SHA-256 over their names and digests."""
    lines = "".join(f"{part}\0{digest}\n" for part, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
