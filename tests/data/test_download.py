"""Downloads with Kaggle's real client from a server that behaves as Kaggle's, or as it must not."""

import contextlib
import dataclasses
import errno
import io
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import threading
import time
import zipfile
import zlib
from collections import namedtuple
from pathlib import Path

import pytest
from kaggle_server import serving
from sets import png

from ganlib.data import ARCHIVES, locate, open_dataset
from ganlib.data import download as download_module
from ganlib.errors import GanlibError

CASTING = ARCHIVES["casting"]
COUNTS = {"train_normal": 3, "test_normal": 2, "test_anomaly": 2}
Usage = namedtuple("Usage", "total used free")
TRAIN = CASTING.folders["train_normal"][0]
IMAGES = {
    f"{CASTING.folders[part][0]}/{part}_{i}.png": png(50 * i + len(part))
    for part, count in COUNTS.items()
    for i in range(count)
}


def zipped(images=IMAGES, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
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


# A healthy server


def test_a_download_takes_no_login_and_no_second_time(kaggle, data_dir):
    lines = []
    fetch(data_dir, lines.append)
    assert "asking Kaggle for " + CASTING.kaggle in lines[0]
    assert lines[1].endswith("downloaded from Kaggle.")
    assert kaggle.logins == []
    paths = [address.rpartition("/")[2] for address in kaggle.asked]
    assert paths[:2] == ["GetDatasetMetadata", "DownloadDataset"]
    assert paths[2].startswith("archive.zip?X-Goog-Signature=")
    whole(data_dir)
    open_dataset("casting", "auto", data_dir, lines.append, fetch=False)
    assert len(kaggle.asked) == len(paths)


def test_names_in_other_scripts_and_that_differ_in_case_alone(kaggle, data_dir):
    names = ["주물 결함.png", "صب.png", "a  b 🔧.png", "Ok.png", "ok.png", " a.png", "e\u0301.png"]
    parts = [part for part, count in COUNTS.items() for _ in range(count)]
    images = {f"{CASTING.folders[part][0]}/{names.pop()}": png(len(names)) for part in parts}
    kaggle.archive = zipped(images)
    dataset = fetch(data_dir)
    assert {file: (dataset.root / file).read_bytes() for file in dataset.files["file"]} == images


# Kaggle says no

ANSWERS = {
    401: "it wants a login or does not know this one; make a token at https://www.kaggle.com",
    403: f"sign in at {CASTING.url}, accept the terms there",
    404: f"there is no such data set; open {CASTING.url}",
    429: "there were too many requests; wait some minutes",
    500: "its server has failed; try again later",
    503: "its server has failed; try again later",
}


@pytest.mark.parametrize(("status", "at"), [(403, "DownloadDataset"), (503, "archive.zip")])
def test_a_refusal_says_what_to_do(kaggle, data_dir, status, at):
    kaggle.status, kaggle.fails_at = status, at
    assert refused(data_dir).startswith(f"Kaggle answers {status}: {ANSWERS[status]}")
    kaggle.heal()
    whole(data_dir)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "Unauthenticated"),
        (401, "requests.exceptions.HTTPError: Unauthorized"),
        (403, "Permission 'datasets.get' was denied"),
        (403, "You must accept the terms of this dataset."),
        (404, "Dataset not found"),
        (429, "Too many requests"),
        (500, "Internal server error"),
        (403, "403 Client Error: Forbidden for url: https://api.kaggle.com/v1/not found/401"),
    ],
)
def test_messages_without_a_number_are_told_by_their_words(status, said):
    """Kaggle's JSON answers come out of the client as their message alone."""
    reason = download_module._reason(CASTING, "Authentication required", f"Traceback\n{said}")
    assert reason.startswith(f"Kaggle answers {status}: {ANSWERS[status]}")


def test_a_file_that_cannot_be_written_is_told():
    said = "[Errno 13] Permission denied: '/data/.x/packed/x.zip'"
    reason = download_module._reason(CASTING, "", said)
    assert reason == "Kaggle's client cannot write the file: Permission denied"


