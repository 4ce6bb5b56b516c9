"""The agreement study through the command line, against equations worked out anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from typer.testing import Result

import rrtool as api
from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import AlAgreement
from rrtool.core.diffusion.graph import normalize
from rrtool.core.learning.acquisition import entropy
from rrtool.core.learning.label_propagation import feature_graph
from rrtool.errors import ArtifactError, UsageError
from rrtool.stages.learning.acquisition_options import COMPARED
from tests.reports.test_reports import Checker
from tests.stages.damaging import edited
from tests.stages.learning.made_state import CLASSES, made_images, write_state, write_truth
from tests.tiny import assert_done, assert_fails, digest_of, leftovers, rrtool

pytestmark = pytest.mark.usefixtures("one_thread")
K = 6


def agree(folder: Path, *options: object, output: str = "a.h5") -> Result:
    return rrtool(
        "al-agree", folder / "state.h5", "-o", folder / output, "--truth", folder / "truth.csv",
        "--k", K, "--device", "cpu", *options,
    )  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Path:
    write_state(tmp_path / "state.h5")
    write_truth(tmp_path / "truth.csv")
    return tmp_path


def dense_propagation(
    features: np.ndarray,
    ids: np.ndarray,
    labels: np.ndarray,
    *,
    mass: str = "class",
    gamma: float = 3,
    symmetrize: str = "mutual",
    alpha: float = 0.99,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, weights (3.10) and which rows are reached, by a dense solve (3.9)."""
    w = normalize(feature_graph(features, k=K, gamma=gamma, symmetrize=symmetrize)).toarray()
    y = np.zeros((len(features), len(CLASSES)))
    y[ids, labels] = 1
    if mass == "class":
        y /= np.maximum(y.sum(axis=0), 1)
    h = (1 - alpha) * np.linalg.solve(np.eye(len(w)) - alpha * w, y)
    h = np.where(h < 1e-14, 0, h)
    reached = h.any(axis=1)
    p = h / np.where(reached, h.sum(axis=1), 1)[:, None]
    weights = 1 - entropy(p) / np.log(len(CLASSES))
    return p.argmax(axis=1), np.where(reached, weights, 0), reached


def test_al_agree_equals_the_study_worked_out_anew(made: Path) -> None:
    assert_done(agree(made, "--budget", 7, "--max-iter", 500))
    features, probabilities, truth = made_images(60)
    pool = np.arange(6, 60)
    with open_artifact(made / "a.h5", AlAgreement) as study:
        assert study.extra["cycle"] == 1
        np.testing.assert_array_equal(study.pool_ids, pool)
        np.testing.assert_array_equal(study.truth, truth)
        picks, ranks = study.acquired, study.ranks
        assert set(picks) == set(ranks) == set(COMPARED)
        rows = {row["strategy"]: row for row in study.extra["agreement"]}
        correlations = study.extra["correlations"]
        stored_labels, stored_weights = study.pseudo_labels, study.pseudo_weights
    for name, ids in picks.items():
        known = np.concatenate([np.arange(6), ids])
        labels, weights, reached = dense_propagation(features, known, truth[known])
        np.testing.assert_array_equal(stored_labels[name], np.where(reached, labels, -1))
        np.testing.assert_allclose(stored_weights[name], weights, atol=1e-4)
    most = np.argsort(-entropy(probabilities[pool]))
    np.testing.assert_array_equal(picks["entropy"], pool[most[:7]])
    np.testing.assert_array_equal(np.argsort(ranks["entropy"]), most)
    distances = np.linalg.norm(features[pool, None] - features[:6], axis=2).min(axis=1)
    np.testing.assert_array_equal(np.argsort(ranks["coreset"]), np.argsort(-distances))
    assert picks["coreset"][0] == pool[distances.argmax()]
    assert sorted(ranks["random"]) == list(range(1, 55))
    assert picks["jlp"][0] in pool[ranks["jlp"] == ranks["jlp"].min()]
    assert len(correlations) == 6
    for pair in correlations:
        expected = spearmanr(ranks[pair["first"]], ranks[pair["second"]]).statistic
        assert pair["spearman"] == pytest.approx(expected)
    assert list(rows) == ["random", "coreset", "jlp"]
    for name, row in rows.items():
        sides = [
            dense_propagation(features, known, truth[known])
            for known in (np.r_[:6, picks[name]], np.r_[:6, picks["entropy"]])
        ]
        left = np.setdiff1d(pool, np.r_[picks[name], picks["entropy"]])
        ids = left[sides[0][2][left] & sides[1][2][left]]
        w = (sides[0][1][ids] + sides[1][1][ids]) / 2
        same = sides[0][0][ids] == sides[1][0][ids]
        right = sides[0][0][ids] == truth[ids]
        assert row["n_images"] == len(ids)
        assert row["share"] == pytest.approx(same.mean())
        assert row["accuracy"] == pytest.approx(np.average(right, weights=w), abs=1e-4)
        assert row["weight_agree"] == pytest.approx(w[same].mean(), abs=1e-4)


