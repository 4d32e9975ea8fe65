"""Open a data set: find its images, fetch them if absent, list and check them."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ganlib.data.archives import (
    HELD_OUT,
    MARKER,
    Archive,
    archive_of,
    compare,
    find_archive,
    is_anomaly,
    plus,
    read_kinds,
)
from ganlib.data.dataset import RESIZES, Dataset, part_digests
from ganlib.data.download import download
from ganlib.data.folder import (
    SUFFIXES,
    Images,
    folder_of,
    is_folder,
    list_folder,
    list_images,
    name_of,
)
from ganlib.data.images import size_of
from ganlib.data.loading import add_undecodable
from ganlib.data.synthetic import write_dataset
from ganlib.errors import GanlibError
from ganlib.files import open_file, shown


def open_dataset(
    name: str,
    data: str | Path = "auto",
    data_dir: str | Path = "data",
    on_message: Callable[[str], object] = print,
    on_error: str = "raise",
    fetch: bool = True,
    resize: str = "letterbox",
) -> Dataset:
    """Open a data set, fetching or generating its images if they are absent.

    Args:
        name: `'casting'`, `'cloud'` or a folder with images, see `ganlib.data.folder`; write
            `'./casting'` for a folder with the name of an archive.
        data: Which images of an archive. `'auto'`: the real ones in `data_dir` or in the folder
            that the environment variable `GANLIB_DATA` names, else the generated ones in
            `data_dir`, else those that Kaggle's client downloads, else newly generated ones.
            `'kaggle'`: the real ones there, else downloaded. `'generated'`:
            `data_dir/generated/<slug>`, generated if absent. Anything else: a folder, the archive's
            own or one that holds it.
        data_dir: The folder for downloads, generated images and the cache; made if absent.
        on_message: Called with the line that says which images were taken and why.
        on_error: `'raise'`: an image that cannot be read is an error, here or in `load_images`.
            `'skip'`: decode all here and leave out those that cannot be read (`Dataset.skipped`).
            They count where the number of images is checked, so an archive must be complete.
        fetch: False never downloads or generates.
        resize: How a folder's images become square, `'letterbox'`, `'crop'` or `'squeeze'`, see
            `ganlib.data.images.decode`. The archives' are square.

    Returns:
        The data set, its files digested and, of an archive, checked against its counts and digests.

    Raises:
        GanlibError: If the name is unknown, there are no images for `data`, or some or too many are
            missing; if a folder is in neither of the two forms.
    """
    if on_error not in ("raise", "skip"):
        raise GanlibError(f"on_error is {on_error!r}: choose raise | skip.")
    if resize not in RESIZES:
        raise GanlibError(f"resize is {resize!r}: choose {' | '.join(RESIZES)}.")
    data_dir = Path(data_dir)
    if is_folder(name):
        dataset = _open_folder(folder_of(name), data_dir, on_error, resize)
        on_message(f"{dataset.caption}; taken from {shown(dataset.root)}.")
        return dataset
    archive = archive_of(name)
    root, why = find_archive(archive, data, data_dir)
    if root is None and not fetch:
        raise GanlibError(
            f"There are no {name} images for data={str(data)!r} in {data_dir}: run the notebook "
            f"00_download with dataset={name!r} and the same `data` first; it gets them."
        )
    if root is None:
        root, why = _fetch(archive, data, data_dir, on_message)
    dataset = _open_archive(archive, root, data_dir, on_error)
    on_message(f"{dataset.caption}; taken from {root}: {why}.")
    return dataset


def locate(name: str, data: str | Path = "auto", data_dir: str | Path = "data") -> Path | None:
    """Find the folder that `open_dataset` would take now, without reading or fetching any image.

    Returns:
        The data set's root, or None if it would have to be downloaded or generated.

    Raises:
        GanlibError: If the name is unknown, or `data` is a folder without the data set.
    """
    if is_folder(name):
        return folder_of(name)
    root, _ = find_archive(archive_of(name), data, Path(data_dir))
    return root


def _fetch(
    archive: Archive, data: str | Path, data_dir: Path, on_message: Callable[[str], object]
) -> tuple[Path, str]:
    """Download or generate images; return their root and why these."""
    why = "generated images asked for"
    if data != "generated":
        on_message(f"{archive.name}: no images in {data_dir}, asking Kaggle for {archive.kaggle}.")
        other = f"{archive.url} may hold another version than ganlib knows."
        try:
            whole = download(archive, data_dir, lambda root: _list_archive(archive, root, other))
            return whole, "downloaded from Kaggle"
        except GanlibError as error:
            if data == "kaggle":
                raise
            why = str(error).splitlines()[0].rstrip(".")  # the rest tells how to log in
    root = data_dir / "generated" / archive.folder
    write_dataset(archive.name, root)
    return root, f"newly generated, {why}"


def _open_archive(archive: Archive, root: Path, data_dir: Path, on_error: str) -> Dataset:
    """List, check and digest the images of an archive."""
    generated = (root / MARKER).is_file()
    remedy = f"Unzip the archive of {archive.url} again, to an empty folder."
    if generated:
        remedy = f"Delete {root} to have it generated again."
    files = _list_archive(archive, root, remedy, generated, on_error).drop(columns="mask")
    kinds, anomalies = read_kinds(root), files.loc[files["label"] == 1, "file"]
    files.loc[anomalies.index, "kind"] = [
        kinds.get(Path(file).name, "anomaly") for file in anomalies
    ]
    counts = files["part"].value_counts().reindex(list(archive.counts)).to_dict()
    files, skipped = _leave_out(archive.name, root, files, data_dir, on_error)
    left = {part: int((files["part"] == part).sum()) for part in archive.counts}
    if len(skipped) and (not all(left.values()) or left.get("normal", HELD_OUT + 1) <= HELD_OUT):
        file, _, why = skipped.iloc[0]
        raise GanlibError(
            f"Too few images of {archive.name} can be read: {plus(left.values())} "
            f"({' + '.join(left)}) in {root}; {len(skipped)} cannot, the first is {shown(file)}: "
            f"{why}. {remedy}"
        )
    digests = part_digests(root, files)
    source, description, notes = compare(archive, counts, digests, generated)
    notes += _note_on(skipped, sum(counts.values()))
    return Dataset(
        archive.name, source, root, files, digests, notes, data_dir, skipped, "squeeze", description
    )


def _open_folder(root: Path, data_dir: Path, on_error: str, resize: str) -> Dataset:
    """List, check and digest the images of a user's folder."""
    name, (listed, notes) = name_of(root), list_folder(root)
    files = _list_files(name, root, listed, on_error)
    counts = files["part"].value_counts()
    files, skipped = _leave_out(name, root, files, data_dir, on_error, nested=True)
    if missing := {images.part for images in listed} - set(files["part"]):
        file, part, why = skipped[skipped["part"].isin(missing)].iloc[0]
        raise GanlibError(
            f"No image of {part} in {shown(root)} can be read; the first is {shown(file)}: {why}. "
            "Put images there that can be."
        )
    _check_masks(root, files)
    drawn = any((above / MARKER).is_file() for above in (root, *root.parents))
    if drawn:
        notes += ("The images are drawn by ganlib: results on them say nothing of real ones.",)
    tested = [counts.get(part, 0) for part in ("test_normal", "test_anomaly")]
    test = f", {plus(tested)} test" if any(tested) else ""
    images = "GENERATED images" if drawn else "images"
    description = f"{name}: {counts.sum() - sum(tested)} good{test} {images} in a folder"
    notes += _note_on(skipped, len(files) + len(skipped))
    digests = part_digests(root, files, nested=True)
    return Dataset(
        name, "folder", root, files, digests, notes, data_dir, skipped, resize, description
    )


