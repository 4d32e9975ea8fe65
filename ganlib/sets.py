"""Compare methods on folders, in a table and a figure; finished runs are not repeated."""

import json
import timeit
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from ganlib import __version__, data
from ganlib.data.dataset import part_digests
from ganlib.data.folder import name_of
from ganlib.data.images import masks_in
from ganlib.detector.train import judge, train_detector
from ganlib.errors import GanlibError
from ganlib.figures import forest, save
from ganlib.files import remove_unfinished, slug, write_csv, write_json, write_safely
from ganlib.models import METHODS
from ganlib.settings import settings

RUNS = Path("runs/sets")
TIMED = 64  # images scored to measure the time per image
COLUMNS = """set method model family n_train n_calibration n_normal n_anomaly
auroc auroc_low auroc_high detection_rate detection_low detection_high asked false_alarm_rate
false_alarm_low false_alarm_high pixel_auroc pro masks train_seconds ms_per_image megabytes
image_size seed minutes backend processor ganlib commit error""".split()  # noqa: SIM905


def compare(
    folders: list[Path], methods: list[str], minutes: float, seed: int, output: Path, say=print
) -> pd.DataFrame:
    """Train methods (default: all) on folders, test them, and write a table and a figure.

    Results in `RUNS` are reused unless images, masks, arguments, backend or version of ganlib have
    changed. A failure is recorded in `error`; the others continue. `output` gets no input images.

    Return `COLUMNS` for each folder and method, NaN where there is no value: `model` is the method
    that "auto" chose, `asked` the false-alarm rate that the threshold is set for.
    """
    names, rows = [name_of(folder.resolve()) for folder in folders], []
    if twice := {name for name in names if names.count(name) > 1}:
        raise GanlibError(f"Several folders are named {min(twice)}: rename one, or list it once.")
    remove_unfinished(RUNS)
    for folder, name in zip(folders, names, strict=True):
        for method in methods or ["auto", *METHODS]:
            row = dict.fromkeys(COLUMNS, np.nan) | {"set": name, "method": method, "seed": seed}
            say(f"{name}, {method}")
            try:
                row |= _result(folder, RUNS / name / slug(method), method, minutes, seed)
                say("  AUROC {auroc:.3f}, {detection_rate:.1%} found".format_map(row))
            except Exception as error:  # of any kind: it must not stop the others
                row["error"] = f"{type(error).__name__}: {error}"
                say(f"  {row['error']}")
            rows.append(row)
    table = pd.DataFrame(rows)
    write_csv(output / "results.csv", table.convert_dtypes())  # keep integers
    about = f"Seed {seed}, at most {minutes:g} minutes of training. Thresholds: from held-out good "
    about += "images. Lines: 95 % intervals. No symbol: failed, or no such images. "
    about += "; ".join(table["processor"].dropna().unique())
    save(forest.methods_on_sets(table, "Which method finds the defects?", about), output / "sets")
    return table


def _result(folder: Path, run: Path, method: str, minutes: float, seed: int) -> dict:
    """Read a finished row from its file, or train, test and write it."""
    dataset = data.open_dataset(f"{folder}/", data_dir=RUNS, on_message=lambda _: None)
    masks = [dataset.root / mask for mask in dataset.files["mask"] if mask]
    masks = [file.relative_to(dataset.root).as_posix() for m in masks for file in masks_in(m)]
    files = pd.DataFrame({"part": "masks", "file": masks})
    masks = part_digests(replace(dataset, files=files))
    chosen = settings("quick", f"{folder}/", channels=data.channels_of(dataset))
    made_from = {"digest": dataset.digest, "masks": masks, "settings": asdict(chosen), "seed": seed}
    made_from |= {"minutes": minutes, "backend": keras.backend.backend(), "ganlib": __version__}
    file, result = run / "detector.keras", run / "result.json"
    done = json.loads(result.read_text()) if file.exists() and result.exists() else {}
    if done.get("made_from") == made_from:
        return done["row"]
    keras.utils.clear_session()
    split, note = data.held_out_split(dataset, seed=seed)
    about = (dataset, split, chosen, run / "checkpoint.npz", minutes, seed)
    detector, _ = train_detector(*about, notes=(note,), method=method)
    row = judge(detector, dataset, split)
    detector.card = card = {**detector.card, "test": row}
    write_safely(file, detector.save)
    images = np.array(data.load_images(dataset, detector.image_size, detector.channels)[:TIMED])
    _, *passes = timeit.repeat(lambda: detector.detect(images), number=1, repeat=3)
    row["ms_per_image"] = 1000 * min(passes) / len(images)
    row |= {"n_train": card["trained_on"], "n_calibration": card["calibrated_on"]}
    row |= {"asked": card["false_alarm_rate"], "image_size": detector.image_size}
    row |= {"model": card["method"], "family": detector.model.family, "minutes": minutes}
    row |= {"backend": card["keras_backend"], "processor": card["device"]}
    row["megabytes"] = file.stat().st_size / 1e6
    row |= {name: card[name] for name in ("train_seconds", "ganlib", "commit")}
    write_json(result, {"made_from": made_from, "row": row})
    return row
