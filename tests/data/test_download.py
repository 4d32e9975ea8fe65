"""Downloads with Kaggle's real client from a server that behaves as Kaggle's, or as it must not."""

import contextlib
import dataclasses
import io
import os
import signal
import stat
import subprocess
import threading
import time
import zipfile
from pathlib import Path

import pytest
from kaggle_server import serving
from sets import png

from ganlib.data import ARCHIVES, locate, open_dataset
from ganlib.data import download as download_module
from ganlib.errors import GanlibError

CASTING = ARCHIVES["casting"]
COUNTS = {"train_normal": 3, "test_normal": 2, "test_anomaly": 2}
TRAIN = CASTING.folders["train_normal"][0]
IMAGES = {
    f"{CASTING.folders[part][0]}/{part}_{i}.png": png(50 * i + len(part))
    for part, count in COUNTS.items()
    for i in range(count)
}


def zipped(images=IMAGES):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in images.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    """Kaggle's endpoint on this machine, with a small archive, for a user without a login."""
    small = dataclasses.replace(CASTING, counts=COUNTS, digests={})
    monkeypatch.setitem(ARCHIVES, "casting", small)
    with serving(monkeypatch, tmp_path / "home") as server:
        server.archive = zipped()
        yield server


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "new" / "data"


def fetch(data_dir, on_message=lambda _: None):
    return open_dataset("casting", "kaggle", data_dir, on_message)


def whole(data_dir):
    """Download and see that every image came as it was sent."""
    dataset = fetch(data_dir)
    root = data_dir / CASTING.folder
    found = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
    assert {name: found[name].read_bytes() for name in IMAGES} == IMAGES
    assert (dataset.root, len(dataset.files)) == (root, len(IMAGES))
    assert [path.name for path in data_dir.iterdir()] == [CASTING.folder]
    return dataset


def refused(data_dir, silence=download_module.SILENCE_SECONDS):
    """See that a download fails with one line and leaves nothing; returns the reason."""
    with pytest.MonkeyPatch.context() as patience, pytest.raises(GanlibError) as error:
        patience.setattr(download_module, "SILENCE_SECONDS", silence)
        fetch(data_dir)
    line, *ways = str(error.value).splitlines()
    assert line.startswith(f"{CASTING.kaggle} could not be downloaded: ")
    assert len(line) < 400 and len(ways) == 3
    assert list(data_dir.iterdir()) == []
    assert locate("casting", "kaggle", data_dir) is None
    return line.partition("could not be downloaded: ")[2]


def test_a_download_takes_no_login_and_no_second_time(kaggle, data_dir):
    lines = []
    fetch(data_dir, lines.append)
    assert "downloading " + CASTING.kaggle in lines[0]
    assert lines[1].endswith("downloaded from Kaggle.")
    assert kaggle.logins == []
    paths = [address.rpartition("/")[2] for address in kaggle.asked]
    assert paths[:2] == ["GetDatasetMetadata", "DownloadDataset"]
    assert paths[2].startswith("archive.zip?X-Goog-Signature=")
    whole(data_dir)
    open_dataset("casting", "auto", data_dir, lines.append, fetch=False)
    assert len(kaggle.asked) == len(paths)


def test_a_refusal_says_what_to_do(kaggle, data_dir):
    kaggle.status, kaggle.fails_at = 403, "DownloadDataset"
    assert refused(data_dir).startswith(f"Kaggle answers 403: sign in at {CASTING.url}, accept")
    kaggle.heal()
    whole(data_dir)


def test_the_last_line_of_the_client_is_told_in_our_words():
    for said, why in (
        ("Unauthenticated", "answers 401: it requires a login"),
        ("    Save the token to ~/.kaggle/access_token\n", "answers 401: it requires a login"),
        ("Permission 'datasets.get' was denied", f"answers 403: sign in at {CASTING.url}"),
        ("You must accept the terms of this dataset.", "answers 403"),
        ("Dataset not found", f"answers 404: there is no such data set; open {CASTING.url}"),
        ("Too many requests", "answers 429: there were too many"),
        ("Internal server error", "server has failed"),
        ("403 Client Error: Forbidden for url: https://api.kaggle.com/not found/401", "403: sign"),
        ("504 Server Error: Gateway Timeout for url: https://a/accept", "server has failed"),
        ("RuntimeError: An unexpected error occurred: File 'a' is encrypted", "not a complete zip"),
        ("error occurred: [Errno 28] No space left", "files: No space left on device"),
        ("[Errno 13] Permission denied: '/data/.x/packed/x.zip'", "files: Permission denied"),
        ("ConnectionPool: [Errno 111] Connection refused", "Kaggle is unreachable"),
    ):
        told = download_module._reason(CASTING, f"Authentication required\nTraceback\n{said}")
        assert why in told


