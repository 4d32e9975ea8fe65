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
import sys
import threading
import time
import zipfile
import zlib
from collections import namedtuple
from pathlib import Path

import pytest
from kaggle_server import serving
from PIL import Image

from ganlib.data import ARCHIVES, locate, open_dataset
from ganlib.data import download as download_module
from ganlib.errors import GanlibError

CASTING = ARCHIVES["casting"]
COUNTS = {"train_normal": 3, "test_normal": 2, "test_anomaly": 2}
Usage = namedtuple("Usage", "total used free")


def png(value):
    file = io.BytesIO()
    Image.new("L", (4, 4), value).save(file, "PNG")
    return file.getvalue()


IMAGES = {
    f"{CASTING.folders[part][0]}/{part}_{i}.png": png(50 * i + len(part))
    for part, count in COUNTS.items()
    for i in range(count)
}
TRAIN = CASTING.folders["train_normal"][0]


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


def fetch(data_dir):
    return open_dataset("casting", "kaggle", data_dir, on_message=lambda _: None)


def whole(data_dir):
    """Download and see that every image came as it was sent."""
    dataset = fetch(data_dir)
    root = data_dir / CASTING.folder
    found = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
    assert {name: found[name].read_bytes() for name in IMAGES} == IMAGES
    assert dataset.root == root
    assert len(dataset.files) == len(IMAGES)
    assert [path.name for path in data_dir.iterdir()] == [CASTING.folder]
    return dataset


def refused(kaggle, data_dir, again=True, silence=download_module.SILENCE_SECONDS):
    """See that a download fails with one line, leaves nothing, and succeeds the next time.

    The next time has all the patience there is: the client alone may take seconds to start.
    """
    with pytest.MonkeyPatch.context() as patience, pytest.raises(GanlibError) as error:
        patience.setattr(download_module, "SILENCE_SECONDS", silence)
        fetch(data_dir)
    line, *ways = str(error.value).splitlines()
    assert line.startswith(f"{CASTING.kaggle} could not be downloaded: ")
    assert len(line) < 400
    assert len(ways) == 3
    assert list(data_dir.iterdir()) == []
    assert locate("casting", "kaggle", data_dir) is None
    if again:
        kaggle.heal()
        kaggle.archive = zipped()
        whole(data_dir)
    return line.partition("could not be downloaded: ")[2]


# A healthy server


def test_a_download_takes_no_login_and_says_what_it_does(kaggle, data_dir):
    lines = []
    open_dataset("casting", "kaggle", data_dir, lines.append)
    assert "asking Kaggle for " + CASTING.kaggle in lines[0]
    assert lines[1].endswith("downloaded from Kaggle.")
    assert kaggle.logins == []
    paths = [address.rpartition("/")[2] for address in kaggle.asked]
    assert paths[:2] == ["GetDatasetMetadata", "DownloadDataset"]
    assert paths[2].startswith("archive.zip?X-Goog-Signature=")
    asked = len(kaggle.asked)
    whole(data_dir)
    assert len(kaggle.asked) == asked


@pytest.mark.parametrize("kept", ["environment", "kaggle.json", "token", "access_token"])
def test_every_login_of_the_client_works(kaggle, data_dir, monkeypatch, kept):
    folder = Path.home() / ".kaggle"
    kaggle.login = "s3cret-token" if "token" in kept else "me:s3cret"
    if kept == "environment":
        monkeypatch.setenv("KAGGLE_USERNAME", "me")
        monkeypatch.setenv("KAGGLE_KEY", "s3cret")
    elif kept == "kaggle.json":
        (folder / kept).write_text('{"username": "me", "key": "s3cret"}')
    elif kept == "token":
        monkeypatch.setenv("KAGGLE_API_TOKEN", "s3cret-token")
    else:
        (folder / kept).write_text("s3cret-token\n")
    whole(data_dir)
    assert kaggle.logins


