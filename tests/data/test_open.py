"""The archives: which images are taken, which are refused, and what is said of them."""

import dataclasses
import hashlib
import os
import shutil

import pytest
from refusals import refused
from sets import COUNTS, ENDS, fill, make_casting, make_cloud, opened, png

from ganlib.data import ARCHIVES, load_images, locate, open_dataset
from ganlib.data import open as open_module
from ganlib.data.dataset import digest_of
from ganlib.errors import GanlibError

REAL_IMAGES = os.environ.get("GANLIB_DATA")
CASTING = ARCHIVES["casting"]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Keep the tests off the network, the generator and the user's own images."""
    monkeypatch.delenv("GANLIB_DATA", raising=False)
    monkeypatch.setattr(open_module, "download", lambda *_: pytest.fail("downloads"))
    monkeypatch.setattr(open_module, "write_dataset", lambda *_: pytest.fail("generates"))


@pytest.fixture
def tiny(monkeypatch):
    """Make casting an archive of 5 + 3 + 4 images without known digests."""
    archive = dataclasses.replace(CASTING, counts=COUNTS, digests={})
    monkeypatch.setitem(ARCHIVES, "casting", archive)
    return archive


def make_generated(root):
    make_casting(root)
    (root / "GENERATED.txt").write_text("generated")
    return root


@pytest.mark.parametrize("nesting", ["casting_data/casting_data", "casting_data", "."])
def test_the_parts_are_found_at_every_nesting_and_nothing_else(tiny, tmp_path, nesting):
    files = opened("casting", tmp_path, make_casting(tmp_path / "x", nesting)).files
    prefix = "" if nesting == "." else nesting + "/"
    assert list(files) == ["file", "part", "label", "kind"]
    assert files["file"].tolist() == [
        f"{prefix}{end}/{part}_{n}.png" for part, end in ENDS.items() for n in range(COUNTS[part])
    ]
    assert files["part"].tolist() == [part for part in COUNTS for _ in range(COUNTS[part])]
    assert files["label"].tolist() == [0] * 8 + [1] * 4
    assert files["kind"].tolist() == ["normal"] * 8 + ["anomaly"] * 4


def test_kinds_come_from_the_table_and_only_for_anomalies(tiny, tmp_path):
    make_casting(tmp_path)
    (tmp_path / "any_kinds.csv").write_text(
        "file,kind\ntest_anomaly_2.png,hole\ntest_anomaly_0.png,NA\ntest_normal_0.png,scratch\n"
    )
    kinds = opened("casting", tmp_path, tmp_path).files["kind"]
    assert kinds.tolist() == ["normal"] * 8 + ["NA", "anomaly", "hole", "anomaly"]
    for text in ("", "name,kind\na,b\n"):
        (tmp_path / "any_kinds.csv").write_text(text)
        refused(r"any_kinds\.csv.*columns file,kind", opened, "casting", tmp_path, tmp_path)


def test_digests_are_the_documented_ones_of_names_and_bytes_alone(tmp_path):
    root = make_cloud(tmp_path / "x", 101, 0)
    fill(root / "cloud/cloud", ["b.png"], 1)
    fill(root / "cloud/cloud", ["a.png"], 2)
    first = opened("cloud", tmp_path, root)
    content = b"".join(
        name + b"\0" + str(len(png(level))).encode() + b"\0" + png(level)
        for name, level in ((b"a.png", 2), (b"b.png", 1))
    )
    assert first.digests["anomaly"] == hashlib.sha256(content).hexdigest()
    assert first.digest == digest_of(first.digests)

    (root / "cloud/cloud").rename(root / "x")
    shutil.rmtree(root / "cloud")
    (root / "x").rename(root / "cloud")
    assert opened("cloud", tmp_path, root).digest == first.digest
    (root / "cloud/a.png").write_bytes(png(3))
    assert opened("cloud", tmp_path, root).digest != first.digest
    (root / "cloud/a.png").write_bytes(png(2))
    (root / "cloud/a.png").rename(root / "cloud/c.png")
    renamed = opened("cloud", tmp_path, root).digests
    assert [p for p in renamed if renamed[p] != first.digests[p]] == ["anomaly"]


