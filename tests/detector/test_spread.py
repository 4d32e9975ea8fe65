"""A folder scored by two processes: as by one."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from refusals import refused
from small import SMALL

from ganlib.data.images import decode
from ganlib.detector import spread
from ganlib.models import Autoencoder

distributed = pytest.importorskip(
    "distributed", reason="NOT TESTED: scoring on several processes needs `distributed`"
)

N = 23


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    (folder / "more").mkdir()
    random = np.random.default_rng(0)
    for number in range(N):
        pixels = random.integers(0, 40 + 9 * number, (40, 48), dtype="uint8")
        name = f"more/{number}.PNG" if number % 3 else f"{number}.png"
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.mark.parametrize("calibrated", [True, False])
def test_table_is_that_of_one_process(calibrated, detector, folder, client, tmp_path):
    model = detector if calibrated else Autoencoder(**SMALL)
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.[pP][nN][gG]"))
    resize = detector.resize if calibrated else "squeeze"
    images = np.stack([decode(folder / file, 32, 1, resize) for file in files])
    scores = model.detect(images).scores
    if calibrated:
        model.thresholds = {"quantile": float(np.sort(scores)[10:12].mean())}
    model.save(tmp_path / "detector.keras")
    csv = tmp_path / "new" / "scores.csv"
    table = spread.score_folder(tmp_path / "detector.keras", folder, csv, client, chunk_size=5)
    assert sorted(table["file"]) == files
    table = table.sort_values("file", ignore_index=True)
    np.testing.assert_allclose(table["score"], scores, rtol=1e-4)
    assert ("is_anomaly" in table) == calibrated
    if calibrated:
        np.testing.assert_array_equal(table["is_anomaly"], model.is_anomaly(images))
        assert table["is_anomaly"].sum() == N - 11
    written = pd.read_csv(csv).sort_values("file", ignore_index=True)
    pd.testing.assert_frame_equal(written, table, check_dtype=False, rtol=1e-6)
    assert list(csv.parent.iterdir()) == [csv]


def test_mistakes_are_named_and_nothing_is_written(detector, folder, client, tmp_path):
    detector.save(tmp_path / "detector.keras")
    (tmp_path / "none").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "2.png").write_bytes(b"no picture")
    before = sorted(tmp_path.iterdir())
    for name, where, message in (
        ("detector.keras", tmp_path / "none", "no image"),
        ("missing.keras", folder, "does not exist"),
        ("detector.keras", tmp_path / "images", r"2\.png cannot be read"),
    ):
        refused(message, spread.score_folder, tmp_path / name, where, tmp_path / "a.csv", client)
    assert sorted(tmp_path.iterdir()) == before
