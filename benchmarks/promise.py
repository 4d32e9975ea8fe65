"""Measure whether the requested false-alarm rate holds on good images not seen before.

    python -m benchmarks.promise part.keras parts/ other.keras others/ ...

Each detector's held-out and good test images are divided at random, 30 times, into pictures for
calibration and fresh ones. The share of flagged fresh ones goes to `benchmarks/promise.csv`.
The interval is that of the mean over the draws, for these pictures.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from ganlib import data, load_model
from ganlib.files import write_csv
from ganlib.models import Detection

DRAWS, RATES = 30, (0.05, 0.1)
STEP = 20  # with one less than a multiple of it, both rates can be met exactly


def measure(path: Path, folder: Path) -> list[dict]:
    """Return one row per rate."""
    made = load_model(path)
    card, made.card, rows = made.card, {}, []
    with tempfile.TemporaryDirectory() as cache:
        dataset = data.open_dataset(f"{folder}/", data_dir=cache, resize=card["resize"])
        if dataset.digest != card["digest"]:
            raise SystemExit(f"{path} was not trained on the images in {folder}.")
        split, _ = data.held_out_split(dataset, seed=card["seed"])
        images = data.load_images(dataset, made.image_size, made.channels)
        good = np.concatenate([split.calibration, split.test_normal])
        groups = data.pictures_of(dataset, split._replace(calibration=good))
        found = made.model.detect(images[good])
        usual = None if made.own_map else made.model.detect(images[split.train[:256]])
    names = np.unique(groups)
    count = max(1, len(names) // 2 // STEP) * STEP - 1
    if count >= len(names):
        raise SystemExit(f"{folder} has {len(names)} good pictures to split: use at least {STEP}.")
    for rate in RATES:
        shares, odd = [], 0
        for draw in range(DRAWS):
            held = np.isin(groups, np.random.default_rng(draw).permutation(names)[:count])
            seen, fresh = (Detection(*(part[of] for part in found)) for of in (held, ~held))
            made.calibrate_on(seen, rate, usual, groups[held])
            odd += made.card["held_out_pictures"] < count
            heat = made.heat_maps(fresh.residuals).max(axis=(1, 2))
            flagged = (heat if made.by_heat else fresh.scores) >= made.threshold
            shares.append(pd.Series(flagged).groupby(groups[~held]).max().mean())
        half = 1.96 * np.std(shares, ddof=1) / np.sqrt(DRAWS)
        rows.append({"set": folder.name, "method": card["method"], "asked": rate})
        rows[-1] |= {"measured": np.mean(shares), "low": np.mean(shares) - half}
        rows[-1] |= {"high": np.mean(shares) + half, "held_out": count, "odd_left_out": odd / DRAWS}
        rows[-1] |= {"fresh": len(names) - count, "draws": DRAWS, "digest": card["digest"][:12]}
        rows[-1]["holds"] = rows[-1]["low"] <= rate <= rows[-1]["high"]
    return rows


if __name__ == "__main__":
    pairs = zip(map(Path, sys.argv[1::2]), map(Path, sys.argv[2::2]), strict=True)
    table = pd.DataFrame([row for pair in pairs for row in measure(*pair)])
    write_csv(Path(__file__).with_name("promise.csv"), table)
    print(table.to_string(index=False))