def test_only_the_known_digests_are_kaggle(tiny, monkeypatch, tmp_path):
    make_casting(tmp_path)
    unknown = opened("casting", tmp_path, tmp_path)
    assert unknown.source == "unverified"
    assert unknown.caption.endswith("images in Kaggle's layout, Kaggle's digest not on record")

    known = dataclasses.replace(tiny, digests=unknown.digests)
    monkeypatch.setitem(ARCHIVES, "casting", known)
    dataset = opened("casting", tmp_path, tmp_path)
    assert (dataset.source, dataset.notes) == ("kaggle", ())
    assert dataset.caption == "casting, Kaggle images (digest verified)"

    path = tmp_path / "casting_data/casting_data/test/def_front/test_anomaly_0.png"
    path.write_bytes(png(123))
    dataset = opened("casting", tmp_path, tmp_path)
    assert dataset.source == "unverified"
    assert dataset.caption == "casting: 5 + 3 + 4 images in Kaggle's layout, digest is not Kaggle's"
    (note,) = dataset.notes
    assert "of test_anomaly differ" in note


def test_a_folder_is_the_archive_or_holds_it_and_has_to_exist(tiny, monkeypatch, tmp_path):
    for function in (open_dataset, locate):
        refused(r"'clouds'.*casting, cloud", function, "clouds")
        with pytest.raises(GanlibError, match=r"no/where is not a folder.* generated"):
            function("casting", "no/where", data_dir=tmp_path)
        with pytest.raises(
            GanlibError, match=r"does not contain the casting images.*train/ok_front"
        ):
            function("casting", tmp_path, data_dir=tmp_path)
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path / "typo"))
    refused(r"typo is not a folder.*GANLIB_DATA", locate, "casting", data_dir=tmp_path)
    root = make_casting(tmp_path / "here" / tiny.folder)
    for data in (root, tmp_path / "here", str(tmp_path / "here")):
        assert opened("casting", tmp_path, data).root == root == locate("casting", data)


def test_missing_and_empty_parts_and_other_counts_are_refused(tiny, tmp_path):
    folder = make_casting(tmp_path) / "casting_data/casting_data/test/def_front"
    for file in folder.iterdir():
        file.unlink()
    refused(r"test/def_front has no images.*Expected 4", opened, "casting", tmp_path, tmp_path)
    folder.rmdir()
    refused(r"lacks the test_anomaly images.*test/def_front", opened, "casting", tmp_path, tmp_path)
    for n in (2, 4):
        root = make_casting(tmp_path / f"{n}", counts=COUNTS | {"test_normal": n})
        message = rf"5 \+ {n} \+ 4 .* 5 \+ 3 \+ 4\. Unzip"
        refused(message, opened, "casting", tmp_path, root)


def test_a_smaller_cloud_is_a_stand_in_that_says_so_unless_it_is_generated(tmp_path):
    dataset = opened("cloud", tmp_path, make_cloud(tmp_path / "x", 101, 1))
    assert dataset.source == "unverified"
    assert dataset.caption == (
        "cloud stand-in: 101 + 1 images in Kaggle's layout, not Kaggle's 1500 + 100"
    )
    (note,) = dataset.notes
    assert "101 + 1 images are a stand-in" in note
    (tmp_path / "x/noncloud/noncloud/000.png").unlink()
    refused(r"100 \+ 1 images.*more than 100 normal", opened, "cloud", tmp_path, tmp_path / "x")
    make_cloud(tmp_path / "y", 101, 1)
    (tmp_path / "y/GENERATED.txt").write_text("generated")
    with pytest.raises(GanlibError, match=r"101 \+ 1 images.*expected 1500 \+ 100.*Delete"):
        opened("cloud", tmp_path, tmp_path / "y")


