"""Protocols of named photos, and the classic one, against what their authors' programs do."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.evaluation.evaluation import retrieval_scores, right_among_first
from rrtool.errors import UsageError
from rrtool.ground_truth import load, resolve
from tests.ground_truth.test_ground_truth import ids
from tests.shared_data import ROOT, needs_shared_data


def ranked(rng, n_queries, n):
    return np.stack([rng.permutation(n) for _ in range(n_queries)])


def mean_ap(source, queries, database, ranks):
    """By setup."""
    setups = resolve(load(source), queries, database)
    return {
        setup: retrieval_scores(ranks, truths, protocol=source, setup=setup).mean_average_precision
        for setup, truths in setups.items()
    }


def trapezoids(ranks, n_positives):
    """``score_ap_from_ranks_1`` of the authors of Holidays and Copydays."""
    ap, step = 0.0, 1.0 / n_positives
    for n_true, rank in enumerate(ranks):
        before = 1.0 if rank == 0 else n_true / rank
        ap += (before + (n_true + 1) / (rank + 1)) * step / 2.0
    return ap


def test_holidays_equals_the_authors_script():
    rng = np.random.default_rng(0)
    names = [f"jpg/{100000 + 100 * group + i}.jpg" for group in range(6)
             for i in range(int(rng.integers(2, 5)))]  # fmt: skip
    names += ["other/im17.jpg", "other/1234567.jpg"]
    names = [names[i] for i in rng.permutation(len(names))]
    ranks = ranked(rng, len(names), len(names))

    truth = {}  # as get_groundtruth() of holidays_map.py, from a list in the order of the names
    for name in sorted(name for name in names if name.startswith("jpg")):
        number = int(name[4:-4])
        if number % 100 == 0:
            found = truth[name] = set()
        else:
            found.add(name)
    total = 0.0
    for name, positives in truth.items():
        true_ranks, shift = [], 0
        for rank, row in enumerate(ranks[names.index(name)]):
            if names[row] == name:
                shift = -1
            elif names[row] in positives:
                true_ranks.append(rank + shift)
        total += trapezoids(true_ranks, len(positives))
    found = mean_ap("holidays", names, names, ranks)
    assert found["all"] == pytest.approx(total / len(truth), rel=0, abs=1e-12)


def test_holidays_hand_worked():
    told = []
    names = ["100000.jpg", "100001.jpg", "100101.jpg", "im1.jpg"]
    truths = resolve(load("holidays"), names, names, tell=told.append)["all"]
    assert ids(truths)[0] == ([1], [0])
    assert [truth.is_query for truth in truths] == [True, False, False, False]
    assert told == ["holidays: 1 of 4 images are queries by their names"]


@pytest.mark.parametrize("database_holds", ["originals", "copies too"])
def test_copydays_equals_the_published_evaluation(database_holds):
    """Each block's queries against the originals and distractors, by the first four signs."""
    rng = np.random.default_rng(1)
    originals = [f"original/{2000 + i}00.jpg" for i in range(7)]
    blocks = {
        "strong": [f"strong/{2000 + i}{j:02d}.jpg" for i in range(7) for j in range(1, 3)],
        "crops 10": [f"crops/10/{2000 + i}00.jpg" for i in range(7)],
        "crops 8": [f"crops/8/{2000 + i}00.jpg" for i in range(7)],
        "jpegqual 75": [f"jpegqual/75/{2000 + i}00.jpg" for i in range(7)],
    }
    queries = [name for names in blocks.values() for name in names] + originals
    others = ["flickr/200000.jpg", "flickr/a.jpg"]
    database = originals + others + (queries[:9] if database_holds == "copies too" else [])
    ranks = ranked(rng, len(queries), len(database))
    found = mean_ap("copydays", queries, database, ranks)
    assert list(found) == ["crops 8", "crops 10", "jpegqual 75", "strong"]
    for block, names in blocks.items():
        total = 0.0
        for name in names:
            # Copies in the database are none of the published one: the list without them.
            row = [i for i in ranks[queries.index(name)] if i < len(originals) + len(others)]
            prefix = name.split("/")[-1][:4]
            positives = [j for j, o in enumerate(originals) if o.split("/")[-1][:4] == prefix]
            total += trapezoids([r for r, i in enumerate(row) if i in positives], len(positives))
        assert found[block] == pytest.approx(total / len(names), rel=0, abs=1e-12)


def test_ukbench_counts_how_many_of_the_four_come_first():
    rng = np.random.default_rng(2)
    names = [f"full/ukbench{i:05d}.jpg" for i in range(24)]
    ranks = ranked(rng, len(names), len(names))
    ranks[0] = [3, 1, 0, 2, *range(4, 24)]  # all four, the query third
    (truths,) = load("ukbench").resolve(names, names).values()
    expected = [
        sum(row // 4 == query // 4 for row in ranks[query, :4].tolist()) for query in range(24)
    ]
    assert expected[0] == 4
    assert right_among_first(ranks, truths, 4).tolist() == expected
    assert ids(truths)[5] == ([4, 5, 6, 7], [])


@pytest.mark.parametrize(
    ("source", "example"),
    [("holidays", "100000.jpg"), ("copydays", "strong/200001.jpg"), ("ukbench", "ukbench00000")],
)
def test_other_names_are_an_error_that_shows_what_they_should_be(source, example):
    with pytest.raises(UsageError, match=rf"{source} by its name.*{example}.*found 'a_1.jpg'"):
        resolve(load(source), ["a_1.jpg"], ["a_1.jpg"])
    assert load(source, source).describe()["protocol"] == source
    with pytest.raises(UsageError, match="not of the protocol"):
        load(source, "groups")
    assert resolve(load(source), [], ["a.jpg"]) == {}


@needs_shared_data
def test_oxford5k_scores_are_those_of_the_released_program():
    """``compute_ap.cpp``, which reads the lists itself, on the photos that are here and others."""
    folder = ROOT / "gnd" / "oxford5k_gt_files"
    images = ROOT / "retrieval" / "oxford5k_subset" / "images"
    database = sorted(path.name for path in images.iterdir()) + [f"other_{i}.jpg" for i in range(9)]
    source = load(str(folder))
    queries = source.queries
    rng = np.random.default_rng(3)
    ranks = ranked(rng, len(queries), len(database))
    (truths,) = source.resolve(
        [query.image for query in queries], database, [query.box for query in queries]
    ).values()
    found = retrieval_scores(ranks, truths, protocol="", setup="").average_precisions

    def names_in(title, *lists):
        lines = [(folder / f"{title}_{x}.txt").read_text().split() for x in lists]
        return {f"{name}.jpg" for part in lines for name in part} & set(database)

    n_scored = 0
    for query, row, average_precision in zip(queries, ranks, found, strict=True):
        positives, ignored = names_in(query.title, "good", "ok"), names_in(query.title, "junk")
        if not positives:
            assert np.isnan(average_precision)
            continue
        n_scored += 1
        ap, old_recall, old_precision, n_found, n_seen = 0.0, 0.0, 1.0, 0, 0
        for name in (database[i] for i in row):
            if name in ignored:
                continue
            n_found += name in positives
            n_seen += 1
            recall, precision = n_found / len(positives), n_found / n_seen
            ap += (recall - old_recall) * (old_precision + precision) / 2
            old_recall, old_precision = recall, precision
        assert average_precision == pytest.approx(ap, rel=0, abs=1e-12)
    assert n_scored > 20
