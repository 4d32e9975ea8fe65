"""Opening a data set: where its images come from, which they are, and whether they are Kaggle's."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ganlib.data.catalogue import (
    ARCHIVES,
    HELD_OUT,
    MARKER,
    Archive,
    digest_of,
    is_anomaly,
    part_digests,
)
from ganlib.data.download import download
from ganlib.data.folder import folder_of, is_folder, list_folder, name_of
from ganlib.data.listing import SUFFIXES, list_images, not_opened, refuse_closed
from ganlib.errors import GanlibError
from ganlib.files import shown

if TYPE_CHECKING:  # `locate` runs often and needs no tables: pandas is loaded when a set is opened
    import pandas as pd

# How an image that is not square becomes one: `images.decode` says what each of them does.
RESIZES = ("squeeze", "letterbox", "crop")


def _none_skipped() -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(columns=["file", "part", "reason"])


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images of one data set on disk, listed but not read.

    Attributes:
        name: `'casting'`, `'cloud'`, or a folder's name in a form fit for file names.
        source: `'kaggle'`: the digests of all parts are those on record for Kaggle's files.
            `'generated'`: drawn by ganlib. `'unverified'`: Kaggle's layout, but not
            known to be Kaggle's bytes. `'folder'`: the user's own.
        root: The folder that `files` are relative to.
        files: One row per image, ordered by part, of a folder by kind, and then by name, with the
            columns `file` (posix path relative to `root`), `part` (a key of `Archive.counts`; of a
            folder see `ganlib.data.folder.Images`), `label` (0 normal, 1 anomaly) and `kind`
            (`'normal'`, `'anomaly'` or the kind of anomaly); of a folder also `mask` (posix path of
            the mask relative to `root`, `''` if there is none).
        digests: For every part the `part_digest` of its files.
        notes: Sentences that a reader of results on these images must know.
        cache_dir: The folder in which decoded images are kept, the `data_dir` of `open_dataset`.
        skipped: One row per image that cannot be read and so is not among `files`: `file`, `part`
            and `reason`. Empty unless `open_dataset` was called with `on_error="skip"`.
        resize: How images become square, see `ganlib.data.images.decode`.
    """

    name: str
    source: str
    root: Path
    files: "pd.DataFrame"
    digests: Mapping[str, str]
    notes: tuple[str, ...]
    cache_dir: Path
    skipped: "pd.DataFrame" = field(default_factory=_none_skipped)
    resize: str = "squeeze"

    @property
    def digest(self) -> str:
        """SHA-256 over all parts' names and digests, 64 hexadecimal digits."""
        return digest_of(self.digests)

    @property
    def caption(self) -> str:
        """Which images these are, for the small print of a figure."""
        left_out = f", {len(self.skipped)} unreadable left out" if len(self.skipped) else ""
        return self._images + left_out

    @property
    def _images(self) -> str:
        """Say which images these are, with those that were left out."""
        if self.source == "generated":
            return f"GENERATED images ({self.name}-like)"
        if self.source == "kaggle":
            return f"{self.name}, Kaggle images (digest verified)"
        listed = [*self.files["part"], *self.skipped["part"]]
        if self.source == "folder":
            good = listed.count("normal") + listed.count("train_normal")
            tested = [listed.count("test_normal"), listed.count("test_anomaly")]
            test = f", {_plus(tested)} test" if any(tested) else ""
            shape = {"crop": ", cropped", "squeeze": ", squeezed"}.get(self.resize, "")
            kind = "GENERATED images" if _is_drawn(self.root) else "images"
            return f"{self.name}: {good} good{test} {kind} in a folder{shape}"
        archive = ARCHIVES[self.name]
        found = _plus(listed.count(part) for part in archive.counts)
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
    on_error: str = "raise",
    fetch: bool = True,
    resize: str = "letterbox",
) -> Dataset:
    """Open a data set, fetching or generating its images if they are not there.

    Args:
        name: `'casting'`, `'cloud'` or a folder with images, see `ganlib.data.folder`; a folder
            that is called like an archive is meant by `'./casting'`.
        data: Which images of an archive. `'auto'`: the real ones in `data_dir` or in the folder
            that the environment variable `GANLIB_DATA` names, else the generated ones in
            `data_dir`, else those that Kaggle's client downloads, else newly generated ones.
            `'kaggle'`: the real ones there, else downloaded. `'generated'`:
            `data_dir/generated/<slug>`, generated if absent. Anything else: a folder, the archive's
            own or one that holds it.
        data_dir: The folder for downloads, generated images and the cache of decoded images; made
            if absent.
        on_message: Takes the line that says which images were taken and why.
        on_error: `'raise'`: an image that cannot be read is an error, here or in `load_images`.
            `'skip'`: all are tried here, and those that cannot be read are left out; the data set
            lists them in `skipped` and says so in its notes and its caption. They count where the
            number of images is checked, so the archive must be complete all the same. Whether an
            image is an anomaly plays no part.
        fetch: False takes only images that are there: nothing is downloaded or generated, and no
            network is touched.
        resize: How a folder's images become square, `'letterbox'`, `'crop'` or `'squeeze'`, see
            `ganlib.data.images.decode`. The archives' are square.

    Returns:
        The data set, its files digested and, of an archive, checked against its counts and digests.

    Raises:
        GanlibError: If the name is unknown, no images can be had from `data`, they are not
            complete, or too few are left; if a folder is in neither of the two forms.
    """
    if on_error not in ("raise", "skip"):
        raise GanlibError(f"on_error is {on_error!r}: choose raise | skip.")
    if resize not in RESIZES:
        raise GanlibError(f"resize is {resize!r}: choose {' | '.join(RESIZES)}.")
    data_dir = Path(data_dir)
    if is_folder(name):
        dataset = _read_folder(folder_of(name), data_dir, on_error, resize)
        on_message(f"{dataset.caption}; taken from {shown(dataset.root)}.")
        return dataset
    archive = _archive(name)
    root, why = _look(archive, data, data_dir)
    if root is None and not fetch:
        raise GanlibError(
            f"There are no {name} images for data={str(data)!r} in {data_dir}: run the notebook "
            f"00_download with dataset={name!r} and the same `data` first; it gets them."
        )
    if root is None:
        root, why = _fetch(archive, data, data_dir, on_message)
    dataset = _read(archive, root, data_dir, on_error)
    on_message(f"{dataset.caption}; taken from {root}: {why}.")
    return dataset


