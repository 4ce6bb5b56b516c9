"""evaluate: what it refuses, and what it never asks for. Scores: test_rerank, test_saliency."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts.kinds import Ranking, open_any
from rrtool.errors import ArtifactError, OptionError, UsageError
from tests.stages.damaging import damaged, edited
from tests.tiny import assert_done, assert_fails, make_pictures
from tests.tiny import rrtool as run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ranking of four photos, and regions of them with maps."""
    folder = tmp_path_factory.mktemp("evaluate")
    make_pictures(folder / "photos", 4)
    network = {"network": "squeezenet1_1", "weights": "none", "scales": (1.0,), "max_size": 96}
    features = rrtool.extract(folder / "photos", folder / "f.h5", device="cpu", **network)
    rrtool.search(features, features, folder / "r.h5")
    rrtool.saliency_fs(
        folder / "photos", folder / "s.h5", features=folder / "sf.h5", keep_maps=True,
        device="cpu", **network,
    )  # fmt: skip
    (folder / "boxes.csv").write_text("000.png,1,2,30,40\n001.png,5,5,60,60\n")
    return folder


TRUTH = ("--ground-truth", "prefix:(00)")


def test_evaluate_refuses_an_image_that_is_ranked_twice(made: Path, tmp_path: Path) -> None:
    with open_any(made / "r.h5") as ranking:
        ids = ranking.read(Ranking.ids)
    ids[1, 2] = ids[1, 1]
    path = damaged(made / "r.h5", tmp_path / "r.h5", {"ids": ids})
    line = assert_fails(run("evaluate", path, *TRUTH), 4)
    assert "query 1 ranks database id" in line


@pytest.mark.parametrize(
    "description",
    [{}, {"method": 3}, {"network": {"name": "x"}}, {"network": None}, {"scales": 1}, "text"],
)
def test_evaluate_refuses_a_ranking_that_does_not_say_how_it_was_made(
    made: Path, tmp_path: Path, description: object
) -> None:
    with open_any(made / "r.h5") as ranking:
        whole = ranking.extra["description"]
    changed = whole | description if isinstance(description, dict) and description else description
    path = damaged(made / "r.h5", tmp_path / "r.h5", extra={"description": changed})
    assert "its attributes (extra)" in assert_fails(run("evaluate", path, *TRUTH), 4)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("region_boxes", np.nan),
        ("boxes", np.nan),
        ("maps/values", np.nan),
        ("maps/values", -1),
        ("map_sizes", 10_000),
    ],
)
def test_evaluate_refuses_saliency_that_cannot_be(
    made: Path, tmp_path: Path, name: str, values: float
) -> None:

    path = damaged(made / "s.h5", tmp_path / "s.h5")
    with edited(path) as file:
        file[name][...] = values
    assert "damaged" in assert_fails(run("evaluate", path, "--boxes", made / "boxes.csv"), 4)


def test_evaluate_again_is_up_to_date_and_other_inputs_are_named(
    made: Path, tmp_path: Path
) -> None:
    output = ("-o", tmp_path / "e.h5")
    assert_done(run("evaluate", made / "r.h5", *TRUTH, *output))
    again = run("evaluate", made / "r.h5", *TRUTH, *output)
    assert "up to date" in again.stderr
    other = run("evaluate", made / "r.h5", "--ground-truth", "prefix:(0)", *output)
    assert_fails(other, 4, "made from other --ground-truth")
    boxes = run("evaluate", made / "s.h5", "--boxes", made / "boxes.csv", *output)
    assert_fails(boxes, 4, "made with another --boxes")
    assert_done(run("evaluate", made / "s.h5", "--boxes", made / "boxes.csv", *output,
                    "--overwrite"))  # fmt: skip


