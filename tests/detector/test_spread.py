"""A folder scored by two processes: as by one, also if one of them is killed."""

import os
import signal
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ganlib.data.images import decode
from ganlib.detector import spread
from ganlib.detector.detector import Detector
from ganlib.errors import GanlibError
from ganlib.models.anogan import AnoGAN
from ganlib.models.autoencoder import Autoencoder
from ganlib.models.dcgan import DCGAN
from ganlib.models.ganomaly import GANomaly

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


@pytest.fixture(scope="module")
def detectors():
    keras.utils.set_random_seed(0)
    dcgan = DCGAN(32, 1, 6, 4)
    made = {
        "GANomaly": GANomaly(32, 1, 6, 4),
        "Autoencoder": Autoencoder(32, 3, 6, 4),
        "AnoGAN": AnoGAN(dcgan.generator, dcgan.discriminator, steps=2, batch_size=4),
    }
    made["Detector"] = Detector(made["GANomaly"], {"resize": "letterbox"})
    return made


def in_one_process(detector, folder):
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.[pP][nN][gG]"))
    channels = 3 if isinstance(detector, Autoencoder) else 1
    resize = detector.resize if isinstance(detector, Detector) else "squeeze"
    images = np.stack([decode(folder / file, 32, channels, resize) for file in files])
    return files, images


@pytest.mark.parametrize("name", ["GANomaly", "Autoencoder", "AnoGAN", "Detector"])
def test_table_is_that_of_one_process(name, detectors, folder, client, tmp_path):
    detector = detectors[name]
    files, images = in_one_process(detector, folder)
    scores = detector.detect(images).scores
    if name == "GANomaly":
        detector.thresholds = {"quantile": float(np.sort(scores)[10:12].mean())}
    detector.save(tmp_path / "detector.keras")
    csv = tmp_path / "new" / "scores.csv"
    table = spread.score_folder(tmp_path / "detector.keras", folder, csv, client, chunk_size=5)
    assert table["file"].tolist() == files
    np.testing.assert_allclose(table["score"], scores, rtol=1e-4)
    if name == "GANomaly":
        np.testing.assert_array_equal(table["is_anomaly"], detector.is_anomaly(images))
        assert table["is_anomaly"].sum() == N - 11
    else:
        assert "is_anomaly" not in table
    pd.testing.assert_frame_equal(pd.read_csv(csv), table, check_dtype=False, rtol=1e-6)
    assert list(csv.parent.iterdir()) == [csv]


def test_no_image_is_lost_or_scored_twice_when_a_worker_is_killed(
    detectors, folder, client, tmp_path
):
    detectors["GANomaly"].save(tmp_path / "detector.keras")
    notes = tmp_path / "notes"
    notes.mkdir()
    client.run(_take_time, str(notes))
    whole = []
    scoring = threading.Thread(
        target=lambda: whole.append(
            spread.score_folder(
                tmp_path / "detector.keras", folder, tmp_path / "scores.csv", client, chunk_size=2
            )
        )
    )
    scoring.start()
    while len(list(notes.iterdir())) < 5:  # both are in the middle
        time.sleep(0.02)
        assert scoring.is_alive()
    workers = {int(note.name.split("-")[0]) for note in notes.iterdir()}
    assert len(workers) == 2
    last = max(notes.iterdir(), key=lambda note: int(note.name.split("-")[1]))
    killed = int(last.name.split("-")[0])
    assert not (tmp_path / "scores.csv").exists()
    os.kill(killed, signal.SIGKILL)
    scoring.join(60)
    files, images = in_one_process(detectors["GANomaly"], folder)
    (table,) = whole
    assert table["file"].tolist() == files
    np.testing.assert_allclose(
        table["score"], detectors["GANomaly"].detect(images).scores, rtol=1e-4
    )
    client.wait_for_workers(2, timeout=60)  # the nanny has started another


def _take_time(notes):
    """Make GANomaly slow in this worker; one that is started anew is as fast as ever."""
    plain = GANomaly.detect

    def detect(self, images):
        (Path(notes) / f"{os.getpid()}-{time.monotonic_ns()}").write_text(str(len(images)))
        time.sleep(0.5)
        return plain(self, images)

    GANomaly.detect = detect


def test_a_broken_image_is_named_and_nothing_is_written(detectors, client, tmp_path):
    detectors["GANomaly"].save(tmp_path / "detector.keras")
    images = tmp_path / "images"
    images.mkdir()
    for number in range(4):
        Image.fromarray(np.full((8, 8), number, "uint8")).save(images / f"{number}.png")
    (images / "2.png").write_bytes((images / "2.png").read_bytes()[:40])
    with pytest.raises(GanlibError, match=r"2\.png cannot be read"):
        spread.score_folder(
            tmp_path / "detector.keras", images, tmp_path / "scores.csv", client, chunk_size=2
        )
    assert {path.name for path in tmp_path.iterdir()} == {"detector.keras", "images"}


def test_mistakes_are_named_before_anything_is_sent(tmp_path, folder):
    (tmp_path / "none").mkdir()
    (tmp_path / "detector.keras").touch()
    for detector, where, options, message in (
        ("detector.keras", tmp_path / "none", {}, "no image in"),
        ("missing.keras", folder, {}, "no detector"),
        ("detector.keras", folder, {"chunk_size": 0}, "chunk_size is 0"),
    ):
        with pytest.raises(GanlibError, match=message):
            spread.score_folder(tmp_path / detector, where, tmp_path / "a.csv", None, **options)


def test_an_unknown_rule_is_named(folder, client, tmp_path):
    detector = GANomaly(32, 1, 6, 4, thresholds={"quantile": 1.0})
    detector.save(tmp_path / "detector.keras")
    with pytest.raises(GanlibError, match="choose one of quantile"):
        spread.score_folder(
            tmp_path / "detector.keras", folder, tmp_path / "a.csv", client, rule="best"
        )
