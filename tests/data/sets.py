"""Small data sets for tests."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ganlib.data import Dataset, open_dataset

COUNTS = {"train_normal": 5, "test_normal": 3, "test_anomaly": 4}
ENDS = {
    "train_normal": "train/ok_front",
    "test_normal": "test/ok_front",
    "test_anomaly": "test/def_front",
}


def png(level, size=4):
    file = io.BytesIO()
    Image.new("L", (size, size), level).save(file, "PNG")
    return file.getvalue()


def write(path, level=0, size=(4, 4), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level).save(path)
    return path


def fill(folder, names, first=0):
    """Write images with levels from `first` upward; a number means 000.png, 001.png, ..."""
    names = [f"{i:03}.png" for i in range(names)] if isinstance(names, int) else names
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        (folder / name).write_bytes(png((first + i) % 256))


def make_casting(root, nesting="casting_data/casting_data", counts=COUNTS):
    """Write a casting archive with decoy folders; grey levels differ between parts."""
    for i, (part, end) in enumerate(ENDS.items()):
        fill(root / nesting / end, [f"{part}_{n}.png" for n in range(counts[part])], 10 * i)
    for decoy in (f"{nesting}/train/def_front", "casting_512x512/casting_512x512/ok_front"):
        fill(root / decoy, 1)
    return root


def make_cloud(root, normal, anomaly):
    fill(root / "noncloud/noncloud", normal)
    fill(root / "cloud/cloud", anomaly, 200)
    return root


def make_parts(root, good=5):
    """Write MVTec AD's layout, with grey levels from 0, 40, 80 and 120 upward."""
    fill(root / "train/good", good)
    fill(root / "test/good", 3, 40)
    fill(root / "test/crack", 2, 80)
    fill(root / "test/hole", 2, 120)
    return root


def opened(name, tmp_path, data="auto", **options):
    """Open a data set without printing; its cache is at `tmp_path/d`."""
    return open_dataset(name, data, tmp_path / "d", lambda _: None, **options)


def bare(source="unverified", name="casting", **counts):
    parts = [part for part, count in counts.items() for _ in range(count)]
    files = pd.DataFrame({"file": [f"{i}.png" for i in range(len(parts))], "part": parts})
    files = files.assign(kind="any", label=[int("anomaly" in part) for part in parts])
    return Dataset(name, source, Path(), files, dict.fromkeys(counts, "0"), (), Path())


def saved(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path)
    return array