def test_evaluate_says_what_the_groups_are_and_what_is_left_out(made: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "\ufeffFile;Category\r\n./000.png;a\r\n001;a\r\n002.png;\r\n003.png;\r\nx.png;b\r\n"
    )
    done = run("evaluate", made / "r.h5", "--ground-truth", tmp_path / "labels.csv")
    assert_done(done)
    assert "1 group among 4 images of the database, and 2 distractors" in done.stderr
    assert "1 of its 5 names are of no image here: 'x.png'" in done.stderr
    assert "2 of 4 queries have nothing to find" in done.stderr
    one = run("evaluate", made / "r.h5", *TRUTH)
    assert "all are in one group, '00', so that every order scores 100" in one.stderr


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_a_truth_that_finds_nothing_is_an_error(made: Path, tmp_path: Path, command: str) -> None:
    output = ("-o", tmp_path / "r.html", "--images", made / "photos") if command == "report" else ()
    failed = run(command, made / "r.h5", "--ground-truth", "prefix:^(...)", *output)
    assert_fails(failed, 2, "no query has anything to find", "'000.png'")


def test_evaluate_says_which_boxes_are_of_no_image(made: Path, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("000.png;1,5;2;30;40\nx.png;1;2;3;4\n")
    done = run("evaluate", made / "s.h5", "--boxes", tmp_path / "b.csv")
    assert "1 of 2 boxes are of no image here: 'x.png'; images are '000.png'" in done.stderr


def test_evaluate_wants_rankings_and_one_truth() -> None:
    with pytest.raises(UsageError, match="no ranking"):
        rrtool.evaluate([], ground_truth="folder")
    with pytest.raises(UsageError, match="--ground-truth or --boxes"):
        rrtool.evaluate(["r.h5"])
    with pytest.raises(OptionError, match=r"unknown --protocol \(expected groups, revisited"):
        rrtool.evaluate(["r.h5"], ground_truth="folder", protocol="imagenet")


def test_protocols_of_the_option_are_those_of_the_ground_truth() -> None:
    from rrtool import ground_truth
    from rrtool.stages.evaluation import options

    assert options.PROTOCOLS == ground_truth.PROTOCOLS


def test_evaluate_prints_of_a_ranking_that_does_not_say_how_long_it_is(made: Path, tmp_path: Path):
    with open_any(made / "r.h5") as ranking:
        described = ranking.extra["description"]
    changed = {key: value for key, value in described.items() if key != "top"}
    path = damaged(made / "r.h5", tmp_path / "r.h5", extra={"description": changed})
    done = run("evaluate", path, *TRUTH)
    assert_done(done)
    assert "ranked: all" in done.stdout


def test_evaluate_returns_what_it_prints(made: Path) -> None:
    import json

    scores = rrtool.evaluate([made / "r.h5"], ground_truth="prefix:(00)")
    printed = run("evaluate", made / "r.h5", *TRUTH, "--json").stdout
    assert json.loads(printed) == json.loads(json.dumps(scores))
    with pytest.raises(ArtifactError, match="another kind"):
        rrtool.evaluate([made / "f.h5"], ground_truth="folder")


def test_scores_on_request_are_in_the_table_the_receipt_and_the_artifact(
    made: Path, tmp_path: Path
) -> None:
    truth, output = "prefix:(00)", tmp_path / "e.h5"
    (short,) = rrtool.evaluate([made / "r.h5"], ground_truth=truth, output=output)
    assert list(short["scores"][0])[2:6] == ["mAP", "mP@1", "mP@5", "mP@10"]
    assert not {"recall_rule", "microAP_rule", "mAP@k_rule"} & short["rules"].keys()
    more = ("--scores", "all", "--at", "1,100", "-o", output)
    assert_fails(run("evaluate", made / "r.h5", *TRUTH, *more), 4, "made with another --at")
    shown = run("evaluate", made / "r.h5", *TRUTH, *more, "--overwrite")
    assert_done(shown)
    for title in ("mP@100", "mAP@1", "recall@100", "microAP"):
        assert title in shown.stdout
    assert "microAP rule: pairs of a query and an entry" in shown.stdout
    with open_any(output) as evaluation:
        assert evaluation.read_named("0/all/recalls_at_100").tolist() == [1, 1, 1, 1]
        assert evaluation.read_named("0/all/recalls_at_1").tolist() == [1 / 3] * 4
        assert evaluation.read_named("0/all/average_precisions_at_1").tolist() == [1] * 4
        (summary,) = evaluation.rankings
    # Every entry but the query itself is right.
    assert summary["scores"][0]["microAP"] == summary["scores"][0]["recall@100"] == 1
    assert summary["scores"][0]["recall@1"] == pytest.approx(1 / 3)
    assert_fails(
        run("evaluate", made / "r.h5", *TRUTH, "--at", "1,100", "-o", output), 4,
        "made with another --scores",
    )  # fmt: skip
    assert_fails(run("evaluate", made / "r.h5", *TRUTH, "--at", "0"), 2, "--at")


def test_a_score_that_is_no_number_is_damage(made: Path, tmp_path: Path) -> None:
    path = damaged(
        made / "r.h5", tmp_path / "r.h5", {"similarities": np.full((4, 4), np.nan, np.float32)}
    )
    assert_done(run("evaluate", path, *TRUTH))
    assert "not a number" in assert_fails(run("evaluate", path, *TRUTH, "--scores", "all"), 4)


def test_benchmarks_of_named_photos_are_scored_by_their_name_alone(tmp_path: Path) -> None:
    """Rankings of another program; UKBench's own score stands beside mAP."""
    names = [f"ukbench{i:05d}.jpg" for i in range(8)]
    orders = {names[0]: (0, 1, 4, 2), names[4]: (4, 5, 6, 7)}
    rows = [f"{q},{names[i]},{9 - place}" for q, order in orders.items()
            for place, i in enumerate(order)]  # fmt: skip
    (tmp_path / "r.csv").write_text("\n".join(["query,image,score", *rows]))
    (tmp_path / "names.txt").write_text("\n".join(names))
    ranking = rrtool.import_(tmp_path / "r.csv", tmp_path / "r.h5", names=tmp_path / "names.txt")
    done = run("evaluate", ranking, "--ground-truth", "ukbench", "-o", tmp_path / "e.h5")
    assert_done(done)
    assert "N-S" in done.stdout
    assert "3.500" in done.stdout
    assert "N-S rule: mean number of positives among the first 4 entries" in done.stdout
    with open_any(tmp_path / "e.h5") as evaluation:
        assert evaluation.read_named("0/all/right_among_first_4").tolist() == [3, 4]
        assert evaluation.rankings[0]["scores"][0]["N-S"] == 3.5
    assert_fails(run("evaluate", ranking, "--ground-truth", "holidays"), 2, "100000.jpg")


def test_audit_says_what_the_same_ranking_scores_by_other_readings(
    made: Path, tmp_path: Path
) -> None:
    """All four photos are one group, so every list is right but for the query itself."""
    output = tmp_path / "e.h5"
    done = run("evaluate", made / "r.h5", *TRUTH, "--audit", "-o", output)
    assert_done(done)
    assert "the query's own photo counts as wrong" in done.stdout
    with open_any(output) as evaluation:
        rows = evaluation.rankings[0]["audit"]
    by_reading = {row["reading"]: row for row in rows if row["score"] == "mAP"}
    assert by_reading["by the rules"] == {
        "setup": "all", "reading": "by the rules", "score": "mAP", "value": 1.0, "difference": 0.0,
    }  # fmt: skip
    # "-+++": 1/4 + (1/2 + 2/3)/2 + (2/3 + 3/4)/2, of three.
    wrong = (1 / 4 + 7 / 12 + 17 / 24) / 3
    assert by_reading["the query's own photo counts as wrong"]["value"] == pytest.approx(wrong)
    over_k = next(row for row in rows if row["score"] == "mP@10")
    assert (over_k["value"], over_k["difference"]) == pytest.approx((3 / 10, 3 / 10 - 1))
    assert_fails(run("evaluate", made / "r.h5", *TRUTH, "-o", output), 4, "another --audit")