@pytest.mark.parametrize("refuses_ranges", [False, True])
def test_a_connection_that_is_cut_is_taken_up_again(kaggle, data_dir, refuses_ranges):
    kaggle.cuts = [len(kaggle.archive) // 2]
    kaggle.refuses_ranges = refuses_ranges
    whole(data_dir)
    assert sum("archive.zip" in address for address in kaggle.asked) == 2


def test_names_in_other_scripts_and_with_blanks(kaggle, data_dir):
    names = [
        "주물 결함 1.png",
        "деталь №2.png",
        "鋳物 3.png",
        "صب.png",
        "e\u0301.png",
        "a  b 🔧.png",
    ]
    images = {f"{CASTING.folders[part][0]}/{names.pop()}": png(9) for part in COUNTS for _ in "12"}
    images[f"{TRAIN}/ last.png"] = png(10)
    kaggle.archive = zipped(images)
    dataset = fetch(data_dir)
    assert set(dataset.files["file"]) == set(images)
    assert all((dataset.root / name).read_bytes() == images[name] for name in images)


# Kaggle says no

ANSWERS = {
    401: "it wants a login or does not know this one; make a token at https://www.kaggle.com",
    403: f"sign in at {CASTING.url}, accept the terms there",
    404: f"there is no such data set; open {CASTING.url}",
    429: "there were too many requests; wait some minutes",
    500: "its server has failed; call again later",
    503: "its server has failed; call again later",
}
CALLS = ("GetDatasetMetadata", "DownloadDataset", "archive.zip")


@pytest.mark.parametrize(
    ("status", "at"),
    [*zip(ANSWERS, CALLS * 2, strict=True), (403, "archive.zip"), (500, "archive.zip")],
)
def test_a_refusal_says_what_to_do(kaggle, data_dir, status, at):
    kaggle.status, kaggle.fails_at = status, at
    assert refused(kaggle, data_dir).startswith(f"Kaggle answers {status}: {ANSWERS[status]}")


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
        (0, "[Errno 13] Permission denied: '/data/.x/packed/x.zip'"),
    ],
)
def test_messages_without_a_number_are_told_by_their_words(status, said):
    """Kaggle's JSON answers come out of the client as their message alone."""
    reason = download_module._reason(CASTING, "Authentication required", f"Traceback\n{said}")
    if status:
        assert reason.startswith(f"Kaggle answers {status}: ")
    else:
        assert reason == "Kaggle's client cannot write the file: Permission denied"


def test_no_login_and_a_wrong_one(kaggle, data_dir, monkeypatch):
    kaggle.login = "me:right"
    assert refused(kaggle, data_dir).startswith("Kaggle answers 401: it wants a login")
    shutil.rmtree(data_dir)
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "wrong")
    kaggle.login = "me:right"
    assert refused(kaggle, data_dir).startswith("Kaggle answers 401: it wants a login")
    assert kaggle.logins


def test_an_answer_that_nobody_knows_tells_how_to_read_it(kaggle, data_dir):
    kaggle.status, kaggle.message = 418, "I am a teapot"
    assert refused(kaggle, data_dir) == (
        "Kaggle's client failed; to read what it says, run python -m kaggle datasets download "
        f"{CASTING.kaggle}."
    )


# The connection


def test_no_way_to_kaggle(kaggle, data_dir, monkeypatch):
    with monkeypatch.context() as away:
        away.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
        with pytest.raises(GanlibError, match="Kaggle is out of reach or the connection broke"):
            fetch(data_dir)
    assert list(data_dir.iterdir()) == []
    whole(data_dir)


def test_a_server_that_never_answers_is_left(kaggle, data_dir, monkeypatch):
    monkeypatch.setattr(download_module, "SILENCE_SECONDS", 1.0)
    kaggle.hangs = True
    start = time.monotonic()
    with pytest.raises(GanlibError, match="received nothing for 1 seconds; check the network"):
        fetch(data_dir)
    assert time.monotonic() - start < 20
    assert list(data_dir.iterdir()) == []


def test_a_connection_that_is_always_cut_is_given_up(kaggle, data_dir):
    """The client tries for a minute; what it has then is no archive."""
    kaggle.cuts = [100] * 100
    reason = refused(kaggle, data_dir, silence=1.5)
    assert reason.startswith("Kaggle's client received nothing for")


@pytest.mark.torture
def test_the_client_gives_up_by_itself(kaggle, data_dir):
    kaggle.cuts = [100] * 100
    reason = refused(kaggle, data_dir, silence=120.0)  # it tries for a minute
    assert reason.startswith("Kaggle is out of reach or the connection broke")


