"""rerank and evaluate through the stages, against the core functions on the same artifacts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrtool.artifacts import open_artifact
from rrtool.core.matching.detection import DetectionOptions
from rrtool.core.matching.fusion import fuse, strength_agreement
from rrtool.core.matching.spatial_matching import MatchingOptions, match
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Silent
from rrtool.stages.activations.run import NetworkOptions
from rrtool.stages.evaluation import evaluate
from rrtool.stages.matching import detect_local, rerank
from rrtool.stages.retrieval import extract, search

NETWORK = NetworkOptions("squeezenet1_1", "none", scales=(1.0, 0.5), max_size=192, device="cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features, local features and a ranking of three groups of three photos, one unreadable."""
    folder = tmp_path_factory.mktemp("rerank")
    (folder / "photos").mkdir()
    generator = np.random.default_rng(3)
    for label in "abc":
        texture = generator.integers(0, 256, (18, 24, 3), dtype=np.uint8)
        for view in range(3):
            image = Image.fromarray(texture).resize((192, 144), Image.Resampling.NEAREST)
            image.rotate(2 * view, fillcolor="gray").save(folder / "photos" / f"{label}_{view}.png")
    (folder / "photos" / "c_2.png").write_bytes(b"")
    photos = str(folder / "photos")
    extract.run(
        photos, folder / "f.h5", extract.ExtractOptions(NETWORK), overwrite=False, progress=Silent()
    )
    for name, role in (("d.h5", "database"), ("q.h5", "query")):
        options = detect_local.DetectLocalOptions(NETWORK, DetectionOptions(role))  # type: ignore[arg-type]
        levels = str(folder / "d.h5") if role == "query" else None
        detect_local.run(photos, folder / name, options, levels_from=levels, progress=Silent())
    features = str(folder / "f.h5")
    search.run(features, features, folder / "r.h5", search.SearchOptions(), progress=Silent())
    return folder


def run_rerank(made: Path, output: Path, **options: object) -> Path:
    return rerank.run(
        str(made / "r.h5"),
        output,
        rerank.RerankOptions(device="cpu", **options),  # type: ignore[arg-type]
        query_local=str(made / "q.h5"),
        database_local=str(made / "d.h5"),
        progress=Silent(),
    )


@pytest.mark.parametrize("score", ["fused", "inliers"])
def test_rerank_equals_the_core_functions_query_by_query(
    made: Path, tmp_path: Path, score: str
) -> None:
    path = run_rerank(made, tmp_path / "rr.h5", shortlist=4, score=score)
    with (
        open_artifact(made / "r.h5") as initial,
        open_artifact(path) as verified,
        open_artifact(made / "q.h5") as q,
        open_artifact(made / "d.h5") as d,
    ):
        queries = detect_local.read_local_features(q)
        database = detect_local.read_local_features(d)
        names = initial.read_texts("query_names")
        offsets, inliers = verified.read("offsets"), verified.read("inliers")
        for row in range(len(names)):
            before, after = initial.read("ids")[row], verified.read("ids")[row]
            shortlist = before[:4][before[:4] >= 0]
            found = match(
                queries, row, database, shortlist, MatchingOptions(one_to_one=score == "fused")
            )
            scores = found.n_inliers.astype(float)
            if score == "fused":
                agreement = strength_agreement(found, queries, row, database, shortlist)
                is_copy = np.array([names[i] == names[row] for i in shortlist], dtype=bool)
                scores = fuse(
                    initial.read("similarities")[row][: len(shortlist)], agreement, is_copy
                )
            order = sorted(range(len(shortlist)), key=lambda i: (-scores[i], i))
            assert after.tolist() == [*shortlist[order], *before[len(shortlist) :]]
            for position, i in enumerate(order):
                pairs = inliers[offsets[4 * row + position] : offsets[4 * row + position + 1]]
                expected = found.inliers[found.inlier_offsets[i] : found.inlier_offsets[i + 1]]
                assert pairs.tolist() == expected.tolist()
                assert verified.read("n_inliers")[row, position] == found.n_inliers[i]


def test_rerank_keeps_failed_photos_out_and_their_rows_in(made: Path, tmp_path: Path) -> None:
    path = run_rerank(made, tmp_path / "rr.h5", shortlist=100)
    with open_artifact(path) as verified:
        names = verified.read_texts("query_names")
        ids = verified.read("ids")
    failed = names.index("c_2.png")
    assert (ids[failed] == -1).all()
    assert not (ids == failed).any()
    assert ids.shape == (9, 8)


def test_rerank_again_is_a_no_op_and_other_options_are_an_error(made: Path, tmp_path: Path) -> None:
    path = run_rerank(made, tmp_path / "rr.h5", shortlist=3)
    with open_artifact(path) as artifact:
        uuid = artifact.uuid
    run_rerank(made, tmp_path / "rr.h5", shortlist=3)
    with open_artifact(path) as artifact:
        assert artifact.uuid == uuid
    with pytest.raises(ArtifactError, match="--shortlist"):
        run_rerank(made, tmp_path / "rr.h5", shortlist=2)


def test_rerank_refuses_local_features_of_other_images(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "photos"
    other.mkdir()
    Image.new("RGB", (64, 64), "red").save(other / "x_0.png")
    Image.linear_gradient("L").convert("RGB").save(other / "y_0.png")
    options = detect_local.DetectLocalOptions(NETWORK, DetectionOptions())
    detect_local.run(str(other), tmp_path / "o.h5", options, progress=Silent())
    with pytest.raises(ArtifactError, match="other images"):
        rerank.run(
            str(made / "r.h5"),
            tmp_path / "rr.h5",
            rerank.RerankOptions(),
            query_local=str(made / "q.h5"),
            database_local=str(tmp_path / "o.h5"),
            progress=Silent(),
        )
    assert not (tmp_path / "rr.h5").exists()


@pytest.mark.parametrize(
    "options",
    [{"shortlist": 0}, {"score": "best"}, {"inlier_threshold": 0.0}, {"max_scale_change": 0.5}],
)
def test_rerank_options_out_of_range_are_usage_errors(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        rerank.RerankOptions(**options)  # type: ignore[arg-type]


def test_evaluate_records_scores_that_equal_its_answer(made: Path, tmp_path: Path) -> None:
    (evaluated,) = evaluate.run(
        [str(made / "r.h5")], tmp_path / "e.h5", ground_truth="prefix:^(.)_", progress=Silent()
    )
    (scores,) = evaluated.scores
    # Group c has two readable members; its third, unreadable one is a positive never found.
    assert (scores.n_queries, scores.n_left_out) == (9, 0)
    with open_artifact(tmp_path / "e.h5", "evaluation") as recorded:
        np.testing.assert_array_equal(
            recorded.read("0/all/average_precisions"), scores.average_precisions
        )
        summary = recorded.extra["rankings"][0]
        assert summary["description"]["network"]["trained"] is False
        assert "trapezoid" in summary["rules"]["average_precision_rule"]
    assert summary["scores"][0]["mAP"] == scores.mean_average_precision
