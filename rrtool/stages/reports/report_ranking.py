"""``rrtool report``: a ranking as one HTML page with its images and matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrtool import ground_truth as ground_truths
from rrtool.artifacts import Artifact, open_artifact, require_no_input
from rrtool.artifacts.compatibility import require_same_names
from rrtool.core.evaluation.evaluation import (
    QueryGroundTruth,
    RetrievalScores,
    retrieval_scores,
)
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.reports.drawing import draw_box
from rrtool.reports.match_page import (
    NOT_COUNTED,
    RIGHT,
    WRONG,
    Found,
    Page,
    QueryResult,
    render_page,
)
from rrtool.reports.pictures import Pictures
from rrtool.reports.verified_match import MatchDrawer, MatchSide
from rrtool.stages.matching.detect_local import read_local_features
from rrtool.stages.reports.report_output import UNTRAINED, evenly_spaced, facts_of
from rrtool.stages.reports.text_output import checked_page, write_text

_N_FOUND = 8
_QUERY_PICTURE = 320  # longer side in pixels
_CUTOFFS = (1, 5, 10)


def run(
    ranking: str,
    output: str | Path,
    *,
    images: str | None,
    query_images: str | None = None,
    query_local: str | None = None,
    database_local: str | None = None,
    ground_truth: str | None = None,
    max_queries: int = 50,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Write a page that shows the head of each ranking, and the matches of verified ones.

    Args:
        ranking: a ``ranking`` artifact, reranked or not.
        output: the page; a page of an earlier run is replaced.
        images, query_images: where the images are, as for ``extract``; queries: default the same.
        query_local, database_local: the ``local-features`` that ``rerank`` matched; without them
            no matches are drawn.
        ground_truth: marks right and wrong, and gives scores; see ``ground_truth.load``.
        max_queries: of a longer ranking, this many evenly spaced queries are shown.
        overwrite: replace even a file that is no report.

    Raises:
        RrtoolError: an input does not fit, or the output cannot be written.
    """
    output = checked_page(output, overwrite)
    if images is None:
        raise UsageError("a ranking is shown with its images", expected="--images")
    _check(max_queries, query_local, database_local)
    local = {"query-local": query_local, "database-local": database_local}
    require_no_input(output, {"ranking": ranking, **local})
    with open_artifact(ranking, "ranking") as artifact:
        table = _Ranking.of(artifact)
        truth = _Truth.of(artifact, table, ground_truth)
        database = Pictures(images, table.database_names)
        queries = Pictures(query_images, table.query_names) if query_images else database
        drawer = _drawer(artifact, table, query_local, database_local, queries, database)
        shown = evenly_spaced(len(table.ids), max_queries)
        results = []
        with progress.task("report", len(shown), "queries") as advance:
            for query in shown:
                results.append(_result(query, table, truth, queries, database, drawer))
                advance(1)
        page = _page(artifact, table, truth, results)
    if missing := queries.missing | database.missing:
        progress.message(f"{len(missing)} images cannot be shown, e.g. {min(missing)}")
    return write_text(output, render_page(page))


def _check(max_queries: int, query_local: str | None, database_local: str | None) -> None:
    if max_queries < 1:
        raise UsageError("bad --max-queries", expected="at least 1", found=max_queries)
    if (query_local is None) != (database_local is None):
        raise UsageError(
            "matches need the local features of both sides",
            expected="--query-local and --database-local",
            found="one of the two",
        )


@dataclass(frozen=True)
class _Ranking:
    """The columns of a ranking that the page shows; ``n_inliers`` is None for a plain one."""

    query_names: list[str]
    database_names: list[str]
    query_boxes: np.ndarray
    ids: np.ndarray
    similarities: np.ndarray
    n_inliers: np.ndarray | None

    @staticmethod
    def of(artifact: Artifact) -> _Ranking:
        return _Ranking(
            artifact.read_texts("query_names"),
            artifact.read_texts("database_names"),
            artifact.read("query_boxes"),
            artifact.read("ids"),
            artifact.read("similarities"),
            artifact.read("n_inliers") if "n_inliers" in artifact else None,
        )

    def ids_before(self) -> np.ndarray:
        """The order before verification: by similarity, ties by row, no entry last."""
        keys = np.where(self.ids < 0, np.inf, -self.similarities.astype(np.float64))
        return np.take_along_axis(self.ids, np.lexsort((self.ids, keys), axis=1), axis=1)

    def similarity_of(self, query: int) -> dict[int, float]:
        ids, values = self.ids[query].tolist(), self.similarities[query].tolist()
        return dict(zip(ids, values, strict=True))


