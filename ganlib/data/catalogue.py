"""The two image archives of the paper: where they come from and what is in them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganlib.errors import GanlibError
from ganlib.files import open_file, shown

if TYPE_CHECKING:
    import pandas as pd

MARKER = "GENERATED.txt"  # lies in the root of generated images, so that they never pass for real
HELD_OUT = 100  # normal images that the paper keeps for the test where Kaggle has no split


@dataclass(frozen=True)
class Archive:
    """One Kaggle data set, as it unpacks.

    Attributes:
        name: What users call it: `'casting'` or `'cloud'`.
        title: What the images show.
        kaggle: `'owner/slug'` on kaggle.com.
        folders: For every part the folders that may hold it, relative to the archive's root, best
            first: as the archive unpacks, then with levels of its nesting left out. They are whole
            paths, so a folder of the same name elsewhere in the archive (`casting_512x512/...`,
            `train/def_front`) is never read.
        counts: For every part the number of images in it.
        exact: Whether other counts are refused. Where they are not, more than `HELD_OUT` normal
            images and one anomaly are enough.
        digests: For every part the `part_digest` of Kaggle's files; empty if not on record.
        licence: The licence that Kaggle's page states.
    """

    name: str
    title: str
    kaggle: str
    folders: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, int]
    exact: bool
    digests: Mapping[str, str]
    licence: str

    @property
    def folder(self) -> str:
        """Name of the archive's folder, the slug."""
        return self.kaggle.partition("/")[2]

    @property
    def url(self) -> str:
        """Kaggle's page of the data set."""
        return f"https://www.kaggle.com/datasets/{self.kaggle}"

    def part_folder(self, root: Path, part: str) -> Path | None:
        """Find the folder of one part.

        Args:
            root: The archive's root folder.
            part: One of `counts`' keys.

        Returns:
            The first of the part's folders that exists below `root`, or None.
        """
        candidates = (root / folder for folder in self.folders[part])
        return next((folder for folder in candidates if folder.is_dir()), None)


def is_anomaly(part: str) -> bool:
    """Tell whether a part holds anomalies (by its name: `'anomaly'`, `'test_anomaly'`)."""
    return part.endswith("anomaly")


def part_digest(files: Iterable[Path], root: Path | None = None) -> str:
    """Digest the files of one part.

    SHA-256 over, for every file in the order of its name: the name in UTF-8, a NUL, the content's
    length in bytes as decimal digits, a NUL, the content. It depends on names and contents alone,
    not on the folder, its order or the operating system.

    Args:
        files: The files, in any order, names all different.
        root: Where the files are in folders that count: their names are then their paths relative
            to this one, with forward slashes.

    Returns:
        64 hexadecimal digits.

    Raises:
        GanlibError: If a file cannot be read; names it.
    """
    digest = hashlib.sha256()

    def name_of(file: str) -> str:
        return Path(file).name if root is None else Path(file).relative_to(root).as_posix()

    # As texts, which take a fifth of a path's memory: there may be a hundred thousand.
    for file in sorted(map(str, files), key=name_of):
        try:
            with open_file(file) as opened:
                content = opened.read()
        except (OSError, ValueError) as error:
            raise GanlibError(f"{shown(file)} cannot be read: {error}. Check the disk.") from error
        digest.update(f"{name_of(file)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def part_digests(root: Path, files: "pd.DataFrame", nested: bool = False) -> dict[str, str]:
    """Digest the files of every part.

    Args:
        root: The folder that `file` is relative to.
        files: With the columns `file` and `part`.
        nested: Whether the folders below the root count, see `part_digest`.

    Returns:
        Part to digest, in the order of the parts.
    """
    return {
        part: part_digest((root / file for file in own), root if nested else None)
        for part, own in files.groupby("part", sort=False)["file"]
    }


def digest_of(digests: Mapping[str, str]) -> str:
    """Digest the digests of all parts: SHA-256 over their names and digests, 64 digits."""
    lines = "".join(f"{part}\0{digest}\n" for part, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


ARCHIVES: dict[str, Archive] = {
    "casting": Archive(
        name="casting",
        title="Pump impellers of cast metal, 300x300 grey, seen from the front",
        kaggle="ravirajsinh45/real-life-industrial-dataset-of-casting-product",
        folders={
            part: (f"casting_data/casting_data/{end}", f"casting_data/{end}", end)
            for part, end in {
                "train_normal": "train/ok_front",
                "test_normal": "test/ok_front",
                "test_anomaly": "test/def_front",
            }.items()
        },
        counts={"train_normal": 2875, "test_normal": 262, "test_anomaly": 453},
        exact=True,
        digests={
            "train_normal": "acb41db4fde04f9ea63363564e9f351a4c87b2613c66a7456186de58c6e95118",
            "test_normal": "da7cf4d7e9827ab4d293cda577c2afe45cf7c761463d4e743aeeba05ccbd56b1",
            "test_anomaly": "d1e0b3195b027b8747c67bae1a19ff8e73c3ce8ff84988aa2e4ff46e033a2464",
        },
        licence="CC BY-NC-ND 4.0",
    ),
    "cloud": Archive(
        name="cloud",
        title="Satellite images of the ground, clear and under cloud, 384x384 RGB",
        kaggle="ashoksrinivas/cloud-anomaly-detection-images",
        folders={
            "normal": ("noncloud/noncloud", "noncloud"),
            "anomaly": ("cloud/cloud", "cloud"),
        },
        counts={"normal": 1500, "anomaly": 100},
        exact=False,
        digests={},
        licence="see Kaggle's page",
    ),
}
