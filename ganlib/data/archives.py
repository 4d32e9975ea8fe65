"""The two Kaggle archives of the paper: what is in them, and where they are on disk."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ganlib.errors import GanlibError

MARKER = "GENERATED.txt"  # lies in the root of generated images, so that they never pass for real
DRAWN = "The images are drawn by ganlib: results on them say nothing of real ones."
HELD_OUT = 100  # normal images that the paper keeps for the test where Kaggle has no split


@dataclass(frozen=True)
class Archive:
    """One Kaggle data set, as it unpacks; folders, counts of images and digests by part."""

    name: str
    kaggle: str  # owner/slug
    folders: Mapping[str, tuple[str, ...]]  # best first: as it unpacks, then less nested
    counts: Mapping[str, int]
    digests: Mapping[str, str]  # empty if not on record

    @property
    def folder(self) -> str:
        """Name of the archive's folder."""
        return self.kaggle.partition("/")[2]

    @property
    def url(self) -> str:
        """Kaggle's page of the data set."""
        return f"https://www.kaggle.com/datasets/{self.kaggle}"

    def part_folder(self, root: Path, part: str) -> Path | None:
        """Find the first of a part's folders that exists below `root`."""
        return next(filter(Path.is_dir, (root / folder for folder in self.folders[part])), None)

    def find(self, folder: Path) -> Path | None:
        """Find the archive's root: below the folder by its name, or the folder itself."""
        roots = (folder / self.folder, folder)
        return next((r for r in roots if any(self.part_folder(r, p) for p in self.counts)), None)


def is_anomaly(part: str) -> bool:
    """Tell whether a part (`'anomaly'`, `'test_anomaly'`) holds anomalies."""
    return part.endswith("anomaly")


ARCHIVES: dict[str, Archive] = {
    "casting": Archive(
        name="casting",
        kaggle="ravirajsinh45/real-life-industrial-dataset-of-casting-product",
        folders={
            part: (f"casting_data/casting_data/{end}", f"casting_data/{end}", end)
            for part, end in (
                ("train_normal", "train/ok_front"),
                ("test_normal", "test/ok_front"),
                ("test_anomaly", "test/def_front"),
            )
        },
        counts={"train_normal": 2875, "test_normal": 262, "test_anomaly": 453},
        digests={
            "train_normal": "acb41db4fde04f9ea63363564e9f351a4c87b2613c66a7456186de58c6e95118",
            "test_normal": "da7cf4d7e9827ab4d293cda577c2afe45cf7c761463d4e743aeeba05ccbd56b1",
            "test_anomaly": "d1e0b3195b027b8747c67bae1a19ff8e73c3ce8ff84988aa2e4ff46e033a2464",
        },
    ),
    "cloud": Archive(
        name="cloud",
        kaggle="ashoksrinivas/cloud-anomaly-detection-images",
        folders={"normal": ("noncloud/noncloud", "noncloud"), "anomaly": ("cloud/cloud", "cloud")},
        counts={"normal": 1500, "anomaly": 100},
        digests={},
    ),
}


def archive_of(name: str) -> Archive:
    """Look an archive up, or say which there are."""
    if name not in ARCHIVES:
        names = ", ".join(ARCHIVES)
        raise GanlibError(f"There is no data set {name!r}: choose {names}, or give a folder.")
    return ARCHIVES[name]


def find_archive(archive: Archive, data: str | Path, data_dir: Path) -> tuple[Path | None, str]:
    """Find the images that exist already; return their root or None, and why these."""
    drawn = data_dir / "generated" / archive.folder
    drawn = drawn if (drawn / MARKER).is_file() else None
    if data == "generated":
        return drawn, "generated images asked for"
    if data not in ("auto", "kaggle"):
        if root := archive.find(_existing(data, "data to auto, kaggle, generated or")):
            return root, "the folder that was asked for"
        wanted = " or ".join(next(iter(archive.folders.values())))
        lacks = f"{data} does not hold the {archive.name} images: expected {wanted} in it"
        raise GanlibError(f"{lacks}. Unzip the archive of {archive.url} there.")
    places = {str(data_dir): data_dir}
    if variable := os.environ.get("GANLIB_DATA"):
        places["GANLIB_DATA"] = _existing(variable, "the variable GANLIB_DATA to")
    for place, folder in places.items():
        root = archive.find(folder)
        if root and not (root / MARKER).is_file():
            return root, f"real images found in {place}"
    if data == "auto" and drawn:
        return drawn, f"no real images in {data_dir}, but generated ones"
    return None, ""


def _existing(folder: str | Path, what: str) -> Path:
    if not Path(folder).is_dir():
        remedy = f"Set {what} a folder with an archive's images"
        raise GanlibError(f"{folder} is not a folder. {remedy}.")
    return Path(folder)


def read_kinds(root: Path) -> dict[str, str]:
    """Read the kinds of anomaly, by bare file name, from the `*_kinds.csv` files in the root."""
    kinds: dict[str, str] = {}
    for path in sorted(root.glob("[!.]*_kinds.csv")):
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            kinds.update(zip(table["file"], table["kind"], strict=True))
        except (KeyError, ValueError) as error:
            found = f"{path} is not a CSV file with the columns file,kind"
            raise GanlibError(f"{found} ({error}). Fix or delete it.") from error
    return kinds


def compare(archive: Archive, counts: dict, digests: dict, generated: bool) -> tuple:
    """Compare the images with Kaggle's; return the source, the description and the notes."""
    name, kaggle = archive.name, archive.kaggle
    found, expected = plus(counts.values()), plus(archive.counts.values())
    if generated:
        return "generated", f"GENERATED images ({name}-like)", (DRAWN,)
    if digests == archive.digests:
        return "kaggle", f"{name}, Kaggle images (digest verified)", ()
    text = f"{name}: {found} images in Kaggle's layout"
    if counts != archive.counts:
        text = f"{name} stand-in: {found} images in Kaggle's layout, not Kaggle's {expected}"
        note = (
            f"The {found} images are a stand-in in the layout of Kaggle's {kaggle}, which has "
            f"{expected} ({' + '.join(counts)}): results on them cannot be compared to Kaggle's."
        )
    elif not archive.digests:
        text += ", Kaggle's digest not on record"
        note = f"The layout and the counts are those of Kaggle's {kaggle}, the bytes are unchecked."
    else:
        text += ", digest is not Kaggle's"
        other = ", ".join(part for part in digests if digests[part] != archive.digests[part])
        note = f"The bytes or names of {other} are not those on record for Kaggle's {kaggle}."
    return "unverified", text, (note,)


def plus(counts: Iterable[int]) -> str:
    """Write counts as `'1500 + 100'`."""
    return " + ".join(map(str, counts))