@pytest.mark.parametrize(
    "given",
    [{"mass": "one"}, {"gamma": 1}, {"symmetrize": "sum"}, {"alpha": 0.6}],
    ids=lambda given: next(iter(given)),
)
def test_al_agree_propagates_as_its_options_say(made: Path, given: dict[str, object]) -> None:
    ((name, value),) = given.items()
    flag = {"mass": "--label-mass"}.get(name, f"--{name}")
    assert_done(agree(made, "--budget", 7, "--max-iter", 500, flag, value))
    features, _, truth = made_images(60)
    with open_artifact(made / "a.h5", AlAgreement) as study:
        known = np.concatenate([np.arange(6), study.acquired["entropy"]])
        stored = study.pseudo_weights["entropy"]
    right: Any = dense_propagation(features, known, truth[known], **given)
    by_default = dense_propagation(features, known, truth[known])
    np.testing.assert_allclose(stored, right[1], atol=1e-4)
    assert np.abs(stored - by_default[1]).max() > 1e-2


def test_al_agree_keeps_the_recall_of_an_approximate_graph(made: Path) -> None:
    pytest.importorskip("faiss")
    for neighbors in ("auto", "hnsw"):
        options = ("--budget", 7, "--neighbors", neighbors)
        assert_done(agree(made, *options, output=f"{neighbors}.h5"))
        with open_artifact(made / f"{neighbors}.h5", AlAgreement) as study:
            graph = study.extra.get("graph")
        expected = None if neighbors == "auto" else {"neighbors": "hnsw", "recall": 1.0}
        assert graph == expected  # of sixty images all are found


def test_al_agree_is_deterministic_by_seed_and_up_to_date(made: Path) -> None:
    assert_done(agree(made, "--budget", 4))
    before = (made / "a.h5").read_bytes()
    again = agree(made, "--budget", 4)
    assert_done(again)
    assert "up to date" in again.stderr
    assert (made / "a.h5").read_bytes() == before
    assert_done(agree(made, "--budget", 4, output="b.h5"))
    assert digest_of(made / "b.h5") == digest_of(made / "a.h5")
    assert_done(agree(made, "--budget", 4, "--seed", 1, output="c.h5"))
    assert digest_of(made / "c.h5") != digest_of(made / "a.h5")
    assert_fails(agree(made, "--budget", 5), 4, "--budget", "--overwrite")
    assert not leftovers(made)


def test_al_agree_strategies_do_not_change_each_other(made: Path) -> None:
    assert_done(agree(made, "--budget", 4))
    assert_done(agree(made, "--budget", 4, "--strategies", "jlp,random", output="b.h5"))
    with (
        open_artifact(made / "a.h5", AlAgreement) as all_of_them,
        open_artifact(made / "b.h5", AlAgreement) as two,
    ):
        assert set(two.acquired) == {"entropy", "random", "jlp"}
        for column in ("acquired", "ranks", "pseudo_labels", "pseudo_weights"):
            for name, found in getattr(two, column).items():
                np.testing.assert_array_equal(found, getattr(all_of_them, column)[name])


def test_al_agree_prints_a_table_or_json(made: Path) -> None:
    printed = agree(made, "--budget", 4)
    assert_done(printed)
    for text in ("random", "coreset", "jlp", "accuracy ≠", "Spearman"):
        assert text in printed.stdout
    found = json.loads(agree(made, "--budget", 4, "--json").stdout)
    assert [row["strategy"] for row in found["agreement"]] == ["random", "coreset", "jlp"]
    assert found["output"] == str(made / "a.h5")


def test_al_agree_takes_the_budget_of_the_state(made: Path) -> None:
    assert_fails(agree(made), 2, "acquired nothing", "--budget")
    write_state(made / "state.h5", n_acquired=5)
    assert_done(agree(made))
    with open_artifact(made / "a.h5", AlAgreement) as study:
        assert study.options["budget"] == 5
        assert study.acquired["jlp"].shape == (5,)


def test_al_agree_leaves_out_failed_rows_and_those_of_unknown_truth(made: Path) -> None:
    write_state(made / "state.h5", failed=(3, 20), features=np.full((60, 4), np.nan, np.float32))
    features = made_images(60)[0]
    features[[3, 20]] = np.nan
    write_state(made / "state.h5", failed=(3, 20), features=features)
    write_truth(made / "truth.csv", without=(20, 30, 31))
    done = agree(made, "--budget", 4)
    assert_done(done)
    assert "2 unlabelled images have no true label" in done.stderr
    with open_artifact(made / "a.h5", AlAgreement) as study:
        assert study.extra["n_labeled"] == 5
        assert not set(study.pool_ids.tolist()) & {3, 20, 30, 31}