def test_a_wrong_login_and_an_answer_that_nobody_knows(kaggle, data_dir, monkeypatch):
    kaggle.status, kaggle.message = 418, "I am a teapot"
    assert refused(data_dir) == (
        "Kaggle's client failed; to read what it says, run python -m kaggle datasets download "
        f"{CASTING.kaggle}."
    )
    kaggle.heal()
    kaggle.login = "me:right"
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "wrong")
    assert refused(data_dir).startswith("Kaggle answers 401: it wants a login")
    assert kaggle.logins


# The connection


def test_no_way_to_kaggle(kaggle, data_dir, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    assert refused(data_dir).startswith("Kaggle is out of reach or the connection broke")


def test_a_server_that_never_answers_is_left(kaggle, data_dir):
    kaggle.hangs = True
    start = time.monotonic()
    assert refused(data_dir, 1.0).startswith("Kaggle's client received nothing for 1 seconds")
    assert time.monotonic() - start < 20


def test_an_interrupted_download_leaves_nothing(kaggle, data_dir):
    # A shell takes SIGINT from what it starts in the background.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    kaggle.hangs = True
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        fetch(data_dir)
    signal.signal(signal.SIGINT, before)
    assert list(data_dir.iterdir()) == []


def test_a_slow_client_is_not_ended_while_it_receives(kaggle, data_dir, monkeypatch):
    pieces = [kaggle.archive[:10], kaggle.archive[10:20], kaggle.archive[20:]]

    class Slow(contextlib.nullcontext):
        """A process that takes longer than the limit for every piece of the file."""

        def __init__(self, command, **_):
            super().__init__(self)
            self.folder, self.returncode = Path(command[-2]), None

        def poll(self):
            return self.returncode

        def wait(self, timeout):
            with (self.folder / "archive.zip").open("ab") as file:
                file.write(pieces.pop(0))
            if pieces:
                raise subprocess.TimeoutExpired("kaggle", timeout)
            self.returncode = 0

        def kill(self):
            assert self.returncode == 0

    monkeypatch.setattr(download_module.subprocess, "Popen", Slow)
    whole(data_dir)
    assert pieces == []


# What came is not the archive


def with_member(name, content=b"x", mode=stat.S_IFREG | 0o644):
    file = io.BytesIO(zipped())
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def edited(data, offset, form, value):
    """Change a field of the last member's entry in the directory of a zip file."""
    data = bytearray(data)
    struct.pack_into(form, data, data.rindex(b"PK\1\2") + offset, value)
    return bytes(data)


def liar(checksum=None):
    """A zip file whose last member is 20 MB of zeros and declares 100 bytes."""
    data = edited(with_member("zeros.bin", bytes(20_000_000)), 24, "<I", 100)
    return data if checksum is None else edited(data, 16, "<I", checksum)


def flipped():
    data = zipped()
    at = data.index(b"IDAT") + 6
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def twice():
    with pytest.warns(UserWarning, match="Duplicate name"):
        return with_member(next(iter(IMAGES)))


LINK = stat.S_IFLNK | 0o777
BAD = {
    "empty": (lambda: b"", "is not a whole zip file"),
    "page": (lambda: b"<!DOCTYPE html>" + b" " * 999, "is not a whole zip file"),
    "half": (lambda: zipped()[: len(zipped()) // 2], "is not a whole zip file"),
    "start missing": (lambda: zipped()[200:], "is not a whole zip file"),
    "wrong checksum": (flipped, "is not a whole zip file (Bad CRC-32"),
    "unknown method": (lambda: edited(with_member("a"), 10, "<H", 97), "is not a whole zip file"),
    "encrypted": (lambda: edited(with_member("a"), 8, "<H", 1), "encrypted"),
    "parent": (lambda: with_member("../../../outside.txt"), "lies outside of its folder"),
    "absolute": (lambda: with_member("/outside.txt"), "lies outside of its folder"),
    "backslashes": (lambda: with_member("..\\outside.txt"), "lies outside of its folder"),
    "drive": (lambda: with_member("C:outside.txt"), "lies outside of its folder"),
    "link": (lambda: with_member("link", b"/etc/passwd", LINK), "'link' is a link or a device"),
    "bomb": (lambda: with_member("a", bytes(20_000_000)), "would become 20.0 MB"),
    "lying bomb": (liar, "is not a whole zip file (Bad CRC-32"),
    "name twice": (twice, "holds a name twice"),
    "file as folder": (lambda: with_member(next(iter(IMAGES)) + "/a"), "[Errno"),
    "an image missing": (
        lambda: zipped(dict(list(IMAGES.items())[1:])),
        "the zip file holds 2 + 2 + 2 images of casting (train_normal + test_normal + "
        f"test_anomaly), expected 3 + 2 + 2. {CASTING.url} may hold another version",
    ),
    "other images": (lambda: zipped({"a.png": png(1)}), "the zip file lacks the train_normal"),
    "no images": (lambda: zipped({}), "the zip file lacks the train_normal"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_the_archive_is_refused(kaggle, data_dir, monkeypatch, case):
    make, reason = BAD[case]
    content, before = make(), set(data_dir.parent.parent.rglob("*"))

    def client(archive, folder):
        (folder / "a.zip").write_bytes(content)

    monkeypatch.setattr(download_module, "_run_client", client)
    assert reason in refused(data_dir)
    made = set(data_dir.parent.parent.rglob("*")) - before
    assert made == {data_dir, data_dir.parent}


def test_half_a_file_is_not_taken_for_a_whole_one(kaggle, data_dir):
    """The server says that this is all."""
    kaggle.cut_at = 700
    assert "is not a whole zip file" in refused(data_dir)


def test_a_member_that_lies_about_its_size_is_read_no_further(kaggle, data_dir):
    """Its checksum is that of the declared 100 bytes, so nothing else would stop it."""
    kaggle.archive = liar(zlib.crc32(bytes(100)))
    assert (whole(data_dir).root / "zeros.bin").read_bytes() == bytes(100)


def test_no_damage_does_more_than_be_refused(tmp_path):
    """Bytes are changed at random: what comes of it is a reason, an OSError or all files."""
    rng, data = random.Random(0), zipped(method=zipfile.ZIP_DEFLATED)
    outcomes = set()
    for number in range(200):
        changed = bytearray(data)
        for _ in range(rng.choice([1, 1, 3])):
            # Half of them in the directory, which is at the end.
            at = rng.randrange(rng.choice([0, data.index(b"PK\1\2")]), len(data))
            changed[at] = rng.randrange(256)
        folder = tmp_path / str(number)
        (folder / "packed").mkdir(parents=True)
        (folder / "packed" / "a.zip").write_bytes(changed)
        with contextlib.suppress(OSError):
            reason = download_module._unpack(folder / "packed", folder / "unpacked")
            assert "\n" not in reason
            outcomes.add(reason[:30])
        assert {path.name for path in folder.iterdir()} <= {"packed", "unpacked"}
    assert len(outcomes) > 2


# The disk


def test_a_full_disk_and_a_failed_rename_leave_nothing(kaggle, data_dir, monkeypatch):
    def full(source, target, *_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def replace(*_):
        raise OSError("cannot rename")

    for owner, name, function, message in (
        (shutil, "disk_usage", lambda _: Usage(1, 1, 1), "MB needed to unzip, 0 MB free"),
        (shutil, "copyfileobj", full, f"no space is left on the disk of {data_dir}; free"),
        (Path, "replace", replace, "cannot rename"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, function)
            assert message in refused(data_dir)
    whole(data_dir)


def test_a_disk_that_fills_up_while_downloading(kaggle, data_dir, monkeypatch):
    """The client tries again and again, and says nothing."""
    kaggle.hangs = True
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 1))
    assert refused(data_dir, 1.0).startswith(f"no space is left on the disk of {data_dir}; free")


def test_a_folder_in_the_way_is_not_touched(kaggle, data_dir):
    mine = data_dir / CASTING.folder / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(GanlibError, match="is in the way"):
        fetch(data_dir)
    assert mine.read_text() == "mine"
    assert kaggle.asked == []


@pytest.mark.parametrize("data", ["auto", "kaggle", "generated"])
def test_no_image_is_fetched_where_that_is_forbidden(kaggle, data_dir, data):
    with pytest.raises(GanlibError, match=r"no casting images .* run the notebook 00_download"):
        open_dataset("casting", data, data_dir, fetch=False)
    assert not data_dir.exists()
    assert kaggle.asked == []