def test_a_wrong_login_and_an_answer_that_nobody_knows(kaggle, data_dir, monkeypatch):
    kaggle.status, kaggle.message = 418, "I am a teapot"
    command = f"python -m kaggle datasets download {CASTING.kaggle}."
    assert refused(data_dir) == f"Kaggle's client failed; to see its output, run {command}"
    kaggle.heal()
    kaggle.login = "me:right"
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "wrong")
    assert refused(data_dir).startswith("Kaggle answers 401: it requires a login")
    assert kaggle.logins


def test_a_server_that_never_answers_is_left_and_an_interrupt_leaves_nothing(kaggle, data_dir):
    kaggle.hangs = True
    start = time.monotonic()
    assert refused(data_dir, 1.0).startswith("Kaggle's client received nothing for 1 seconds")
    assert time.monotonic() - start < 20
    # A shell takes SIGINT from what it starts in the background.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    kaggle.hangs = True
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        fetch(data_dir)
    signal.signal(signal.SIGINT, before)
    assert list(data_dir.iterdir()) == []


def test_a_slow_client_is_not_ended_while_it_receives(kaggle, data_dir, monkeypatch):
    pieces = list(IMAGES.items())

    class Slow(contextlib.nullcontext):
        """A process that takes longer than the limit for every image."""

        def __init__(self, command, **_):
            super().__init__(self)
            self.folder, self.returncode = Path(command[-1]), None

        def poll(self):
            return self.returncode

        def wait(self, timeout):
            name, content = pieces.pop(0)
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content)
            if pieces:
                raise subprocess.TimeoutExpired("kaggle", timeout)
            self.returncode = 0

        def kill(self):
            assert self.returncode == 0

    monkeypatch.setattr(download_module.subprocess, "Popen", Slow)
    whole(data_dir)
    assert pieces == []


def flipped():
    data = zipped()
    at = data.index(b"IDAT") + 6
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


BAD = {
    "page": (lambda: b"<!DOCTYPE html>" + b" " * 999, "is not a complete zip file"),
    "half": (lambda: zipped()[: len(zipped()) // 2], "is not a complete zip file"),
    "wrong checksum": (flipped, "is not a complete zip file"),
    "file as folder": (lambda: zipped(IMAGES | {f"{min(IMAGES)}/a": b"x"}), "cannot write"),
    "an image missing": (
        lambda: zipped(dict(list(IMAGES.items())[1:])),
        "the zip file holds 2 + 2 + 2 images of casting (train_normal + test_normal + "
        f"test_anomaly), expected 3 + 2 + 2. {CASTING.url} may have a different version",
    ),
    "no images": (lambda: zipped({}), "the zip file lacks the train_normal"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_the_archive_is_refused(kaggle, data_dir, case):
    make, reason = BAD[case]
    kaggle.archive = make()
    assert reason in refused(data_dir)


def test_nothing_gets_out_of_the_folder(kaggle, data_dir):
    """Names stay within it, and what would be a link becomes a file."""
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    names = ["../../../outside.txt", "/outside.txt", "a/../../outside.txt"]
    kaggle.archive = zipped({**IMAGES, **dict.fromkeys(names, b"x"), link: b"/etc/passwd"})
    root = whole(data_dir).root
    assert (root / "link").read_bytes() == b"/etc/passwd"
    assert not (root / "link").is_symlink()
    top = data_dir.parent.parent
    assert {path.name for path in top.iterdir()} == {"home", "new"}
    assert all(path.is_relative_to(root) for path in top.rglob("outside.txt"))


def test_nothing_is_fetched_where_that_is_forbidden_or_a_folder_is_in_the_way(kaggle, data_dir):
    for data in ("auto", "kaggle", "generated"):
        message = r"no casting images .* run the notebook 00_download"
        with pytest.raises(GanlibError, match=message):
            open_dataset("casting", data, data_dir, fetch=False)
        assert not data_dir.exists()
    mine = data_dir / CASTING.folder / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(GanlibError, match="already exists and has none"):
        fetch(data_dir)
    assert mine.read_text() == "mine"
    assert kaggle.asked == []