def test_al_agree_reads_truth_of_every_form_of_labels(made: Path) -> None:
    truth = made_images(60)[2].tolist()
    content = {
        "images": [{"id": row, "file_name": f"{row}.png"} for row in range(60)],
        "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES)],
        "annotations": [{"id": i, "image_id": i, "category_id": truth[i]} for i in range(60)],
    }
    (made / "truth.json").write_text(json.dumps(content))
    assert_done(agree(made, "--budget", 4))
    assert_done(agree(made, "--budget", 4, "--truth", made / "truth.json", output="b.h5"))
    with open_artifact(made / "a.h5") as by_table, open_artifact(made / "b.h5") as by_coco:
        assert by_table.digest == by_coco.digest


@pytest.mark.parametrize(
    ("rows", "fragments"),
    [
        ("x.png,owl\n", ("line 2", "no image of this name", "x.png")),
        ("1.png,bat\n", ("line 2", "no such class", "bat", "crab, eel, owl")),
        ("1.png,owl\n1.png,owl\n1.png,eel\n", ("line 4", "two labels", "owl", "eel")),
        ("1.png,owl,3\n", ("line 2", "number of fields")),
        ("", ("--budget", "0 unlabelled")),
    ],
)
def test_al_agree_bad_truth_is_one_clear_line(made: Path, rows: str, fragments) -> None:
    (made / "truth.csv").write_text("name,label\n" + rows)
    result = agree(made, "--budget", 4, "-q")
    assert_fails(result, 2, *fragments)
    assert not (made / "a.h5").exists()


def test_al_agree_missing_truth_or_wrong_state_is_one_clear_line(made: Path) -> None:
    assert_done(agree(made, "--budget", 4))
    wrong = rrtool("al-agree", made / "a.h5", "-o", made / "b.h5", "--truth", made / "truth.csv")
    assert_fails(wrong, 4, "al-state")
    (made / "truth.csv").unlink()
    assert_fails(agree(made, "--budget", 4, output="b.h5"), 2, "cannot read it")


@pytest.mark.parametrize(
    "options",
    [
        ("--strategies", "coreset,coreset"), ("--strategies", "entropy"), ("--strategies", ""),
        ("--strategies", "margin"), ("--reference", "jlp"), ("--reference", "x"), ("--k", 0),
        ("--budget", 0), ("--budget", 55), ("--seed", -1), ("--max-iter", 0), ("--device", "tpu"),
    ],
)  # fmt: skip
def test_al_agree_wrong_option_value_exits_2(made: Path, options) -> None:
    assert_fails(agree(made, "--budget", 4, *options), 2)
    assert not (made / "a.h5").exists()


def test_al_agree_refuses_a_damaged_state(made: Path) -> None:
    write_state(made / "state.h5", probabilities=np.ones((60, 2), np.float32))
    assert_fails(agree(made, "--budget", 4), 4, "damaged al-state: probabilities", "(60, 3)")
    write_state(made / "state.h5", labels=np.zeros(59, np.int32))
    assert_fails(agree(made, "--budget", 4), 4, "damaged al-state: labels", "(60)")


def report(study: Path, page: Path) -> Path:
    return api.report([study], page).path


def test_report_agreement_is_one_sound_page(made: Path) -> None:
    assert_done(agree(made, "--budget", 4))
    study = str(made / "a.h5")
    page = report(study, made / "page.html")
    text = page.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert "script" not in checker.tags
    assert text.count("<svg") == text.count("</svg>") == 6
    assert text.count("h0") == 6 * 54  # all images: there are fewer than 500
    assert "http:" not in text
    assert "https:" not in text
    report(study, made / "page.html")
    (made / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="no page of rrtool report"):
        report(study, made / "notes.txt")
    with pytest.raises(ArtifactError):
        report(made / "state.h5", made / "p.html")
    with edited(study) as file:
        del file["ranks/random"]
    with pytest.raises(ArtifactError, match="no ranks/random"):
        report(study, made / "p.html")
    assert not (made / "p.html").exists()


def test_report_agreement_shows_a_seeded_sample(tmp_path: Path) -> None:
    write_state(tmp_path / "state.h5", 700)
    write_truth(tmp_path / "truth.csv", 700)
    assert_done(agree(tmp_path, "--budget", 4, "--strategies", "random"))
    pages = [report(tmp_path / "a.h5", tmp_path / name) for name in ("1.html", "2.html")]
    first, second = (page.read_text(encoding="utf-8") for page in pages)
    assert first == second
    assert first.count("h0") == 500