def locate(name: str, data: str | Path = "auto", data_dir: str | Path = "data") -> Path | None:
    """Say which folder `open_dataset` would take now, without reading or fetching any image.

    Args:
        name: As for `open_dataset`.
        data: As for `open_dataset`.
        data_dir: As for `open_dataset`.

    Returns:
        The data set's root, or None if it would have to be downloaded or generated.

    Raises:
        GanlibError: If the name is unknown, or `data` is a folder without the data set.
    """
    if is_folder(name):
        return folder_of(name)
    return _look(_archive(name), data, Path(data_dir))[0]


def _archive(name: str) -> Archive:
    """Look the archive up, or say which there are."""
    if name not in ARCHIVES:
        raise GanlibError(
            f"There is no data set {name!r}. Choose one of: {', '.join(ARCHIVES)}, or give a "
            "folder."
        )
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
    from ganlib.data.synthetic import write_dataset

    root = data_dir / "generated" / archive.folder
    write_dataset(archive.name, root)
    return root, f"newly generated, {why}"


def _list_parts(
    archive: Archive, root: Path, remedy: str, generated: bool = False, on_error: str = "raise"
) -> tuple[dict[str, Path], dict[str, list[str]], dict[str, dict[str, str]]]:
    """Find every part's folder, its images and which cannot be opened, or say what is missing."""
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
        folders[part], names[part] = folder, list_images(folder)
        if not names[part]:
            raise GanlibError(
                f"{folder} holds no image ({', '.join(sorted(SUFFIXES))}), expected "
                f"{archive.counts[part]}. {remedy}"
            )
    closed = {part: not_opened(folders[part], listed) for part, listed in names.items()}
    if on_error == "raise":
        refuse_closed(archive.name, ((folders[part], closed[part]) for part in closed))
    counts = {part: len(listed) for part, listed in names.items()}
    opened = {part: count - len(closed[part]) for part, count in counts.items()}
    # A folder that is named like an image may be one too many.
    if opened != archive.counts:
        _check_counts(archive, root, counts, archive.exact or generated, remedy)
    return folders, names, closed


