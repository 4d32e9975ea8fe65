"""Opening a data set: where its images come from, which they are, and whether they are Kaggle's."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganlib.data.catalogue import (
    ARCHIVES,
    HELD_OUT,
    MARKER,
    Archive,
    is_anomaly,
    part_digest,
)
from ganlib.data.download import download
from ganlib.errors import GanlibError

if TYPE_CHECKING:  # `locate` runs often and needs no tables: pandas is loaded when a set is opened
    import pandas as pd

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images of one data set on disk, listed but not read.

    Attributes:
        name: `'casting'` or `'cloud'`.
        source: `'kaggle'`: the digests of all parts are those on record for Kaggle's files.
            `'generated'`: drawn by `ganlib.data.generate`. `'unverified'`: Kaggle's layout, but not
            known to be Kaggle's bytes.
        root: The folder that `files` are relative to.
        files: One row per image, ordered by part and then by name, with the columns `file` (posix
            path relative to `root`), `part` (a key of `Archive.counts`), `label` (0 normal, 1
            anomaly) and `kind` (`'normal'`, `'anomaly'` or the kind of anomaly).
        digests: For every part the `part_digest` of its files.
        notes: Sentences that a reader of results on these images must know.
        cache_dir: The folder in which decoded images are kept, the `data_dir` of `open_dataset`.
    """

    name: str
    source: str
    root: Path
    files: "pd.DataFrame"
    digests: Mapping[str, str]
    notes: tuple[str, ...]
    cache_dir: Path

    @property
    def digest(self) -> str:
        """SHA-256 over all parts' names and digests, 64 hexadecimal digits."""
        lines = "".join(f"{part}\0{digest}\n" for part, digest in sorted(self.digests.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def caption(self) -> str:
        """Which images these are, for the small print of a figure."""
        if self.source == "generated":
            return f"GENERATED images ({self.name}-like)"
        if self.source == "kaggle":
            return f"{self.name}, Kaggle images (digest verified)"
        archive = ARCHIVES[self.name]
        found = _plus((self.files["part"] == part).sum() for part in archive.counts)
        expected = _plus(archive.counts.values())
        if found != expected:
            return (
                f"{self.name} stand-in: {found} images in Kaggle's layout, not Kaggle's {expected}"
            )
        doubt = "digest is not Kaggle's" if archive.digests else "Kaggle's digest not on record"
        return f"{self.name}: {found} images in Kaggle's layout, {doubt}"


def open_dataset(
    name: str,
    data: str | Path = "auto",
    data_dir: str | Path = "data",
    on_message: Callable[[str], object] = print,
    fetch: bool = True,
) -> Dataset:
    """Open a data set, fetching or generating its images if they are not there.

    Args:
        name: `'casting'` or `'cloud'`.
        data: Which images. `'auto'`: the real ones in `data_dir` or in the folder that the
            environment variable `GANLIB_DATA` names, else the generated ones in `data_dir`, else
            those that Kaggle's client downloads, else newly generated ones. `'kaggle'`: the real
            ones there, else downloaded. `'generated'`: `data_dir/generated/<slug>`, generated if
            absent. Anything else: a folder, the archive's own or one that holds it.
        data_dir: The folder for downloads, generated images and the cache of decoded images; made
            if absent.
        on_message: Takes the line that says which images were taken and why.
        fetch: False takes only images that are there: nothing is downloaded or generated, and no
            network is touched.

    Returns:
        The data set, its files checked against the archive's counts and digested.

    Raises:
        GanlibError: If the name is unknown, no images can be had from `data`, or they are not
            complete.
    """
    archive = _archive(name)
    data_dir = Path(data_dir)
    root, why = _look(archive, data, data_dir)
    if root is None and not fetch:
        raise GanlibError(
            f"There are no {name} images for data={str(data)!r} in {data_dir}: run the notebook "
            f"00_download with dataset={name!r} and the same `data` first; it gets them."
        )
    if root is None:
        root, why = _fetch(archive, data, data_dir, on_message)
    dataset = _read(archive, root, data_dir)
    on_message(f"{dataset.caption}; taken from {root}: {why}.")
    return dataset


def locate(name: str, data: str | Path = "auto", data_dir: str | Path = "data") -> Path | None:
    """Say which folder `open_dataset` would take now, without reading or fetching any image.

    Args:
        name: `'casting'` or `'cloud'`.
        data: As for `open_dataset`.
        data_dir: As for `open_dataset`.

    Returns:
        The data set's root, or None if it would have to be downloaded or generated.

    Raises:
        GanlibError: If the name is unknown, or `data` is a folder without the data set.
    """
    return _look(_archive(name), data, Path(data_dir))[0]


def _archive(name: str) -> Archive:
    """Look the archive up, or say which there are."""
    if name not in ARCHIVES:
        raise GanlibError(f"There is no data set {name!r}. Choose one of: {', '.join(ARCHIVES)}.")
    return ARCHIVES[name]


def _plus(counts: Iterable[int]) -> str:
    """Write counts as `'1500 + 100'`."""
    return " + ".join(str(count) for count in counts)


def _find(archive: Archive, folder: Path) -> Path | None:
    """Find the archive's root: below the folder by its name, or the folder itself."""
    roots = (folder / archive.folder, folder)
    return next(
        (root for root in roots if any(archive.part_folder(root, part) for part in archive.counts)),
        None,
    )


def _look(archive: Archive, data: str | Path, data_dir: Path) -> tuple[Path | None, str]:
    """Find the images that are there already; returns their root or None, and why these."""
    generated = data_dir / "generated" / archive.folder
    if data == "generated":
        return (generated if (generated / MARKER).is_file() else None), "generated images asked for"
    if data not in ("auto", "kaggle"):
        return _look_in_folder(archive, Path(data)), "the folder that was asked for"
    places = [(data_dir, f"real images found in {data_dir}")]
    if named := os.environ.get("GANLIB_DATA"):
        if not Path(named).is_dir():
            raise GanlibError(
                f"The environment variable GANLIB_DATA names {named}, which is not a folder. "
                f"Set it to the folder that holds {archive.folder}, or unset it."
            )
        places.append((Path(named), "real images found in GANLIB_DATA"))
    for folder, why in places:
        root = _find(archive, folder)
        if root is not None and not (root / MARKER).is_file():
            return root, why
    if data == "auto" and (generated / MARKER).is_file():
        return generated, f"no real images in {data_dir}, but generated ones"
    return None, ""


def _look_in_folder(archive: Archive, folder: Path) -> Path:
    """Find the archive's root in a folder that the user named, or say what it lacks."""
    if not folder.is_dir():
        raise GanlibError(
            f"{folder} is not a folder. `data` is 'auto', 'kaggle', 'generated' or a folder with "
            f"the images of {archive.name}."
        )
    root = _find(archive, folder)
    if root is None:
        wanted = " or ".join(next(iter(archive.folders.values())))
        raise GanlibError(
            f"{folder} does not hold the {archive.name} images: expected {wanted} in it or in "
            f"{folder / archive.folder}. Unzip the archive of {archive.url} there, or name the "
            "folder in which it is."
        )
    return root


def _fetch(
    archive: Archive, data: str | Path, data_dir: Path, on_message: Callable[[str], object]
) -> tuple[Path, str]:
    """Download or generate images that are not there; returns their root and why these."""
    why = "generated images asked for"
    if data != "generated":
        on_message(f"{archive.name}: no images in {data_dir}, asking Kaggle for {archive.kaggle}.")
        other = f"{archive.url} may hold another version than ganlib knows."
        try:
            whole = download(archive, data_dir, lambda root: _list_parts(archive, root, other))
            return whole, "downloaded from Kaggle"
        except GanlibError as error:
            if data == "kaggle":
                raise
            why = str(error).splitlines()[0].rstrip(".")  # the rest tells how to log in
    # Generating takes a minute and libraries of its own, and most openings do not need it.
    from ganlib.data.generate import write_dataset

    root = data_dir / "generated" / archive.folder
    write_dataset(archive.name, root)
    return root, f"newly generated, {why}"


def _list_images(folder: Path) -> list[str]:
    """List the names of a folder's images, leaving out hidden files, folders and links."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".")
            and Path(entry.name).suffix.lower() in SUFFIXES
            and entry.is_file(follow_symlinks=False)
        )


def _list_parts(
    archive: Archive, root: Path, remedy: str, generated: bool = False
) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Find the folder of every part and list its images, or say what is missing."""
    # Names, not paths, which take five times the memory: there may be a hundred thousand.
    folders: dict[str, Path] = {}
    names: dict[str, list[str]] = {}
    for part in archive.counts:
        folder = archive.part_folder(root, part)
        if folder is None:
            raise GanlibError(
                f"{root} lacks the {part} images of {archive.name}: expected the folder "
                f"{' or '.join(archive.folders[part])}. {remedy}"
            )
        folders[part], names[part] = folder, _list_images(folder)
        if not names[part]:
            raise GanlibError(
                f"{folder} holds no image ({', '.join(sorted(SUFFIXES))}), expected "
                f"{archive.counts[part]}. {remedy}"
            )
    counts = {part: len(listed) for part, listed in names.items()}
    _check_counts(archive, root, counts, archive.exact or generated, remedy)
    return folders, names


def _read(archive: Archive, root: Path, data_dir: Path) -> Dataset:
    """List, check and digest the images below a root."""
    import pandas as pd

    remedy = f"Unzip the archive of {archive.url} again, to an empty folder."
    generated = (root / MARKER).is_file()
    if generated:
        remedy = f"Delete {root} to have it generated again."
    folders, names = _list_parts(archive, root, remedy, generated)
    counts = {part: len(listed) for part, listed in names.items()}

    kinds = _read_kinds(root)
    tables = []
    for part, listed in names.items():
        below, anomalous = folders[part].relative_to(root).as_posix(), is_anomaly(part)
        table = {
            "file": [f"{below}/{name}" for name in listed],
            "part": part,
            "label": int(anomalous),
            "kind": [kinds.get(name, "anomaly") if anomalous else "normal" for name in listed],
        }
        tables.append(pd.DataFrame(table))
    digests = {
        part: part_digest(folders[part] / name for name in listed) for part, listed in names.items()
    }
    source = "kaggle" if digests == archive.digests else "unverified"
    return Dataset(
        name=archive.name,
        source="generated" if generated else source,
        root=root,
        files=pd.concat(tables, ignore_index=True),
        digests=digests,
        notes=_notes(archive, counts, digests, generated),
        cache_dir=data_dir,
    )


def _check_counts(
    archive: Archive, root: Path, counts: Mapping[str, int], exact: bool, remedy: str
) -> None:
    """Refuse images that are not all there."""
    found, expected = _plus(counts.values()), _plus(archive.counts.values())
    parts = " + ".join(counts)
    if exact and counts != archive.counts:
        raise GanlibError(
            f"{root} holds {found} images of {archive.name} ({parts}), expected {expected}. "
            f"{remedy}"
        )
    if not exact and counts["normal"] <= HELD_OUT:
        raise GanlibError(
            f"{root} holds {found} images of {archive.name} ({parts}), expected {expected}, or at "
            f"least more than {HELD_OUT} normal ones: {HELD_OUT} are held out for the test and the "
            f"rest is trained on. {remedy}"
        )


def _read_kinds(root: Path) -> dict[str, str]:
    """Read the kinds of anomaly, by bare file name, from the `*_kinds.csv` files in the root."""
    import pandas as pd

    kinds: dict[str, str] = {}
    for path in sorted(root.glob("*_kinds.csv")):
        if path.name.startswith("."):
            continue
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            kinds.update(zip(table["file"], table["kind"], strict=True))
        except (KeyError, ValueError) as error:
            raise GanlibError(
                f"{path} is not a table of kinds: expected a CSV file with the columns file,kind "
                f"({error}). Mend or remove it."
            ) from error
    return kinds


def _notes(
    archive: Archive, counts: Mapping[str, int], digests: Mapping[str, str], generated: bool
) -> tuple[str, ...]:
    """Say in sentences what sets the images apart from Kaggle's."""
    if generated:
        return (
            f"The images are drawn by ganlib after the look of {archive.name}: results on them say "
            "nothing about results on the real images.",
        )
    notes = []
    if counts != archive.counts:
        notes.append(
            f"The {_plus(counts.values())} images are a stand-in in the layout of Kaggle's "
            f"{archive.kaggle}, which has {_plus(archive.counts.values())} "
            f"({' + '.join(counts)}): results on them are not comparable to results on Kaggle's."
        )
    elif not archive.digests:
        notes.append(
            f"The digest of Kaggle's {archive.kaggle} is not on record: the layout and the counts "
            "are Kaggle's, the bytes could not be checked."
        )
    elif other := [part for part in digests if digests[part] != archive.digests[part]]:
        notes.append(
            f"The bytes or names of {', '.join(other)} are not those on record for Kaggle's "
            f"{archive.kaggle}: the images may be edited or of another version."
        )
    return tuple(notes)
