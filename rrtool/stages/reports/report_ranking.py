"""``rrtool report`` of a ranking: its images and matches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrtool import ground_truth as ground_truths
from rrtool.artifacts import LocalFeaturesFile, Ranking, open_artifact, require_same_names
from rrtool.core.evaluation.evaluation import QueryGroundTruth, RetrievalScores, retrieval_scores
from rrtool.errors import ArtifactError
from rrtool.progress import Progress
from rrtool.reports.document import facts_of, render, warning_of
from rrtool.reports.drawing import draw_box
from rrtool.reports.match_page import NOT_COUNTED, RIGHT, WRONG, Found, QueryResult
from rrtool.reports.pictures import Pictures, evenly_spaced, tell_missing
from rrtool.reports.verified_match import MatchDrawer, MatchSide
from rrtool.stages.matching.local_features import read_local_features
from rrtool.stages.reports.options import ReportOptions
from rrtool.stages.reports.text_output import write_text

_N_FOUND = 8
_QUERY_PICTURE = 320  # longer side in pixels
_CUTOFFS = (1, 5, 10)


def write(options: ReportOptions, output: Path, progress: Progress) -> None:
    """Write a page that shows the head of each ranking, and the matches of verified ones.

    Raises:
        RrtoolError: an input does not fit, or the output cannot be written.
    """
    with open_artifact(options.artifacts[0], Ranking) as ranking:
        table = _Table.of(ranking)
        truth = _Truth.of(ranking, table, options.ground_truth)
        database = Pictures(options.images or "", table.database_names)
        queries = database
        if options.query_images is not None:
            queries = Pictures(options.query_images, table.query_names)
        drawer = _drawer(ranking, table, options, queries, database)
        page = _Page(table, truth, queries, database, drawer)
        n_queries = len(table.ids)
        shown = evenly_spaced(n_queries, options.max_queries)
        facts = {
            **facts_of(ranking.extra["description"]),
            "ranking": ranking.path,
            "made": ranking.created,
        }
        if len(shown) < n_queries:
            facts["queries shown"] = f"{len(shown)} of {n_queries}, evenly spaced"
        pieces = render(
            "matches.html",
            title=f"Ranked images of {n_queries} queries",
            warning=warning_of(ranking.network),
            facts=facts,
            score_columns=("order", "setup", "mAP", *(f"mP@{k}" for k in _CUTOFFS), "queries"),
            score_rows=[_score_row(label, scores) for label, scores in truth.scores],
            results=page.results(shown, progress),
        )
        write_text(output, pieces)
    tell_missing(progress, queries, database)


@dataclass(frozen=True)
class _Table:
    """The columns of a ranking that the page shows.

    Attributes:
        before: ids in the order before verification; None for a plain ranking, as ``n_inliers``.
    """

    query_names: list[str]
    database_names: list[str]
    query_boxes: np.ndarray
    ids: np.ndarray
    similarities: np.ndarray
    n_inliers: np.ndarray | None
    before: np.ndarray | None

    @staticmethod
    def of(ranking: Ranking) -> _Table:
        return _Table(
            ranking.query_names,
            ranking.database_names,
            ranking.query_boxes,
            ranking.ids,
            ranking.similarities,
            ranking.n_inliers if ranking.is_verified else None,
            ranking.ids_before() if ranking.is_verified else None,
        )

    def similarity_of(self, query: int) -> dict[int, float]:
        ids, values = self.ids[query].tolist(), self.similarities[query].tolist()
        return dict(zip(ids, values, strict=True))

    def inliers_at(self, query: int, place: int) -> int | None:
        if self.n_inliers is None or place >= self.n_inliers.shape[1]:
            return None
        return int(self.n_inliers[query, place])


@dataclass(frozen=True)
class _Truth:
    """The ground truth of the setup that the page marks by, and the scores of all setups."""

    setup: str = ""
    queries: Sequence[QueryGroundTruth] = ()
    scores: Sequence[tuple[str, RetrievalScores]] = ()

    @staticmethod
    def of(ranking: Ranking, table: _Table, source: str | None) -> _Truth:
        if source is None:
            return _Truth()
        truth = ground_truths.load(source)
        setups = truth.resolve(table.query_names, table.database_names, table.query_boxes)
        orders = [(str(ranking.extra["description"].get("method", "ranking")), table.ids)]
        if table.before is not None:
            orders.insert(0, ("before verification", table.before))
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


def _score_row(label: str, scores: RetrievalScores) -> list[str]:
    means = [scores.mean_average_precision, *(scores.precisions[k] for k in _CUTOFFS)]
    texts = ["–" if np.isnan(mean) else f"{100 * mean:.1f}" for mean in means]
    return [label, scores.setup, *texts, str(scores.n_queries - scores.n_left_out)]


def _drawer(
    ranking: Ranking, table: _Table, options: ReportOptions, queries: Pictures, database: Pictures
) -> MatchDrawer | None:
    if not ranking.is_verified or options.query_local is None or options.database_local is None:
        return None
    sides = []
    for path, names, pictures in (
        (options.query_local, table.query_names, queries),
        (options.database_local, table.database_names, database),
    ):
        with open_artifact(path, LocalFeaturesFile) as local:
            require_same_names(names, ranking.path, local.names, local.path)
            features = read_local_features(local)
            sides.append(MatchSide(names, features, local.map_sizes, local.boxes, pictures))
    drawer = MatchDrawer(sides[0], sides[1], ranking.scale_pairs, ranking.offsets, ranking.inliers)
    if not drawer.fits(table.ids):
        raise ArtifactError(
            "the matches are not of these local features", where=ranking.path,
            expected=f"those of {options.query_local} and {options.database_local}",
            todo="give those that rerank matched",
        )  # fmt: skip
    return drawer


@dataclass(frozen=True)
class _Page:
    """Makes the results of queries, one after the other."""

    table: _Table
    truth: _Truth
    queries: Pictures
    database: Pictures
    drawer: MatchDrawer | None

    def results(self, shown: Sequence[int], progress: Progress) -> Iterator[QueryResult]:
        with progress.task("report", len(shown), "queries") as advance:
            for query in shown:
                yield self._result(query)
                advance(1)

    def _result(self, query: int) -> QueryResult:
        table, drawer = self.table, self.drawer
        name, box = table.query_names[query], table.query_boxes[query]
        loaded = self.queries.load(name, _QUERY_PICTURE)
        return QueryResult(
            name,
            loaded and draw_box(loaded[0], box * loaded[1]),
            self._found(query, table.ids, verified=True),
            [] if table.before is None else self._found(query, table.before, verified=False),
            drawer.draw_best(query, table.ids[query], box) if drawer is not None else None,
            self.truth.note(query),
        )

    def _found(self, query: int, ids: np.ndarray, *, verified: bool) -> list[Found]:
        names, similarities = self.table.database_names, self.table.similarity_of(query)
        return [
            Found(
                names[row],
                self.database.thumbnail(names[row]),
                self.truth.mark(query, row),
                similarities[row],
                self.table.inliers_at(query, place) if verified else None,
            )
            for place, row in enumerate(ids[query, :_N_FOUND].tolist())
            if row >= 0
        ]