def _read(archive: Archive, root: Path, data_dir: Path, on_error: str) -> Dataset:
    """List, check and digest the images below a root."""
    import pandas as pd

    remedy = f"Unzip the archive of {archive.url} again, to an empty folder."
    generated = (root / MARKER).is_file()
    if generated:
        remedy = f"Delete {root} to have it generated again."
    folders, names, closed = _list_parts(archive, root, remedy, generated, on_error)
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
            "reason": [closed[part].get(name, "") for name in listed],
        }
        tables.append(pd.DataFrame(table))
    files = pd.concat(tables, ignore_index=True)
    files, skipped = _leave_out(archive.name, root, files, data_dir, on_error)
    _check_left(archive, root, files, skipped, remedy)
    digests = part_digests(root, files)
    source = "kaggle" if digests == archive.digests else "unverified"
    return Dataset(
        name=archive.name,
        source="generated" if generated else source,
        root=root,
        files=files,
        digests=digests,
        notes=_notes(archive, counts, digests, generated) + _note_on(skipped, sum(counts.values())),
        cache_dir=data_dir,
        skipped=skipped,
    )


def _read_folder(root: Path, data_dir: Path, on_error: str, resize: str) -> Dataset:
    """List and digest the images of a folder of the user's own."""
    import pandas as pd

    name, (listed, notes) = name_of(root), list_folder(root)
    closed = [not_opened(images.folder, images.names) for images in listed]
    if on_error == "raise":
        folders = [images.folder for images in listed]
        refuse_closed(name, zip(folders, closed, strict=True))
    tables = []
    for images, unopened in zip(listed, closed, strict=True):
        below = images.folder.relative_to(root)
        table = {
            "file": [(below / file).as_posix() for file in images.names],
            "part": images.part,
            "label": int(is_anomaly(images.part)),
            "kind": images.kind,
            "mask": [images.masks.get(file, "") for file in images.names],
            "reason": [unopened.get(file, "") for file in images.names],
        }
        tables.append(pd.DataFrame(table))
    files = pd.concat(tables, ignore_index=True)
    files, skipped = _leave_out(name, root, files, data_dir, on_error, nested=True)
    if left := {images.part for images in listed} - set(files["part"]):
        file, part, why = skipped[skipped["part"].isin(left)].iloc[0]
        raise GanlibError(
            f"No image of {part} in {shown(root)} can be read; the first is {shown(file)}: {why}. "
            "Put images there that can be."
        )
    if (files["mask"] != "").any():
        # Imported here because it needs Pillow, which `locate` does without.
        from ganlib.data.masks import check_masks

        check_masks(root, files)
    if _is_drawn(root):
        notes += ("The images are drawn by ganlib: results on them say nothing of real ones.",)
    return Dataset(
        name=name,
        source="folder",
        root=root,
        files=files,
        digests=part_digests(root, files, nested=True),
        notes=notes + _note_on(skipped, len(files) + len(skipped)),
        cache_dir=data_dir,
        skipped=skipped,
        resize=resize,
    )


def _is_drawn(root: Path) -> bool:
    """Tell whether a folder is one of those that ganlib has filled with generated images."""
    return any((above / MARKER).is_file() for above in (root, *root.parents))


def _leave_out(
    name: str,
    root: Path,
    files: "pd.DataFrame",
    data_dir: Path,
    on_error: str,
    nested: bool = False,
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Part the files that can be read, or are to be, from those that are left out."""
    if on_error == "skip":
        # Imported here because it needs Pillow, which `locate` does without.
        from ganlib.data.unreadable import add_undecodable

        files = add_undecodable(name, root, files, data_dir, nested)
    bad = files["reason"] != ""
    skipped = files.loc[bad, ["file", "part", "reason"]].reset_index(drop=True)
    return files[~bad].drop(columns="reason").reset_index(drop=True), skipped


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


def _check_left(
    archive: Archive, root: Path, files: "pd.DataFrame", skipped: "pd.DataFrame", remedy: str
) -> None:
    """Refuse images of which too few can be read."""
    left = {part: int((files["part"] == part).sum()) for part in archive.counts}
    if skipped.empty or (all(left.values()) and left.get("normal", HELD_OUT + 1) > HELD_OUT):
        return
    file, _, why = skipped.iloc[0]
    raise GanlibError(
        f"Too few images of {archive.name} can be read: {_plus(left.values())} "
        f"({' + '.join(left)}) in {root}; {len(skipped)} cannot, the first is {shown(file)}: "
        f"{why}. {remedy}"
    )


def _note_on(skipped: "pd.DataFrame", count: int) -> tuple[str, ...]:
    """Say how many images were left out, and of which parts."""
    if skipped.empty:
        return ()
    parts = ", ".join(f"{n} of {part}" for part, n in skipped["part"].value_counts().items())
    return (f"{len(skipped)} of {count} images cannot be read and were left out: {parts}.",)


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
    if digests == archive.digests:
        return ()
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