def test_auto_takes_the_best_there_is_and_says_so(tiny, monkeypatch, tmp_path):
    """Start with everything there and take away one place after the other."""
    data_dir, named = tmp_path / "data", tmp_path / "named"
    monkeypatch.setenv("GANLIB_DATA", str(named))
    places = [
        (make_casting(data_dir / tiny.folder), "unverified", f"real images found in {data_dir}"),
        (make_casting(named / tiny.folder), "unverified", "real images found in GANLIB_DATA"),
        (make_generated(data_dir / "generated" / tiny.folder), "generated", "no real images"),
    ]
    for root, source, why in places:
        lines = []
        dataset = open_dataset("casting", "auto", data_dir, lines.append)
        assert (dataset.root, dataset.source, dataset.cache_dir) == (root, source, data_dir)
        (line,) = lines
        assert why in line and dataset.caption in line
        assert locate("casting", "auto", data_dir) == root
        shutil.rmtree(root)
    assert locate("casting", "auto", data_dir) is None

    def download(archive, folder, check):
        return make_casting(folder / archive.folder)

    monkeypatch.setattr(open_module, "download", download)
    dataset = open_dataset("casting", "auto", data_dir, lines.append)
    assert dataset.root == data_dir / tiny.folder
    assert "downloaded from Kaggle" in lines[-1]


def test_auto_generates_when_kaggle_does_not_let_in(tiny, monkeypatch, tmp_path):
    def download(*_):
        raise GanlibError("Kaggle is away.\nLog in so and so")

    monkeypatch.setattr(open_module, "download", download)
    monkeypatch.setattr(open_module, "write_dataset", lambda name, root: make_generated(root))
    lines = []
    dataset = open_dataset("casting", data_dir=tmp_path, on_message=lines.append)
    assert dataset.root == tmp_path / "generated" / tiny.folder
    assert (dataset.source, dataset.caption) == ("generated", "GENERATED images (casting-like)")
    assert "newly generated, Kaggle is away." in lines[-1]
    assert "Log in" not in "".join(lines)
    refused("Log in", opened, "casting", tmp_path, "kaggle")


def test_generated_and_kaggle_are_never_taken_for_each_other(tiny, monkeypatch, tmp_path):
    make_casting(tmp_path / "d" / tiny.folder)
    assert locate("casting", "generated", tmp_path / "d") is None
    calls = []
    monkeypatch.setattr(
        open_module, "write_dataset", lambda name, root: calls.append(make_generated(root))
    )
    first = opened("casting", tmp_path, "generated")
    assert first.source == "generated"
    assert opened("casting", tmp_path, "generated").digest == first.digest
    assert calls == [first.root] == [locate("casting", "generated", tmp_path / "d")]

    shutil.rmtree(tmp_path / "d" / tiny.folder)
    shutil.copytree(first.root, tmp_path / "d" / tiny.folder)
    assert locate("casting", "kaggle", tmp_path / "d") is None
    assert opened("casting", tmp_path, tmp_path / "d" / tiny.folder).source == "generated"


@pytest.mark.skipif(not REAL_IMAGES, reason="GANLIB_DATA names no folder with the real images")
def test_the_real_images_are_recognised(monkeypatch, tmp_path):
    monkeypatch.setenv("GANLIB_DATA", REAL_IMAGES)
    casting = opened("casting", tmp_path, "kaggle")
    assert (casting.source, casting.notes) == ("kaggle", ())
    assert casting.files["part"].value_counts().to_dict() == CASTING.counts
    images = load_images(casting, 64, 1)
    assert images.shape == (3590, 64, 64, 1)
    # Defects are darker than normal castings; a resize that loses the brightness loses that too.
    means = images.mean((1, 2, 3))
    test, anomaly = (
        means[casting.files["part"] == part] for part in ("test_normal", "test_anomaly")
    )
    assert (test[:, None] > anomaly).mean() == pytest.approx(0.866, abs=0.005)