def _list_archive(
    archive: Archive, root: Path, remedy: str, exact: bool = False, on_error: str = "raise"
) -> pd.DataFrame:
    """List the images of an archive as `_list_files` does, or say what is missing."""
    listed = []
    for part in archive.counts:
        folder = archive.part_folder(root, part)
        if folder is None:
            raise GanlibError(
                f"{root} lacks the {part} images of {archive.name}: expected the folder "
                f"{' or '.join(archive.folders[part])}. {remedy}"
            )
        kind, names = "anomaly" if is_anomaly(part) else "normal", list_images(folder)
        if not names:
            raise GanlibError(
                f"{folder} holds no image ({', '.join(sorted(SUFFIXES))}), expected "
                f"{archive.counts[part]}. {remedy}"
            )
        listed.append(Images(part, kind, folder, names, {}))
    files = _list_files(archive.name, root, listed, on_error)
    counts = {images.part: len(images.names) for images in listed}
    # A folder that is named like an image may be one too many.
    opened = files.loc[files["reason"] == "", "part"].value_counts().to_dict()
    found, expected = plus(counts.values()), plus(archive.counts.values())
    exact = exact or archive.exact
    enough = archive.counts in (counts, opened) or (not exact and counts["normal"] > HELD_OUT)
    if not enough:
        least = "" if exact else f", or at least more than {HELD_OUT} normal ones"
        raise GanlibError(
            f"{root} holds {found} images of {archive.name} ({' + '.join(counts)}), expected "
            f"{expected}{least}. {remedy}"
        )
    return files


