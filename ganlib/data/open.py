"""Open a data set: find its images, fetch them if missing, list and check them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from ganlib.data import archives
from ganlib.data.archives import Archive, is_anomaly, plus
from ganlib.data.dataset import WHITE, Dataset, part_digests
from ganlib.data.download import download
from ganlib.data.folder import Images, folder_of, images_in, is_folder, list_folder, name_of
from ganlib.data.images import check_shape, masks_in, size_of, white_of
from ganlib.data.loading import unreadable
from ganlib.data.synthetic import write_dataset
from ganlib.errors import GanlibError
from ganlib.files import shown


def open_dataset(
    name: str,
    data: str | Path = "auto",
    data_dir: str | Path = "data",
    on_message: Callable[[str], object] = print,
    on_error: str = "raise",
    fetch: bool = True,
    resize: str = "letterbox",
) -> Dataset:
    """Open a data set; download or generate its images if they are missing.

    Args:
        name: `'casting'`, `'cloud'` or a folder such as `'./casting'`, see `ganlib.data.folder`.
        data: Which images of an archive. `'auto'`: the real ones in `data_dir` or the folder that
            GANLIB_DATA (a variable) names, else generated ones in `data_dir`, else downloaded
            ones, else newly generated ones. `'kaggle'`: real ones there, else downloaded ones.
            `'generated'`: generated ones. Or a folder, the archive's own or one that holds it.
        data_dir: The folder for downloads, generated images and the cache; created if missing.
        on_message: Called with each line of progress, such as which images are used and why.
        on_error: `'skip'` leaves out images that cannot be read; `'raise'` raises an error.
        fetch: False never downloads or generates: a GanlibError says what is missing.
        resize: How a folder's images become square, see `ganlib.data.images.decode`.
    """
    if on_error not in ("raise", "skip"):
        raise GanlibError(f"on_error is {on_error!r}: choose raise | skip.")
    check_shape(1, 1, resize)
    data_dir = Path(data_dir)
    if is_folder(name):
        dataset = _open_folder(folder_of(name), data_dir, on_error, resize)
        on_message(f"{dataset.caption}; taken from {shown(dataset.root)}.")
        return dataset
    archive = archives.archive_of(name)
    root, why = archives.find_archive(archive, data, data_dir)
    if root is None:
        if not fetch:
            lacks = f"There are no {name} images for data={str(data)!r} in {data_dir}"
            raise GanlibError(f"{lacks}: run the notebook 00_download with the same values first.")
        root, why = _fetch(archive, data, data_dir, on_message)
    dataset = _open_archive(archive, root, data_dir, on_error)
    on_message(f"{dataset.caption}; taken from {root}: {why}.")
    return dataset


def locate(name: str, data: str | Path = "auto", data_dir: str | Path = "data") -> Path | None:
    """Return the root that `open_dataset` would use now; None if images are not there yet."""
    if is_folder(name):
        return folder_of(name)
    return archives.find_archive(archives.archive_of(name), data, Path(data_dir))[0]


def _fetch(archive: Archive, data: str, data_dir: Path, on_message: Callable) -> tuple[Path, str]:
    why = "generated images requested"
    if data != "generated":
        on_message(f"{archive.name}: no images in {data_dir}, downloading {archive.kaggle}.")
        remedy = f"{archive.url} may have a different version than ganlib expects."
        check = partial(_list_archive, archive, remedy=remedy)
        try:
            return download(archive, data_dir, check), "downloaded from Kaggle"
        except GanlibError as error:
            if data == "kaggle":
                raise
            why = str(error).splitlines()[0].rstrip(".")  # the rest explains how to log in
    root = data_dir / "generated" / archive.folder
    write_dataset(archive.name, root)
    return root, f"newly generated, {why}"


def _open_archive(archive: Archive, root: Path, data_dir: Path, on_error: str) -> Dataset:
    generated = (root / archives.MARKER).is_file()
    again = f"Unzip the archive from {archive.url} again, into an empty folder."
    remedy = f"Delete {root} to generate it again." if generated else again
    files, kinds = _list_archive(archive, root, remedy, generated), archives.read_kinds(root)
    bad = files.loc[files["label"] == 1, "file"].str.rpartition("/")[2]
    files.loc[bad.index, "kind"] = [kinds.get(name, "anomaly") for name in bad]
    draft = Dataset(archive.name, "unverified", root, files, {}, (), data_dir)
    return _sift(draft, on_error, partial(archives.compare, archive, generated=generated))


def _open_folder(root: Path, data_dir: Path, on_error: str, resize: str) -> Dataset:
    name, (listed, notes) = name_of(root), list_folder(root)
    files, images = _list_files(root, listed), "images"
    if any((above / archives.MARKER).is_file() for above in (root, *root.parents)):
        images = "GENERATED images"
        notes += (archives.DRAWN,)

    def describe(counts: dict[str, int], _) -> tuple[str, str, tuple[str, ...]]:
        tested = [counts.get(part, 0) for part in ("test_normal", "test_anomaly")]
        test = f", {plus(tested)} test" if any(tested) else ""
        good = sum(counts.values()) - sum(tested)
        return "folder", f"{name}: {good} good{test} {images} in a folder", notes

    white = white_of(root / file for file in files["file"].iloc[:: -(-len(files) // 64)])
    used = f"16-bit images use {white.bit_length()} bits: level {white} is read as white (255)."
    notes += (used,) if white < WHITE else ()
    draft = Dataset(name, "folder", root, files, {}, notes, data_dir, resize=resize, white=white)
    return _sift(draft, on_error, describe)


def _sift(draft: Dataset, on_error: str, describe: Callable) -> Dataset:
    """Leave out unreadable images; `describe` gets all images' counts and the rest's digests."""
    name, root, nested = draft.name, draft.root, draft.source == "folder"
    counts = draft.files["part"].value_counts(sort=False).to_dict()
    tried = draft.files.assign(reason=unreadable(draft) if on_error == "skip" else "")
    bad = tried["reason"] != ""
    skipped = tried.loc[bad, ["file", "part", "reason"]].reset_index(drop=True)
    files = draft.files[~bad].reset_index(drop=True)
    for part in counts:
        left = int((files["part"] == part).sum())
        if left <= (archives.HELD_OUT if part == "normal" and not nested else 0):
            file, _, why = skipped[skipped["part"] == part].iloc[0]
            raise GanlibError(
                f"Too few images of {name} can be read: {left} of {part} in {shown(root)}. The "
                f"first of {len(skipped)} unreadable ones is {shown(file)}: {why}. Replace them."
            )
    if nested:
        _check_masks(root, files)
    digests = part_digests(replace(draft, files=files))
    source, description, notes = describe(counts, digests)
    parts = ", ".join(f"{n} of {part}" for part, n in skipped["part"].value_counts().items())
    lost = f"{len(skipped)} of {len(tried)} images cannot be read and were left out: {parts}."
    notes += (lost,) if parts else ()
    found = {"files": files, "digests": digests, "skipped": skipped, "description": description}
    return replace(draft, source=source, notes=notes, **found)


def _list_archive(archive: Archive, root: Path, remedy: str, exact: bool = False) -> pd.DataFrame:
    listed = []
    for part, expected in archive.counts.items():
        folder = archive.part_folder(root, part)
        if folder is None:
            wanted = " or ".join(archive.folders[part])
            raise GanlibError(f"{root} lacks the {part} images: expected {wanted} there. {remedy}")
        names = images_in(folder, f"Expected {expected}. {remedy}")
        kind = "anomaly" if is_anomaly(part) else "normal"
        listed.append(Images(part, kind, folder, names, {}))
    counts = {each.part: len(each.names) for each in listed}
    # A folder named like an image may make the count too high.
    opened = {each.part: sum((each.folder / n).is_file() for n in each.names) for each in listed}
    exact = exact or "normal" not in archive.counts  # Kaggle's split must be complete
    if archive.counts not in (counts, opened) and (exact or counts["normal"] <= archives.HELD_OUT):
        least = "" if exact else f", or more than {archives.HELD_OUT} normal ones"
        raise GanlibError(
            f"{root} holds {plus(counts.values())} images of {archive.name} "
            f"({' + '.join(counts)}), expected {plus(archive.counts.values())}{least}. {remedy}"
        )
    return _list_files(root, listed).drop(columns="mask")


def _list_files(root: Path, listed: list[Images]) -> pd.DataFrame:
    rows = []
    for part, kind, folder, names, masks in listed:
        label, below = int(is_anomaly(part)), folder.relative_to(root)
        rows += [((below / n).as_posix(), part, label, kind, masks.get(n, "")) for n in names]
    return pd.DataFrame(rows, columns=["file", "part", "label", "kind", "mask"])


def _check_masks(root: Path, files: pd.DataFrame) -> None:
    for file, mask in files.loc[files["mask"] != "", ["file", "mask"]].itertuples(index=False):
        for path in masks_in(root / mask):
            (w, h), (width, height) = size_of(path), size_of(root / file)
            if (w, h) != (width, height):
                found = f"{shown(path)} has {w}x{h} pixels, but its image {shown(file)} has"
                raise GanlibError(f"{found} {width}x{height}: redraw or remove it.")
