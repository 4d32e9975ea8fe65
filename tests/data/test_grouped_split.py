"""The split by groups: what it promises holds for any images and any groups."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from ganlib.data import (
    Dataset,
    add_truth,
    grouped_split,
    paper_split,
    split_dataset,
    splits,
    to_score,
)
from ganlib.errors import GanlibError


def bare(name, **counts):
    """Make a Dataset of rows without files."""
    rows = [
        (f"{part}{i}", part, int(part.endswith("anomaly")), "kind")
        for part, count in counts.items()
        for i in range(count)
    ]
    files = pd.DataFrame(rows, columns=["file", "part", "label", "kind"])
    return Dataset(name, "unverified", Path(), files, dict.fromkeys(counts, "0"), (), Path())


def split_or_discard(*args):
    try:
        return grouped_split(*args)
    except GanlibError:
        assume(False)


@st.composite
def grouped(draw):
    """Draw a data set with groups of normal images, some of them large."""
    normal = draw(st.integers(30, 150))
    tested = draw(st.integers(1, 10))
    counts = {"train_normal": normal - tested, "test_normal": tested, "test_anomaly": 5}
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups = np.floor(rng.random(normal + 5) ** 2 * draw(st.integers(8, 60))).astype(int)
    return bare("casting", **counts), groups


@settings(max_examples=100, deadline=None)
@given(grouped(), st.integers(0, 99), st.sampled_from([None, 1, 6]))
def test_groups_never_straddle_and_every_image_has_one_use(case, seed, limit):
    dataset, groups = case
    split = split_or_discard(dataset, groups, seed, limit)
    uses = [split.train, split.calibration, split.test_normal]
    kept = np.concatenate(uses)
    normal = np.flatnonzero(dataset.files["label"] == 0)
    for i, rows in enumerate(uses):
        assert len(rows)
        assert rows.dtype == np.int64
        assert rows.tolist() == sorted(rows.tolist())
        for other in uses[:i]:
            assert not set(groups[rows]) & set(groups[other])
    assert len(set(kept)) == len(kept)
    assert set(kept) <= set(normal)  # anomalies in none
    if limit is None:
        tested = (dataset.files["part"] == "test_normal").sum()
        assert len(split.test_normal) in (tested, len(set(groups[split.test_normal])))
        assert len(split.calibration) <= max(
            -(-(len(normal) - tested) // 10), len(set(groups[split.calibration]))
        )
        # What is left unused is of the groups that were held out.
        assert set(groups[normal]) == set(groups[kept])
        trains = np.isin(groups[normal], groups[split.train])
        assert split.train.tolist() == normal[trains].tolist()
        for held_out in uses[1:]:
            there = {g: (groups[normal] == g).sum() for g in groups[held_out]}
            taken = {g: (groups[held_out] == g).sum() for g in there}
            most = max(taken.values())
            assert all(taken[g] >= min(there[g], most - 1) for g in there)  # evenly
    else:
        assert max(map(len, uses)) <= limit
        whole = grouped_split(dataset, groups, seed)
        assert all(set(few) <= set(all_) for few, all_ in zip(split, whole, strict=True))
    papers = paper_split(dataset, seed, limit)
    assert split.test_anomaly.tolist() == papers.test_anomaly.tolist()
    assert set(split.scatter_normal) <= set(split.test_normal)
    again = grouped_split(dataset, groups, seed, limit)
    assert all(map(np.array_equal, split, again))
    renamed = grouped_split(dataset, 1000 - 7 * groups, seed, limit)
    assert all(map(np.array_equal, split, renamed))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.005, 0.08), st.integers(0, 9))
def test_no_held_out_normal_has_a_training_image_nearer_than_the_threshold(
    points_seed, threshold, seed
):
    points = np.random.default_rng(points_seed).random((120, 2))
    groups = connected_components(cdist(points, points) < threshold, directed=False)[1]
    dataset = bare("casting", train_normal=100, test_normal=10, test_anomaly=10)
    groups = np.append(groups[:110], groups[110:])  # anomalies may lie in normals' groups
    split = split_or_discard(dataset, groups, seed)
    train, kept, tested = (
        points[rows] for rows in (split.train, split.calibration, split.test_normal)
    )
    for one, other in ((tested, train), (kept, train), (tested, kept)):
        assert cdist(one, other).min() >= threshold


def test_held_out_sets_are_as_large_as_the_papers_and_not_larger_than_needed():
    dataset = bare("casting", train_normal=500, test_normal=60, test_anomaly=9)
    split = grouped_split(dataset, np.arange(569) // 5)
    assert (len(split.test_normal), len(split.calibration), len(split.train)) == (60, 50, 450)
    cloud = bare("cloud", normal=720, anomaly=130)
    split = grouped_split(cloud, np.arange(850))
    assert (len(split.test_normal), len(split.calibration), len(split.train)) == (100, 62, 558)
    assert len(split.test_anomaly) == 100
    assert 200 < split.test_normal.mean() < 520  # from everywhere, not from one end


def test_few_large_groups_are_not_one_witness():
    dataset = bare("casting", train_normal=1500, test_normal=100, test_anomaly=9)
    groups = np.arange(1609) // 100  # each of 16 is enough for the test
    for seed in range(5):
        split = grouped_split(dataset, groups, seed)
        assert len(set(groups[split.test_normal])) == 4
        assert len(set(groups[split.calibration])) == 4
        assert len(set(groups[split.train])) == 8


def test_a_giant_group_trains():
    dataset = bare("casting", train_normal=350, test_normal=50, test_anomaly=9)
    groups = np.append(np.zeros(200, int), np.arange(1, 210))
    for seed in range(20):
        assert set(range(200)) <= set(grouped_split(dataset, groups, seed).train)


def test_seeds_draw_other_groups():
    dataset = bare("cloud", normal=300, anomaly=9)
    first, other = (grouped_split(dataset, np.arange(309), seed) for seed in (0, 1))
    assert first.test_normal.tolist() != other.test_normal.tolist()
    assert first.calibration.tolist() != other.calibration.tolist()


def test_a_split_is_the_same_on_every_machine():
    split = grouped_split(bare("cloud", normal=1500, anomaly=100), np.arange(1600))
    assert split.test_normal[:6].tolist() == [21, 68, 82, 97, 98, 108]
    assert split.calibration[:6].tolist() == [2, 3, 28, 32, 40, 43]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        # train, test_normal, test_anomaly, scatter_normal, scatter_anomaly, calibration
        (None, [[0, 1, 4], [3, 21, 43], [1020, 1021, 1022], [3, 21, 43], [1020, 1021, 1023], [2]]),
        (3, [[627, 752, 778], [372, 533, 687], [1063, 1076, 1166], [372], [1063], [330, 384, 659]]),
    ],
)
def test_every_draw_is_the_same_on_every_machine(limit, expected):
    dataset = bare("casting", train_normal=900, test_normal=120, test_anomaly=150)
    split = grouped_split(dataset, np.arange(1170), limit=limit)
    found = [rows[: len(few)].tolist() for rows, few in zip(split, expected, strict=True)]
    assert found == expected
    assert all(rows.dtype == np.int64 for rows in [*split, *paper_split(dataset)])


def test_what_is_scored_is_drawn_the_same_on_every_machine():
    dataset = bare("casting", train_normal=900, test_normal=120, test_anomaly=150)
    split = grouped_split(dataset, np.arange(1170))
    table = to_score(dataset, split)
    pd.testing.assert_frame_equal(table, to_score(dataset, split, seed=0))
    assert table["row"].tolist()[:4] == [0, 8, 13, 16]
    assert table.loc[table["role"] == "test", "row"].tolist()[:3] == [793, 300, 1124]
    cloud = paper_split(bare("cloud", normal=300, anomaly=150), seed=5)
    assert cloud.test_anomaly[:3].tolist() == [301, 304, 305]


def test_scatter_plots_show_100_of_the_images_scored(monkeypatch):
    dataset = bare("casting", train_normal=900, test_normal=120, test_anomaly=150)
    monkeypatch.setattr(splits, "groups_of", lambda of: np.arange(len(of.files)))
    split = split_dataset(dataset, "grouped")
    known = add_truth(dataset, split, to_score(dataset, split))
    shown = known[known["scatter"]].groupby("group")["row"].apply(set)
    assert shown["test normal"] == set(split.scatter_normal)
    assert shown["test anomaly"] == set(split.scatter_anomaly)
    assert known.groupby("group")["scatter"].sum().to_dict() == {
        "train normal": 100, "calibration": 0, "test normal": 100, "test anomaly": 100,
    }  # fmt: skip


def test_a_split_may_use_every_group_but_the_giant():
    """Of 240 normal images a group of 80, just a third, may be held out; one of 81 trains."""
    dataset = bare("casting", train_normal=230, test_normal=10, test_anomaly=5)
    for giant, held_out in ((80, True), (81, False)):
        groups = np.append(np.zeros(giant, int), np.arange(1, 246 - giant))
        sides = [grouped_split(dataset, groups, seed) for seed in range(60)]
        assert any(0 not in groups[side.train] for side in sides) == held_out
    # Three groups: the giant trains, and one each is all that can be held out.
    groups = np.repeat([0, 1, 2, 3], [200, 30, 30, 5])
    split = grouped_split(bare("casting", train_normal=250, test_normal=10, test_anomaly=5), groups)
    assert set(groups[split.train]) == {0}
    assert {*groups[split.test_normal], *groups[split.calibration]} == {1, 2}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(8), r"shape \(8,\), expected \(120,\)"),
        (np.zeros(120, int), "fall into 1 groups, the largest of 110"),
        (np.arange(120) // 60, "fall into 2 groups"),
    ],
)
def test_groups_that_give_no_split_are_refused(groups, message):
    dataset = bare("casting", train_normal=100, test_normal=10, test_anomaly=10)
    with pytest.raises(GanlibError, match=message):
        grouped_split(dataset, groups)
    with pytest.raises(GanlibError, match="limit is at least 1"):
        grouped_split(dataset, np.arange(120), limit=0)


def test_truth_is_added_to_what_is_scored_and_is_not_in_it(monkeypatch):
    dataset = bare("casting", train_normal=500, test_normal=60, test_anomaly=40)
    groups = np.arange(600) // 5
    monkeypatch.setattr(splits, "groups_of", lambda dataset: groups)
    split = split_dataset(dataset, "grouped")
    assert split.test_normal.tolist() == grouped_split(dataset, groups).test_normal.tolist()
    table = to_score(dataset, split)
    assert table.columns.tolist() == ["row", "role"]
    assert table["role"].value_counts().to_dict() == {"train": 100, "calibration": 50, "test": 100}
    assert table.loc[table["role"] == "calibration", "row"].tolist() == split.calibration.tolist()
    tested = table.loc[table["role"] == "test", "row"]
    assert set(tested) == {*split.test_normal, *split.test_anomaly}
    # Not in the order either: the anomalies are as early as the others.
    places = np.flatnonzero(tested >= 560)
    assert 30 < places.mean() < 70
    known = add_truth(dataset, split, table.assign(score=np.arange(len(table))))
    rows = {group: set(part["row"]) for group, part in known.groupby("group")}
    assert list(rows) == ["calibration", "test anomaly", "test normal", "train normal"]
    assert rows["test anomaly"] == set(split.test_anomaly)
    assert rows["test normal"] == set(split.test_normal)
    assert rows["train normal"] < set(split.train)
    assert known["label"].tolist() == (known["row"] >= 560).astype(int).tolist()
    assert known["cluster"].tolist() == groups[known["row"]].tolist()
    assert known["row"].tolist() == table["row"].tolist()  # the order of the arrays of scores
    assert known["score"].tolist() == list(range(len(table)))
    assert known.groupby("group")["scatter"].sum().to_dict() == {
        "train normal": 100, "calibration": 0, "test normal": 60, "test anomaly": 40,
    }  # fmt: skip


def test_protocols_have_names(monkeypatch):
    dataset = bare("cloud", normal=300, anomaly=9)
    assert all(map(np.array_equal, split_dataset(dataset, "paper", 3), paper_split(dataset, 3)))
    assert all(map(np.array_equal, split_dataset(dataset), paper_split(dataset)))
    groups = np.arange(309) // 2

    def groups_of(of):
        assert of is dataset
        return groups

    monkeypatch.setattr(splits, "groups_of", groups_of)
    for limit in (1, 7):  # the least there may be, and more
        few = split_dataset(dataset, "paper", 3, limit)
        assert all(map(np.array_equal, few, paper_split(dataset, 3, limit)))
        assert len(few.train) == limit
        few = split_dataset(dataset, "grouped", 3, limit)
        assert all(map(np.array_equal, few, grouped_split(dataset, groups, 3, limit)))
        assert len(few.calibration) == limit
    with pytest.raises(GanlibError, match="no protocol 'random'"):
        split_dataset(dataset, "random")