@pytest.fixture
def interruptible():
    """Have SIGINT interrupt, which a shell takes from what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_download_leaves_nothing(kaggle, data_dir, interruptible):
    kaggle.hangs = True
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fetch(data_dir)
    assert list(data_dir.iterdir()) == []
    kaggle.heal()
    whole(data_dir)


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
    "noise": (lambda: random.Random(0).randbytes(5000), "is not a whole zip file"),
    "half": (lambda: zipped()[: len(zipped()) // 2], "is not a whole zip file"),
    "end missing": (lambda: zipped()[:-10], "is not a whole zip file"),
    "start missing": (lambda: zipped()[200:], "is not a whole zip file"),
    "wrong checksum": (flipped, "is not a whole zip file (Bad CRC-32"),
    "unknown method": (lambda: edited(with_member("a"), 10, "<H", 97), "is not a whole zip file"),
    "parent": (lambda: with_member("../../../outside.txt"), "lies outside of its folder"),
    "parent within": (lambda: with_member("a/../../outside.txt"), "lies outside of its folder"),
    "absolute": (lambda: with_member("/outside.txt"), "lies outside of its folder"),
    "backslashes": (lambda: with_member("..\\outside.txt"), "lies outside of its folder"),
    "drive": (lambda: with_member("C:outside.txt"), "lies outside of its folder"),
    "link": (lambda: with_member("link", b"/etc/passwd", LINK), "'link' is a link or a device"),
    "pipe": (lambda: with_member("p", b"", stat.S_IFIFO | 0o644), "'p' is a link or a device"),
    "encrypted": (lambda: edited(with_member("a"), 8, "<H", 1), "'a' asks for a password"),
    "bomb": (lambda: with_member("a", bytes(20_000_000)), "would become 20.0 MB"),
    "lying bomb": (liar, "is not a whole zip file (Bad CRC-32"),
    "huge": (lambda: edited(with_member("a"), 24, "<I", 4_000_000_000), "would become 4000.0 MB"),
    "name twice": (twice, "twice, as the disk here tells names apart"),
    "file as folder": (lambda: with_member(next(iter(IMAGES)) + "/a"), "twice, as the disk"),
    "long name": (lambda: with_member("a" * 300), "File name too long"),
    "an image missing": (
        lambda: zipped(dict(list(IMAGES.items())[1:])),
        "the zip file holds 2 + 2 + 2 images of casting (train_normal + test_normal + "
        f"test_anomaly), expected 3 + 2 + 2. {CASTING.url} may hold another version",
    ),
    "other images": (lambda: zipped({"a.png": png(1)}), "the zip file lacks the train_normal"),
    "no images": (lambda: zipped({}), "the zip file lacks the train_normal"),
}


# Nothing is left of any: that a download after it succeeds, and cases that are much like others,
# are for the long form.
LIKE_OTHERS = {"noise", "end missing", "parent within", "drive", "pipe", "huge", "no images"}
CASES = [pytest.param(c, False, id=c) for c in BAD if c not in LIKE_OTHERS] + [
    pytest.param(c, True, id=f"{c}, again", marks=pytest.mark.torture) for c in BAD
]


@pytest.mark.parametrize(("case", "again"), CASES)
def test_what_is_not_the_archive_is_refused(kaggle, data_dir, case, again):
    make, reason = BAD[case]
    kaggle.archive = make()
    before = set(data_dir.parent.parent.rglob("*"))
    assert reason in refused(kaggle, data_dir, again)
    made = set(data_dir.parent.parent.rglob("*")) - before
    inside = (data_dir, Path.home())
    assert all(any(p.is_relative_to(i) or i.is_relative_to(p) for i in inside) for p in made)


@pytest.mark.parametrize("length", [0, 700])
def test_half_a_file_is_not_taken_for_a_whole_one(kaggle, data_dir, length):
    """The server says that this is all, or does not say how much there is."""
    kaggle.whole_is, kaggle.cuts = length, [700]
    assert "is not a whole zip file" in refused(kaggle, data_dir)


def test_a_member_that_lies_about_its_size_is_read_no_further(kaggle, data_dir):
    """Its checksum is that of the declared 100 bytes, so nothing else would stop it."""
    kaggle.archive = liar(zlib.crc32(bytes(100)))
    dataset = whole(data_dir)
    assert (dataset.root / "zeros.bin").read_bytes() == bytes(100)


def test_names_that_differ_in_case_alone(kaggle, data_dir, tmp_path):
    """Two files, or a refusal where the disk knows only one: never one for two."""
    images = dict(list(IMAGES.items())[2:])
    images |= {f"{TRAIN}/Ok.png": png(1), f"{TRAIN}/ok.png": png(2)}
    (tmp_path / "CASE").touch()
    kaggle.archive = zipped(images)
    if (tmp_path / "case").exists():
        assert "twice, as the disk" in refused(kaggle, data_dir)
    else:
        files = fetch(data_dir)
        assert {name: (files.root / name).read_bytes() for name in images} == images


def test_no_damage_does_more_than_be_refused(tmp_path):
    """Bytes are changed at random: what comes of it is a reason, an OSError or all files."""
    rng, data = random.Random(0), zipped(method=zipfile.ZIP_DEFLATED)
    outcomes = set()
    for number in range(400):
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
    assert len(outcomes) > 3


# The disk


def test_a_full_disk_is_seen_before_unzipping(kaggle, data_dir, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 1))
        with pytest.raises(GanlibError, match="MB needed to unzip, 0 MB free"):
            fetch(data_dir)
    assert list(data_dir.iterdir()) == []
    whole(data_dir)


def test_a_disk_that_fills_up_while_unzipping(kaggle, data_dir, monkeypatch):
    def copy(source, target):
        if "test_anomaly" in target.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        target.write(source.read())

    with monkeypatch.context() as full:
        full.setattr(shutil, "copyfileobj", copy)
        with pytest.raises(GanlibError, match=f"no space is left on the disk of {data_dir}; free"):
            fetch(data_dir)
    assert list(data_dir.iterdir()) == []
    whole(data_dir)


def test_a_disk_that_fills_up_while_downloading(kaggle, tmp_path):
    """A small file system in memory, where one may be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path / "disk")]
    (tmp_path / "disk").mkdir()
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        kaggle.archive = zipped({**IMAGES, "large.bin": bytes(2_000_000)})
        # Long enough for the client to start and to fill the disk on a busy machine.
        reason = refused(kaggle, tmp_path / "disk", silence=6.0)
        assert reason.startswith(f"no space is left on the disk of {tmp_path / 'disk'}; free some")
    finally:
        subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def test_a_download_appears_by_one_rename(kaggle, data_dir, monkeypatch):
    def replace(*_):
        raise OSError("cannot rename")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", replace)
        with pytest.raises(GanlibError, match="cannot rename"):
            fetch(data_dir)
    assert list(data_dir.iterdir()) == []
    whole(data_dir)


