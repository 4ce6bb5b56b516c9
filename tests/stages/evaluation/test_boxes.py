"""evaluate with true boxes: regions of verified hits, objects; saliency is in test_saliency."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import Evaluation, Objects, Ranking, open_artifact
from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.errors import UsageError
from rrtool.stages.evaluation.verified_regions import VerifiedRegions
from tests.made_chain import GROUPS
from tests.stages.damaging import damaged
from tests.tiny import assert_done, assert_fails
from tests.tiny import rrtool as run

# --- regions of verified hits --------------------------------------------------------------------


def verified_regions(transform: Any, scale_pair: tuple[int, int] = (0, 1)) -> VerifiedRegions:
    """One query of 10 × 5 cells, and images of which 1 has 20 × 10 cells in 400 × 200 pixels."""
    empty = np.full((2, 3), np.nan)
    ranking: Any = SimpleNamespace(
        path="r.h5", query_names=["q"], database_names=["a", "b"], n_verified=2,
        ids=np.array([[1, 0]]), scale_pairs=np.array([[scale_pair, (-1, -1)]]),
        transforms=np.array([[transform, empty]]), offsets=np.array([0, 2, 2]),
        inliers=np.array([[0, 2], [1, 0]]),
    )  # fmt: skip
    query: Any = SimpleNamespace(names=["q"], path="q.h5", map_sizes=np.array([[[10, 5], [7, 4]]]))
    features = SimpleNamespace(
        means=np.array([[4.5, 1.5], [0, 0], [9.5, 3.5]]),
        covariances=np.array([[0.25, 0, 1.0], [1, 0, 1], [0.25, 0, 1.0]]),
    )
    database: Any = SimpleNamespace(
        names=["a", "b"], path="d.h5", map_sizes=np.array([[[9, 9], [9, 9]], [[40, 20], [20, 10]]]),
        boxes=np.array([[0, 0, 9, 9], [0, 0, 400, 200]]),
        image_sizes=np.array([[9, 9], [400, 200]]),
        of=lambda row: features,
    )  # fmt: skip
    return VerifiedRegions(ranking, query, database)


def boxes_of(regions: VerifiedRegions, positives: list[int], is_known: list[bool]) -> list:
    return list(regions.of_hits([QueryGroundTruth(positives)], is_known))


def test_regions_of_a_verified_hit_hand_worked() -> None:
    # One cell to the right: the query's 10 × 5 cells lie on 1 … 11 × 0 … 5, of 20 pixels each.
    regions = verified_regions([[1, 0, 1], [0, 1, 0]])
    ((image, boxes),) = boxes_of(regions, [0, 1], [True, True])
    assert image == 1  # the other is not matched
    assert boxes["projected"].tolist() == [20, 0, 220, 100]
    # Features at cells (4.5, 1.5) and (9.5, 3.5), ± 1 and ± 2, where centres are at integers:
    # cells 4 … 11 × 0 … 6 from the corner.
    assert boxes["inliers"].tolist() == [80, 0, 220, 120]
    assert boxes["whole"].tolist() == [0, 0, 400, 200]
    assert regions.of_inliers(0) == {1: (80, 0, 220, 120)}


def test_a_turned_and_larger_region_is_boxed_and_clipped() -> None:
    # A quarter turn and twice the size: x' = −2 y + 7, y' = 2 x, so that −.5 … 4.5 goes to
    # 8 … −2, and −.5 … 9.5 to −1 … 19: cells −1.5 … 8.5 and −.5 … 19.5 from the corner.
    ((_, boxes),) = boxes_of(verified_regions([[0, -2, 7], [2, 0, 0]]), [1], [False, True])
    assert boxes["projected"].tolist() == [0, 0, 8.5 * 20, 200]


def test_regions_are_those_of_right_hits_in_known_images() -> None:
    regions = verified_regions([[1, 0, 1], [0, 1, 0]])
    assert boxes_of(regions, [0], [True, True]) == []
    assert boxes_of(regions, [1], [True, False]) == []
    ((_, far),) = boxes_of(verified_regions([[1, 0, 500], [0, 1, 0]]), [1], [True, True])
    assert far["projected"].tolist() == [400, 0, 400, 100]  # of no area


@pytest.mark.parametrize("scales", [(2, 0), (0, 2)])
def test_matches_of_other_maps_are_refused(scales: tuple[int, int]) -> None:
    regions = verified_regions([[1, 0, 1], [0, 1, 0]], scales)
    with pytest.raises(ValueError, match="no map of image"):
        boxes_of(regions, [1], [True, True])


def test_evaluate_says_whether_verified_regions_lie_on_the_object(
    chain: Path, tmp_path: Path
) -> None:
    truth = ("--ground-truth", GROUPS, "--boxes", chain / "boxes.csv")
    local = ("--query-local", chain / "q.h5", "--database-local", chain / "d.h5")
    done = run("evaluate", chain / "v.h5", *truth, *local, "-o", tmp_path / "e.h5")
    assert_done(done)
    assert "query's box, projected" in done.stdout
    assert "regions rule: of the right hits" in done.stdout
    with open_artifact(tmp_path / "e.h5", Evaluation) as evaluation:
        (summary,) = evaluation.rankings
        overlaps = evaluation.read_named("0/regions/projected_overlaps")
    assert [row["n_hits"] for row in summary["regions"]] == [len(overlaps)] * 3
    again = run("evaluate", chain / "v.h5", *truth, *local, "-o", tmp_path / "e.h5")
    assert "up to date" in again.stderr
    other = ("--query-local", chain / "d.h5", *local[2:])
    assert_fails(run("evaluate", chain / "v.h5", *truth, *other, "-o", tmp_path / "e.h5"), 4)
    plain = ("--ground-truth", GROUPS)
    assert_fails(run("evaluate", chain / "v.h5", *truth), 2, "does not say where its hits match")
    assert_fails(run("evaluate", chain / "r.h5", *truth, *local), 4, "nothing is verified")
    assert_fails(run("evaluate", chain / "v.h5", "--boxes", chain / "boxes.csv"), 2,
                 "expected --ground-truth")  # fmt: skip
    assert_fails(run("evaluate", chain / "v.h5", *plain, *local), 2, "without --boxes")
    assert_fails(run("evaluate", chain / "v.h5", *truth, *local[:2]), 2, "go together")


def test_boxes_of_hits_are_scored_as_they_are(chain: Path, tmp_path: Path) -> None:
    """Of search on regions: by plain loops over what its table says."""
    true = (5.0, 5.0, 60.0, 60.0)
    (tmp_path / "b.csv").write_text("a_0.png,5,5,60,60\nb_1.png,5,5,60,60\n")
    (row,) = rrtool.evaluate(
        [chain / "rr.h5"], ground_truth=GROUPS, boxes=tmp_path / "b.csv", output=tmp_path / "e.h5"
    )
    with open_artifact(chain / "rr.h5", Ranking) as ranking:
        table = [dict(zip(("query", "rank", "name"), line[:3], strict=True), box=line[-4:])
                 for line in list(ranking.rows())[1:]]  # fmt: skip
    hits = [each["box"] for each in table
            if each["name"] in ("a_0.png", "b_1.png") and each["query"] != each["name"]
            and str(each["query"])[0] == str(each["name"])[0]]  # fmt: skip
    ious, inside = [], []
    for x0, y0, x1, y1 in hits:
        shared = max(min(x1, 60) - max(x0, 5), 0) * max(min(y1, 60) - max(y0, 5), 0)
        ious.append(shared / ((x1 - x0) * (y1 - y0) + 55 * 55 - shared))
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        inside.append(true[0] <= x <= true[2] and true[1] <= y <= true[3])
    (regions,) = row["regions"]
    assert regions["n_hits"] == len(hits) > 0
    assert regions["mean_IoU"] == pytest.approx(np.mean(ious), abs=1e-6)
    assert regions["IoU>=0.5"] == np.mean(np.array(ious) >= 0.5)
    assert regions["centres_inside"] == np.mean(inside)
    with open_artifact(tmp_path / "e.h5", Evaluation) as evaluation:
        found = evaluation.read_named("0/regions/matched_overlaps")
    np.testing.assert_allclose(found, ious, atol=1e-6)


# --- objects ------------------------------------------------------------------------------------


def test_objects_are_scored_by_labels_and_by_boxes(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("a_0.png,5,5,40,40\na_0.png,30,30,60,60\nb_1.png,9,9,60,60\n")
    both = {"ground_truth": GROUPS, "boxes": tmp_path / "b.csv"}
    (row,) = rrtool.evaluate([chain / "ob.h5"], output=tmp_path / "e.h5", **both)
    with open_artifact(chain / "ob.h5", Objects) as objects:
        members = list(objects.rows())[1:]
        names = objects.names
    by_object: dict[int, list[str]] = {}
    for number, name, *_ in members:
        by_object.setdefault(int(str(number)), []).append(str(name))
    purities = [max(Counter(name[0] for name in own).values()) / len(own)
                for own in by_object.values()]  # fmt: skip
    assert row["purity"] == pytest.approx(np.mean(purities))
    assert row["n_labels"] == 2
    assert row["n_labels_found"] == len(
        {own[0][0] for own, purity in zip(by_object.values(), purities, strict=True) if purity == 1}
    )
    assert row["coverage"] == len({str(m[1]) for m in members}) / len(names)
    assert (row["n_objects"], row["n_sights"]) == (len(by_object), len(members))
    assert (row["n_images"], row["n_boxes"]) == (2, 3)

    def iou(box: Any, true: tuple[int, int, int, int]) -> float:
        w = min(box[2], true[2]) - max(box[0], true[0])
        h = min(box[3], true[3]) - max(box[1], true[1])
        shared = max(w, 0) * max(h, 0)
        areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, true)]
        return shared / (sum(areas) - shared)

    truth = {"a_0.png": [(5, 5, 40, 40), (30, 30, 60, 60)], "b_1.png": [(9, 9, 60, 60)]}
    best = [max([iou(m[2:6], t) for m in members if m[1] == name], default=0)
            for name, boxes in truth.items() for t in boxes]  # fmt: skip
    assert row["region_recall@0.3"] == pytest.approx(np.mean([b >= 0.3 for b in best]))
    first = [max(([m[6], -i, m] for i, m in enumerate(members) if m[1] == name), default=None)
             for name in truth]  # fmt: skip
    localized = [f is not None and max(iou(f[2][2:6], t) for t in boxes) >= 0.5
                 for f, boxes in zip(first, truth.values(), strict=True)]  # fmt: skip
    assert row["CorLoc"] == pytest.approx(np.mean(localized))
    with open_artifact(tmp_path / "e.h5", Evaluation) as evaluation:
        np.testing.assert_allclose(evaluation.read_named("0/purities"), purities)
        np.testing.assert_allclose(evaluation.read_named("0/overlaps"), best, atol=1e-6)


def test_objects_need_one_truth_and_labels_that_are_groups(chain: Path, tmp_path: Path) -> None:
    words = ("evaluate", chain / "ob.h5", "--ground-truth", GROUPS)
    (row,) = json.loads(run(*words, "--json").stdout)
    assert "purity" in row
    assert "CorLoc" not in row
    assert row["rules"].keys() == {"coverage_rule", "purity_rule", "n_labels_found_rule"}
    shown = run(*words).stdout
    assert "purity rule: share of an object's images with its most frequent label" in shown
    (row,) = rrtool.evaluate([chain / "ob.h5"], boxes=chain / "boxes.csv")
    assert "CorLoc" in row
    assert "purity" not in row
    with pytest.raises(UsageError, match=r"not of the protocol.*expected groups"):
        rrtool.evaluate([chain / "ob.h5"], ground_truth="ukbench")
    with pytest.raises(UsageError, match="boxes alone"):
        rrtool.evaluate([chain / "os.h5"], ground_truth=GROUPS, boxes=chain / "boxes.csv")
    for words in (("--audit",), ("--at", "1"), ("--scores", "all"), ("--protocol", "groups")):
        refused = run("evaluate", chain / "ob.h5", "--ground-truth", GROUPS, *words)
        assert_fails(refused, 2, f"{words[0]} is for rankings (found objects)")
    mixed = run("evaluate", chain / "ob.h5", chain / "os.h5", "--boxes", chain / "boxes.csv")
    assert_fails(mixed, 4, "expected objects, found saliency")
    with open_artifact(chain / "ob.h5", Objects) as objects:
        weights = np.full(objects.weights.shape, np.nan, np.float32)
        lines = [f"{objects.names[image]},0,0,9,9\n" for image in objects.images]
    (tmp_path / "b.csv").write_text("".join(lines))
    path = damaged(chain / "ob.h5", tmp_path / "ob.h5", {"weights": weights})
    assert_fails(run("evaluate", path, "--boxes", tmp_path / "b.csv"), 4, "damaged")