@dataclass(frozen=True)
class _Truth:
    """The ground truth of the setup that the page marks by, and the scores of all setups."""

    setup: str = ""
    queries: Sequence[QueryGroundTruth] = ()
    scores: Sequence[tuple[str, RetrievalScores]] = ()

    @staticmethod
    def of(artifact: Artifact, table: _Ranking, source: str | None) -> _Truth:
        if source is None:
            return _Truth()
        truth = ground_truths.load(source)
        names = (table.query_names, table.database_names)
        setups = truth.resolve(*names, artifact.read("query_boxes"))
        method = str(artifact.extra.get("description", {}).get("method", "ranking"))
        orders = [(method, table.ids)]
        if table.n_inliers is not None:
            orders.insert(0, ("before verification", table.ids_before()))
        scores = [
            (label, retrieval_scores(ids, queries, protocol=truth.protocol, setup=setup,
                                     cutoffs=_CUTOFFS))
            for setup, queries in setups.items()
            for label, ids in orders
        ]  # fmt: skip
        setup = "medium" if "medium" in setups else next(iter(setups))
        return _Truth(setup, setups[setup], scores)

    def mark(self, query: int, row: int) -> str | None:
        if not len(self.queries):
            return None
        truth = self.queries[query]
        if row in truth.junk:
            return NOT_COUNTED
        return RIGHT if row in truth.positives else WRONG

    def note(self, query: int) -> str:
        """Average precisions of the query, in the order of ``scores``."""
        found = [
            f"{100 * scores.average_precisions[query]:.1f} ({label})"
            for label, scores in self.scores
            if scores.setup == self.setup and not np.isnan(scores.average_precisions[query])
        ]
        return "average precision " + ", ".join(found) if found else ""


def _drawer(
    artifact: Artifact,
    table: _Ranking,
    query_local: str | None,
    database_local: str | None,
    queries: Pictures,
    database: Pictures,
) -> MatchDrawer | None:
    if table.n_inliers is None or query_local is None or database_local is None:
        return None
    sides = []
    for path, names, pictures in (
        (query_local, table.query_names, queries),
        (database_local, table.database_names, database),
    ):
        with open_artifact(path, "local-features") as local:
            require_same_names(names, artifact.path, local.read_texts("names"), local.path)
            geometry = local.read("map_sizes"), local.read("boxes")
            sides.append(MatchSide(names, read_local_features(local), *geometry, pictures))
    columns = (artifact.read(name) for name in ("scale_pairs", "offsets", "inliers"))
    return MatchDrawer(sides[0], sides[1], *columns)


def _result(
    query: int,
    table: _Ranking,
    truth: _Truth,
    queries: Pictures,
    database: Pictures,
    drawer: MatchDrawer | None,
) -> QueryResult:
    name, box = table.query_names[query], table.query_boxes[query]
    loaded = queries.load(name, _QUERY_PICTURE)
    similarities = table.similarity_of(query)

    def found(ids: np.ndarray, with_inliers: bool) -> list[Found]:
        return [
            Found(
                table.database_names[row],
                database.thumbnail(table.database_names[row]),
                truth.mark(query, row),
                similarities[row],
                _inliers_at(table, query, position) if with_inliers else None,
            )
            for position, row in enumerate(ids[:_N_FOUND].tolist())
            if row >= 0
        ]

    return QueryResult(
        name,
        loaded and draw_box(loaded[0], box * loaded[1]),
        found(table.ids[query], True),
        found(table.ids_before()[query], False) if table.n_inliers is not None else (),
        drawer.draw_best(query, table.ids[query], box) if drawer is not None else None,
        truth.note(query),
    )


def _inliers_at(table: _Ranking, query: int, position: int) -> int | None:
    if table.n_inliers is None or position >= table.n_inliers.shape[1]:
        return None
    return int(table.n_inliers[query, position])


def _page(
    artifact: Artifact, table: _Ranking, truth: _Truth, results: Sequence[QueryResult]
) -> Page:
    description = artifact.extra.get("description", {})
    untrained = not artifact.network.get("trained", True)
    n_shown, n_queries = len(results), len(table.ids)
    facts = {**facts_of(description), "ranking": artifact.path, "made": artifact.created}
    if n_shown < n_queries:
        facts["queries shown"] = f"{n_shown} of {n_queries}, evenly spaced"
    return Page(
        f"Ranked images of {n_queries} queries",
        results,
        facts,
        ("order", "setup", "mAP", *(f"mP@{k}" for k in _CUTOFFS), "queries"),
        [_score_row(label, scores) for label, scores in truth.scores],
        UNTRAINED if untrained else "",
    )


def _score_row(label: str, scores: RetrievalScores) -> list[str]:
    means = [scores.mean_average_precision, *(scores.precisions[k] for k in _CUTOFFS)]
    texts = ["–" if np.isnan(mean) else f"{100 * mean:.1f}" for mean in means]
    return [label, scores.setup, *texts, str(scores.n_queries - scores.n_left_out)]