def test_a_folder_in_the_way_is_not_touched(kaggle, data_dir):
    mine = data_dir / CASTING.folder / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(GanlibError, match="is in the way"):
        fetch(data_dir)
    assert mine.read_text() == "mine"
    assert kaggle.asked == []


def test_the_command_line_is_the_clients(tmp_path):
    command = download_module._command(CASTING, tmp_path)
    assert command[:5] == [sys.executable, "-m", "kaggle", "datasets", "download"]
    assert command[5] == CASTING.kaggle
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    for option in (word for word in command if word.startswith("--")):
        assert option in shown


# Without the network


@pytest.mark.parametrize("data", ["auto", "kaggle", "generated"])
def test_no_image_is_fetched_where_that_is_forbidden(kaggle, data_dir, data):
    with pytest.raises(GanlibError, match=r"no casting images .* run the notebook 00_download"):
        open_dataset("casting", data, data_dir, fetch=False)
    assert not data_dir.exists()
    assert kaggle.asked == []


def test_images_that_are_there_need_no_network(kaggle, data_dir):
    fetched = fetch(data_dir)
    asked = len(kaggle.asked)
    dataset = open_dataset("casting", "auto", data_dir, lambda _: None, fetch=False)
    assert dataset.digest == fetched.digest
    assert len(kaggle.asked) == asked
