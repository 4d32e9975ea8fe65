"""Splits: what they promise holds for any images and any groups, and on every machine."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from refusals import refused
from sets import bare

from ganlib import data
from ganlib.data import splits
from ganlib.errors import GanlibError


@pytest.fixture
def groups(monkeypatch):

    def set_groups(of_rows):
        monkeypatch.setattr(splits, "groups_of", lambda dataset: np.asarray(of_rows))
        return np.asarray(of_rows)

    return set_groups


def test_casting_keeps_kaggles_split_cloud_holds_100_out_and_scatter_plots_show_100():
    split = data.paper_split(bare(train_normal=30, test_normal=120, test_anomaly=150))
    rows = np.split(np.arange(300), [30, 150])
    assert all(map(np.array_equal, split[:3], rows))
    assert len(split.calibration) == 0
    assert len(set(split.scatter_normal)) == len(set(split.scatter_anomaly)) == 100
    assert set(split.scatter_normal) < set(split.test_normal)
    assert set(split.scatter_anomaly) < set(split.test_anomaly)
    assert all(rows.dtype == np.int64 for rows in split)
    split = data.paper_split(bare(normal=500, anomaly=130))
    assert [len(rows) for rows in split[:3]] == [400, 100, 100]
    assert sorted([*split.train, *split.test_normal]) == list(range(500))
    assert set(split.test_anomaly) < set(range(500, 630))
    assert 200 < split.test_normal.mean() < 300  # from everywhere, not from one end
    few = data.paper_split(bare(normal=101, anomaly=40))
    assert few.scatter_anomaly.tolist() == few.test_anomaly.tolist() == list(range(101, 141))


def test_a_split_depends_on_the_seed_and_a_limit_only_takes_away():
    dataset = bare(normal=500, anomaly=130)
    for limit in (None, 7):
        first, again, other = (data.paper_split(dataset, seed, limit) for seed in (3, 3, 4))
        for rows, same, different in list(zip(first, again, other, strict=True))[:5]:
            assert rows.tolist() == same.tolist() == sorted(rows.tolist())
            assert rows.tolist() != different.tolist()
    for rows, kept in zip(data.paper_split(dataset, 3)[:3], first[:3], strict=True):
        assert len(kept) == 7
        assert set(kept) < set(rows)
    assert first.scatter_normal.tolist() == first.test_normal.tolist()
    assert all(
        map(np.array_equal, data.paper_split(dataset), data.paper_split(dataset, limit=1000))
    )
    for seed, limit in ((-1, None), (0, 0)):
        refused("limit at least 1", data.paper_split, dataset, seed, limit)


def test_a_folder_without_both_kinds_gives_no_comparison():
    good, bad = {"train_normal": 50, "test_normal": 5}, {"test_anomaly": 4}
    split = data.paper_split(bare("folder", **good, **bad))
    assert [len(rows) for rows in split[:3]] == [50, 5, 4]
    for counts in (good, {"train_normal": 50, **bad}, {"normal": 50}):
        message = r"cannot be compared.*05_your_images.*ganlib train"
        refused(message, data.paper_split, bare("folder", **counts))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(30, 150), st.integers(1, 10), st.integers(8, 60), st.integers(0, 2**32),
    st.sampled_from([None, 1, 6]),
)  # fmt: skip
def test_groups_never_straddle_and_every_image_has_one_use(images, tested, pictures, seed, limit):
    dataset = bare(train_normal=images - tested, test_normal=tested, test_anomaly=5)
    random = np.random.default_rng(seed).random(images + 5)
    groups = np.floor(random**2 * pictures).astype(int)  # some of them large
    try:
        split = data.grouped_split(dataset, groups, seed, limit)
    except GanlibError:
        assume(False)
    uses = [split.train, split.calibration, split.test_normal]
    kept, normal = np.concatenate(uses), np.arange(images)
    assert all(len(rows) and rows.tolist() == sorted(rows.tolist()) for rows in uses)
    assert sum(len(set(groups[rows])) for rows in uses) == len(set(groups[kept]))
    assert len(set(kept)) == len(kept)
    assert set(kept) <= set(normal)  # anomalies in none
    if limit is None:
        assert len(split.test_normal) in (tested, len(set(groups[split.test_normal])))
        tenth = -(-(images - tested) // 10)
        assert len(split.calibration) <= max(tenth, len(set(groups[split.calibration])))
        # What is left unused is of the groups that were held out.
        assert set(groups[normal]) == set(groups[kept])
        trains = np.isin(groups[normal], groups[split.train])
        assert split.train.tolist() == normal[trains].tolist()
        for held_out in uses[1:]:
            taken = np.bincount(groups[held_out], minlength=pictures)
            there = np.bincount(groups[normal], minlength=pictures)
            assert (taken >= np.minimum(there, taken.max() - 1))[taken > 0].all()  # evenly
    else:
        assert max(map(len, uses)) <= limit
        whole = data.grouped_split(dataset, groups, seed)
        assert all(set(few) <= set(all_) for few, all_ in zip(split, whole, strict=True))
    papers = data.paper_split(dataset, seed, limit)
    assert split.test_anomaly.tolist() == papers.test_anomaly.tolist()
    assert set(split.scatter_normal) <= set(split.test_normal)
    renamed = data.grouped_split(dataset, 1000 - 7 * groups, seed, limit)
    assert all(map(np.array_equal, split, renamed))


@pytest.mark.parametrize("seed", range(5))
def test_folds_test_every_picture_once_and_as_many_images_of_each(seed, groups):
    """18 pictures of 27 to 330 copies, as of castings: 3 tested, 4 calibrate, 11 train."""
    copies = np.geomspace(27, 330, 18).astype(int)
    of_rows = groups(np.append(np.repeat(np.arange(18), copies), np.full(9, 99)))
    dataset = bare(train_normal=copies.sum() - 216, test_normal=216, test_anomaly=9)
    folds = [data.split_dataset(dataset, name, seed) for name in splits.PROTOCOLS["kfold"]]
    tested = np.concatenate([fold.test_normal for fold in folds])
    assert np.bincount(of_rows[tested]).tolist() == [12] * 18  # the paper's 216 in all
    for fold in folds:
        pictures = [set(of_rows[rows]) for rows in (fold.test_normal, fold.calibration, fold.train)]
        assert list(map(len, pictures)) == [3, 4, 11]
        assert len(set.union(*pictures)) == 18
        assert fold.test_anomaly.tolist() == list(range(copies.sum(), copies.sum() + 9))


def test_a_giant_trains_in_all_folds_and_twelve_other_pictures_are_needed():
    dataset = bare(train_normal=90, test_normal=10, test_anomaly=5)
    groups = np.append(np.zeros(40, int), np.arange(65) % 12 + 1)
    folds = [data.kfold_split(dataset, groups, fold) for fold in range(1, 7)]
    assert [len(set(groups[split.test_normal]) - {0}) for split in folds] == [2] * 6
    assert all((groups[split.train] == 0).sum() == 40 for split in folds)
    with pytest.raises(GanlibError, match="fall into 11 groups that can be held out: 6 folds need"):
        data.kfold_split(dataset, np.minimum(groups, 11), 1)
    refused("'kfold-7'", data.split_dataset, dataset, "kfold-7")


def test_held_out_sets_are_as_large_as_the_papers_and_of_several_groups():
    dataset = bare(train_normal=500, test_normal=60, test_anomaly=9)
    sides = map(len, data.grouped_split(dataset, np.arange(569) // 5))
    assert list(sides) == [450, 60, 9, 60, 9, 50]
    split = data.grouped_split(bare(normal=720, anomaly=130), np.arange(850))
    assert [len(rows) for rows in split] == [558, 100, 100, 100, 100, 62]
    assert 200 < split.test_normal.mean() < 520  # from everywhere, not from one end
    dataset = bare(train_normal=1500, test_normal=100, test_anomaly=9)
    groups = np.arange(1609) // 100  # each of 16 is enough for the test
    for seed in range(5):
        split = data.grouped_split(dataset, groups, seed)
        assert [len(set(groups[rows])) for rows in (split[1], split[5], split[0])] == [4, 4, 8]


def test_a_split_may_use_every_group_but_the_giant():
    """Of 240 normal images a group of 80, just a third, may be held out; one of 81 trains."""
    dataset = bare(train_normal=230, test_normal=10, test_anomaly=5)
    for giant, held_out in ((80, True), (81, False)):
        groups = np.append(np.zeros(giant, int), np.arange(1, 246 - giant))
        sides = [data.grouped_split(dataset, groups, seed) for seed in range(60)]
        assert any(0 not in groups[side.train] for side in sides) == held_out
    # Three groups: the giant trains, and one each is all that can be held out.
    groups = np.repeat([0, 1, 2, 3], [200, 30, 30, 5])
    split = data.grouped_split(bare(train_normal=250, test_normal=10, test_anomaly=5), groups)
    assert set(groups[split.train]) == {0}
    assert {*groups[split.test_normal], *groups[split.calibration]} == {1, 2}
    dataset = bare(train_normal=100, test_normal=10, test_anomaly=10)
    for groups, message in (
        (np.arange(8), r"shape \(8,\), expected \(120,\)"),
        (np.zeros(120, int), "fall into 1 groups, the largest of 110"),
        (np.arange(120) // 60, "fall into 2 groups"),
    ):
        refused(message, data.grouped_split, dataset, groups)


def test_every_draw_is_the_same_on_every_machine(groups):
    dataset = bare(train_normal=900, test_normal=120, test_anomaly=150)
    for limit, expected in (
        # train, test_normal, test_anomaly, scatter_normal, scatter_anomaly, calibration
        (None, [[0, 1, 4], [3, 21, 43], [1020, 1021], [3, 21, 43], [1020, 1021, 1023], [2]]),
        (3, [[627, 752, 778], [372, 533, 687], [1063, 1076, 1166], [372], [1063], [330, 384, 659]]),
    ):
        split = data.grouped_split(dataset, np.arange(1170), limit=limit)
        found = [rows[: len(few)].tolist() for rows, few in zip(split, expected, strict=True)]
        assert found == expected
        assert all(rows.dtype == np.int64 for rows in split)
    cloud = bare(normal=1500, anomaly=150)
    assert data.paper_split(cloud).test_normal[:6].tolist() == [2, 3, 11, 13, 20, 53]
    split = data.grouped_split(bare(normal=1500, anomaly=100), np.arange(1600))
    assert split.test_normal[:6].tolist() == [21, 68, 82, 97, 98, 108]
    assert split.calibration[:6].tolist() == [2, 3, 28, 32, 40, 43]
    cloud = data.paper_split(bare(normal=300, anomaly=150), seed=5)
    assert cloud.test_anomaly[:3].tolist() == [301, 304, 305]
    table = data.to_score(dataset, data.grouped_split(dataset, np.arange(1170)))
    assert table["row"].tolist()[:4] == [0, 8, 13, 16]
    assert table.loc[table["role"] == "test", "row"].tolist()[:3] == [793, 300, 1124]
    for of_rows, expected in (np.arange(100), [13, 16, 27]), (np.zeros(100, int), [1, 10, 18]):
        groups(of_rows)
        assert data.held_out_split(bare(normal=100))[0].calibration[:3].tolist() == expected


def test_truth_is_added_to_what_is_scored_and_is_not_in_it(groups):
    dataset = bare(train_normal=900, test_normal=120, test_anomaly=150)
    of_rows = groups(np.arange(1170) // 5)
    split = data.split_dataset(dataset, "grouped")
    table = data.to_score(dataset, split)
    assert table.columns.tolist() == ["row", "role"]
    assert table["role"].value_counts().to_dict() == {"train": 100, "calibration": 90, "test": 270}
    rows = {role: part["row"].tolist() for role, part in table.groupby("role")}
    assert rows["calibration"] == split.calibration.tolist()
    assert set(rows["test"]) == {*split.test_normal, *split.test_anomaly}
    # Not in the order either: the anomalies are as early as the others.
    assert 115 < np.flatnonzero(np.array(rows["test"]) >= 1020).mean() < 155
    known = data.add_truth(dataset, split, table.assign(score=np.arange(len(table))))
    assert known[["row", "role"]].equals(table)  # the order of the scores
    assert known["score"].tolist() == list(range(len(table)))
    assert known["label"].tolist() == (known["row"] >= 1020).astype(int).tolist()
    assert known["file"].tolist() == [f"{row}.png" for row in known["row"]]
    assert known["cluster"].tolist() == of_rows[known["row"]].tolist()
    found = known.groupby("group")["row"].apply(set)
    assert found.index.tolist() == ["calibration", "test anomaly", "test normal", "train normal"]
    assert found["test anomaly"] == set(split.test_anomaly)
    assert found["test normal"] == set(split.test_normal)
    assert found["train normal"] < set(split.train)
    shown = known[known["scatter"]].groupby("group")["row"].apply(set)
    assert shown.to_dict() == {
        "train normal": found["train normal"],
        "test normal": set(split.scatter_normal),
        "test anomaly": set(split.scatter_anomaly),
    }


def test_held_out_images_have_no_copy_in_training_and_giants_train(groups):
    dataset = bare("folder", "x", train_normal=300, test_normal=20, test_anomaly=30)
    of_rows = groups(np.append(np.arange(300) // 5, 1000 + np.arange(50)))
    split, note = data.held_out_split(dataset, seed=3)
    assert len(split.calibration) == 60
    assert sorted([*split.train, *split.calibration]) == list(range(300))
    assert not set(of_rows[split.train]) & set(of_rows[split.calibration])
    assert [*split.test_normal, *split.test_anomaly] == list(range(300, 350))
    assert "60 of 300 good images" in note
    assert "no near-copies of them are in training (60 distinct pictures in all)" in note
    other = data.held_out_split(dataset, seed=4)[0]
    assert split.calibration.tolist() != other.calibration.tolist()
    assert 100 < split.calibration.mean() < 200  # from everywhere
    of_rows = groups(np.repeat([0, 1, 2, 3, 4, 5], [35, 25, 20, 10, 5, 5]))
    for seed in range(5):
        split, _ = data.held_out_split(bare(normal=100), seed=seed)
        assert set(range(35)) <= set(split.train)
        assert not set(of_rows[split.train]) & set(of_rows[split.calibration])
        assert 20 <= len(split.calibration) <= 25
    of_rows = groups(np.arange(200) // 12)  # few copies are not one witness
    for seed in range(5):
        split, _ = data.held_out_split(bare(normal=200), share=0.05, seed=seed)
        assert len(set(of_rows[split.calibration])) == 4


def test_under_a_fixed_camera_or_of_many_they_are_drawn_one_by_one(groups, monkeypatch):
    row = np.arange(100)
    for of_rows, giant in ((0 * row, 100), (np.maximum(row - 49, 0), 50), (row // 50, 100)):
        groups(of_rows)
        split, note = data.held_out_split(bare(normal=100))
        assert len(split.calibration) == 20
        assert f"drawn one by one, as {giant} of the good images are so alike" in note
        assert 30 < split.calibration.mean() < 70
    groups(np.maximum(row - 48, 0))  # a giant of 49: more than half can be told
    split, note = data.held_out_split(bare(normal=100))
    assert "no near-copies" in note
    assert set(range(49)) <= set(split.train)
    monkeypatch.setattr(splits, "groups_of", lambda _: pytest.fail("compares"))
    split, note = data.held_out_split(bare(normal=4000, test_anomaly=1001))
    assert (len(split.train), len(split.calibration)) == (3200, 800)
    assert "drawn one by one, as more than 5,000 images are not compared" in note


def test_as_many_are_held_out_as_a_threshold_needs_if_there_are_enough(groups):
    for good, share, held_out in (
        (10, 0.05, 2), (59, 0.2, 12), (60, 0.2, 19), (94, 0.2, 19), (100, 0.5, 50), (1000, 0.05, 50)
    ):  # fmt: skip
        groups(np.arange(good))
        assert len(data.held_out_split(bare(normal=good), share)[0].calibration) == held_out
    groups(np.arange(9))
    with pytest.raises(GanlibError, match=r"x has 9 good images .* at least 10"):
        data.held_out_split(bare("folder", "x", normal=9))
    for share, seed in ((0.0, 0), (0.6, 0), (0.2, -1)):
        with pytest.raises(GanlibError, match=r"share above 0 and at most 0\.5"):
            data.held_out_split(bare(normal=50), share, seed)