def _list_files(name: str, root: Path, listed: list[Images], on_error: str) -> pd.DataFrame:
    """Make the table of files, with the `reason` why one cannot be opened, else an empty string."""
    tables = []
    for images in listed:
        below = images.folder.relative_to(root)
        table = {
            "file": [(below / file).as_posix() for file in images.names],
            "part": images.part,
            "label": int(is_anomaly(images.part)),
            "kind": images.kind,
            "mask": [images.masks.get(file, "") for file in images.names],
            "reason": [_why_closed(images.folder / file) for file in images.names],
        }
        tables.append(pd.DataFrame(table))
    files = pd.concat(tables, ignore_index=True)
    closed = files[files["reason"] != ""]
    if on_error == "raise" and len(closed):
        others = f", and {len(closed) - 1} more of {name} neither" if len(closed) > 1 else ""
        file, why = closed.iloc[0][["file", "reason"]]
        raise GanlibError(
            f"{shown(root / file)} cannot be read: {why}{others}. Fix or delete it, or leave out "
            'such files with on_error="skip".'
        )
    return files


def _why_closed(path: Path) -> str:
    """Say why a file cannot be opened, or return an empty string."""
    try:
        open_file(path).close()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _leave_out(
    name: str, root: Path, files: pd.DataFrame, data_dir: Path, on_error: str, nested: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Separate the files that can be read (or that are not tried) from those that are left out."""
    if on_error == "skip":
        files = add_undecodable(name, root, files, data_dir, nested)
    bad = files["reason"] != ""
    skipped = files.loc[bad, ["file", "part", "reason"]].reset_index(drop=True)
    return files[~bad].drop(columns="reason").reset_index(drop=True), skipped


def _check_masks(root: Path, files: pd.DataFrame) -> None:
    """Refuse a mask of another size than its image."""
    for file, mask in files.loc[files["mask"] != "", ["file", "mask"]].itertuples(index=False):
        image_size, mask_size = size_of(root / file), size_of(root / mask)
        if image_size != mask_size:
            raise GanlibError(
                f"{shown(root / mask)} has {mask_size[0]}x{mask_size[1]} pixels, but its image "
                f"{shown(file)} has {image_size[0]}x{image_size[1]}: draw the mask on the image "
                "itself, or remove it."
            )


def _note_on(skipped: pd.DataFrame, count: int) -> tuple[str, ...]:
    """Say how many images were left out, and of which parts."""
    parts = ", ".join(f"{n} of {part}" for part, n in skipped["part"].value_counts().items())
    note = f"{len(skipped)} of {count} images cannot be read and were left out: {parts}."
    return (note,) if len(skipped) else ()
