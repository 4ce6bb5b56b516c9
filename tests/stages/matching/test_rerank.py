"""rerank and evaluate through the stages, against the core functions on the same artifacts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrtool
from rrtool.artifacts import Provenance, create, open_artifact
from rrtool.artifacts.kinds import Evaluation, LocalFeaturesFile, Ranking, open_any
from rrtool.core.matching.fusion import fuse, strength_agreement
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import MatchingOptions, match
from rrtool.errors import ArtifactError, UsageError
from rrtool.stages.matching import local_features, rerank
from rrtool.stages.matching.local_features import LocalFeaturesReader
from rrtool.stages.matching.options import RerankOptions

NETWORK = {
    "network": "squeezenet1_1", "weights": "none", "scales": (1.0, 0.5), "max_size": 192,
    "device": "cpu",
}  # fmt: skip


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
    features = rrtool.extract(folder / "photos", folder / "f.h5", **NETWORK)
    rrtool.detect_local(folder / "photos", folder / "d.h5", **NETWORK)
    levels = {"role": "query", "levels_from": folder / "d.h5"}
    rrtool.detect_local(folder / "photos", folder / "q.h5", **levels, **NETWORK)
    rrtool.search(features, features, folder / "r.h5")
    return folder


def read_whole(artifact: LocalFeaturesFile) -> LocalFeatures:
    return LocalFeatures(
        artifact.means,
        artifact.covariances,
        artifact.strengths.astype(np.float32),
        artifact.channels.astype(np.int32),
        artifact.offsets,
        artifact.n_scales,
    )


def run_rerank(made: Path, output: Path, **options: object) -> Path:
    inputs = {"query_local": made / "q.h5", "database_local": made / "d.h5"}
    return rrtool.rerank(made / "r.h5", output, **{"device": "cpu", **inputs, **options})


@pytest.mark.parametrize("images_at_once", [1, 9, 4096])
@pytest.mark.parametrize(
    ("score", "ordered_by"), [("fused", "search"), ("inliers", "search"), ("fused", "reciprocal")]
)
def test_rerank_equals_the_core_functions_query_by_query(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    score: str,
    ordered_by: str,
    images_at_once: int,
) -> None:
    monkeypatch.setattr(rerank, "_IMAGES_AT_ONCE", images_at_once)
    monkeypatch.setattr(local_features, "_GAP", 1 + images_at_once % 2)
    ordered = made / "r.h5"
    if ordered_by == "reciprocal":
        both = {"queries": made / "f.h5", "database": made / "f.h5", "mixture": 0.1}
        ordered = rrtool.rerank(ordered, tmp_path / "k.h5", method="reciprocal", **both)
    local = {"query_local": made / "q.h5", "database_local": made / "d.h5"}
    options = {"shortlist": 4, "score": score, "device": "cpu"}
    path = rrtool.rerank(ordered, tmp_path / "rr.h5", **local, **options)
    with (
        open_artifact(ordered, Ranking) as initial,
        open_artifact(path, Ranking) as verified,
        open_artifact(made / "q.h5", LocalFeaturesFile) as q,
        open_artifact(made / "d.h5", LocalFeaturesFile) as d,
    ):
        queries, database = read_whole(q), read_whole(d)
        names = initial.query_names
        offsets, inliers = verified.offsets, verified.inliers
        for row in range(len(names)):
            before, after = initial.ids[row], verified.ids[row]
            shortlist = before[:4][before[:4] >= 0]
            found = match(
                queries, row, database, shortlist, MatchingOptions(one_to_one=score == "fused")
            )
            scores = found.n_inliers.astype(float)
            if score == "fused":
                agreement = strength_agreement(found, queries, row, database, shortlist)
                is_copy = np.array([names[i] == names[row] for i in shortlist], dtype=bool)
                alike, base = initial.similarities[row][:4], initial.scores[row][:4]
                n = len(shortlist)
                scores = fuse(base[:n], agreement, is_copy | (alike[:n] > 0.999))
                if ordered_by == "search":
                    assert np.array_equal(base, alike)
            order = sorted(range(len(shortlist)), key=lambda i: (-scores[i], i))
            assert after.tolist() == [*shortlist[order], *before[len(shortlist) :]]
            assert np.array_equal(verified.scores[row, 4:], initial.scores[row, 4:])
            for position, i in enumerate(order):
                pairs = inliers[offsets[4 * row + position] : offsets[4 * row + position + 1]]
                expected = found.inliers[found.inlier_offsets[i] : found.inlier_offsets[i + 1]]
                assert pairs.tolist() == expected.tolist()
                assert verified.n_inliers[row, position] == found.n_inliers[i]


def rewrite(path: Path, output: Path, network: dict | None = None, **changes: np.ndarray) -> Path:
    """An artifact again, with other datasets, or of another network."""
    with open_any(path) as old:
        datasets = {name: old.read_named(name) for name in old.dataset_names()} | changes
        facts = old.extra
        about = old.kind, old.options, old.inputs, network or old.network, old.device, old.asked
    if network is not None and "description" in facts:
        facts = {**facts, "description": {**facts["description"], "network": network}}
    with create(output, Provenance(*about)) as made:
        made.publish(datasets, extra=facts)
    return output


def test_ranking_of_another_network_or_program_is_verified_alike(
    made: Path, tmp_path: Path
) -> None:
    imported = {
        "name": "imported", "weights": "imported", "weights_digest": "", "trained": True,
        "upsample": False,
    }  # fmt: skip
    other = rewrite(made / "r.h5", tmp_path / "r.h5", imported)
    local = {"query_local": made / "q.h5", "database_local": made / "d.h5", "device": "cpu"}
    own = run_rerank(made, tmp_path / "own.h5")
    path = rrtool.rerank(other, tmp_path / "v.h5", **local)
    with open_artifact(own, Ranking) as expected, open_artifact(path, Ranking) as found:
        assert np.array_equal(found.ids, expected.ids)
        assert np.array_equal(found.scores, expected.scores)
        assert found.network["name"] == "imported"
        assert found.described()["verification"]["network"] == "squeezenet1_1"
        assert "network" not in expected.described()["verification"]


@pytest.mark.parametrize("case", ["same bytes", "other bytes", "unknown bytes", "renamed"])
def test_copies_are_told_by_their_bytes_and_by_name_only_where_those_are_unknown(
    made: Path, tmp_path: Path, case: str
) -> None:
    with (
        open_artifact(made / "q.h5", LocalFeaturesFile) as q,
        open_artifact(made / "r.h5", Ranking) as ranking,
    ):
        digests, similarities = q.file_digests, ranking.similarities
    n = len(digests)
    expected = np.eye(n, dtype=bool)  # the database is the queries
    if case == "other bytes":
        digests, expected = digests ^ 1, expected & False
    elif case == "unknown bytes":
        digests = digests * 0
    elif case == "renamed":  # each query has the bytes of the photo before it
        digests, expected = np.roll(digests, 1, axis=0), np.roll(expected, 1, axis=0)
    # Not so similar that it is taken for a copy anyway.
    ranked = rewrite(made / "r.h5", tmp_path / "r.h5", similarities=similarities * np.float32(0.9))
    queries = rewrite(made / "q.h5", tmp_path / "q.h5", file_digests=digests)
    path = rrtool.rerank(
        ranked, tmp_path / "v.h5", query_local=queries, database_local=made / "d.h5", device="cpu"
    )
    with (
        open_artifact(ranked, Ranking) as initial,
        open_artifact(path, Ranking) as verified,
        open_artifact(queries, LocalFeaturesFile) as q,
        open_artifact(made / "d.h5", LocalFeaturesFile) as d,
    ):
        for row in np.flatnonzero(q.status == 0):
            shortlist = initial.ids[row][initial.ids[row] >= 0]
            own, others = read_whole(q), read_whole(d)
            found = match(own, row, others, shortlist, MatchingOptions(one_to_one=True))
            agreement = strength_agreement(found, own, row, others, shortlist)
            scores = fuse(
                initial.similarities[row][: len(shortlist)], agreement, expected[row][shortlist]
            )
            in_order = np.sort(scores)[::-1].astype(np.float32)
            assert np.array_equal(verified.scores[row][: len(shortlist)], in_order)


def test_an_excerpt_holds_the_features_of_its_images(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_features, "_GAP", 2)
    with open_artifact(made / "d.h5", LocalFeaturesFile) as d:
        reader = LocalFeaturesReader(d)
        for rows in ([], [8], [7, 0, 0, 2], [1, 4, 5], range(9)):
            found = reader.read(np.array(rows, dtype=np.int32))
            assert set(rows) <= set(found.images.tolist())
            features, n_scales = found.features, d.n_scales
            assert features.n_images == len(found.images)
            for row, place in zip(rows, found.places(np.array(rows, dtype=int)), strict=True):
                own, bounds = d.of(row), features.offsets[place * n_scales :][: n_scales + 1]
                part = slice(bounds[0], bounds[-1])
                scales = np.repeat(np.arange(n_scales), np.diff(bounds))
                assert np.array_equal(features.means[part], own.means)
                assert np.array_equal(features.covariances[part], own.covariances)
                assert np.array_equal(features.strengths[part], own.strengths)
                assert np.array_equal(features.channels[part], own.channels)
                assert np.array_equal(scales, own.scales)
        for rows in ([-1, 3], [9]):
            with pytest.raises(ValueError, match="rows must lie in"):
                reader.read(np.array(rows))


def test_rerank_keeps_failed_photos_out_and_their_rows_in(made: Path, tmp_path: Path) -> None:
    path = run_rerank(made, tmp_path / "rr.h5", shortlist=100)
    with open_artifact(path, Ranking) as verified:
        names, ids = verified.query_names, verified.ids
    failed = names.index("c_2.png")
    assert (ids[failed] == -1).all()
    assert not (ids == failed).any()
    assert ids.shape == (9, 8)


def test_a_ranking_that_keeps_its_head_serves_all_that_follow(made: Path, tmp_path: Path) -> None:
    head = rrtool.search(made / "f.h5", made / "f.h5", tmp_path / "head.h5", top=5)
    paths = [
        rrtool.rerank(
            ranking, tmp_path / f"rr_{ranking.stem}.h5", query_local=made / "q.h5",
            database_local=made / "d.h5", device="cpu", shortlist=5,
        )
        for ranking in (made / "r.h5", head)
    ]  # fmt: skip
    with (
        open_artifact(paths[0], Ranking) as whole,
        open_artifact(paths[1], Ranking) as truncated,
    ):
        assert truncated.ids.shape == (9, 5)
        assert np.array_equal(truncated.ids, whole.ids[:, :5])
        for column in ("n_inliers", "n_tentative", "scale_pairs", "inliers", "offsets"):
            assert np.array_equal(getattr(truncated, column), getattr(whole, column))
        assert np.array_equal(truncated.scores, whole.scores[:, :5])
    summaries = rrtool.evaluate(paths[1:], ground_truth="prefix:^(.)_")
    assert summaries[0]["description"]["top"] == 5
    features = made / "f.h5"
    graph = rrtool.build_graph(features, tmp_path / "g.h5", k=3)
    both = {"graph": graph, "queries": features, "database": features, "device": "cpu"}
    diffused = rrtool.diffuse(tmp_path / "d.h5", seeds=paths[1], **both)
    with open_artifact(diffused, Ranking) as ranking:
        assert (ranking.ids[0] >= 0).all()  # the whole database, from seeds in the head
    rrtool.report(paths[1], images=made / "photos", output=tmp_path / "page.html")


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
    others = rrtool.detect_local(other, tmp_path / "o.h5", **NETWORK)
    with pytest.raises(ArtifactError, match="other images"):
        run_rerank(made, tmp_path / "rr.h5", database_local=others)
    assert not (tmp_path / "rr.h5").exists()


@pytest.mark.parametrize(
    "options",
    [{"shortlist": 0}, {"score": "best"}, {"inlier_threshold": 0.0}, {"max_scale_change": 0.5}],
)
def test_rerank_options_out_of_range_are_usage_errors(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="--" + next(iter(options)).replace("_", "-")):
        RerankOptions(ranking="r", query_local="q", database_local="d", output="o", **options)


def test_evaluate_records_scores_that_equal_its_answer(made: Path, tmp_path: Path) -> None:
    (summary,) = rrtool.evaluate(
        [made / "r.h5"], ground_truth="prefix:^(.)_", output=tmp_path / "e.h5"
    )
    (scores,) = summary["scores"]
    # Group c has two readable members; its third, unreadable one is a positive never found.
    assert (scores["n_queries"], scores["n_left_out"]) == (9, 0)
    with open_artifact(tmp_path / "e.h5", Evaluation) as recorded:
        assert recorded.rankings == [summary]
        precisions = recorded.scores["0/all/average_precisions"]
    assert np.nanmean(precisions) == scores["mAP"]
    # The same by hand: the ranks of the two others of each photo's group, the photo itself aside.
    with open_artifact(made / "r.h5", Ranking) as ranking:
        names, ids = ranking.database_names, ranking.ids
    for query, found in enumerate(ids):
        ranked = [names[i][0] == names[query][0] for i in found if i >= 0 and i != query]
        expected, n_found, before = 0.0, 0, 1.0
        for rank, is_positive in enumerate(ranked):
            before = n_found / rank if rank else 1.0
            n_found += is_positive
            expected += is_positive * (before + n_found / (rank + 1)) / 2 / 2
        assert precisions[query] == pytest.approx(expected)
    assert summary["description"]["network"]["trained"] is False
    assert "trapezoid" in summary["rules"]["average_precision_rule"]
