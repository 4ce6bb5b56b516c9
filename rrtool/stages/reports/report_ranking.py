"""``rrtool report`` of a ranking: its images and matches."""

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
        page = _Page(ranking, options)
        n_queries = len(page.ids)
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
            score_rows=[_score_row(label, scores) for label, scores in page.truth.scores],
            results=page.results(shown, progress),
        )
        write_text(output, pieces)
    tell_missing(progress, page.queries, page.database)


@dataclass(frozen=True)
class _Truth:
    """The ground truth of the setup that the page marks by, and the scores of all setups."""

    setup: str = ""
    queries: Sequence[QueryGroundTruth] = ()
    scores: Sequence[tuple[str, RetrievalScores]] = ()

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


class _Page:
    """Makes the results of queries, one after the other; columns are those of the ranking.

    Attributes:
        before: ids in the order before verification; None for a plain ranking, as ``n_inliers``.
    """

    def __init__(self, ranking: Ranking, options: ReportOptions) -> None:
        self.query_names, self.database_names = ranking.query_names, ranking.database_names
        self.boxes, self.ids = ranking.query_boxes, ranking.ids
        self.similarities = ranking.similarities
        self.n_inliers = ranking.n_inliers if ranking.is_verified else None
        self.before = ranking.ids_before() if ranking.is_verified else None
        method = str(ranking.extra["description"].get("method", "ranking"))
        self.truth = self._truth(options.ground_truth, method)
        self.queries = self.database = Pictures(options.images or "", self.database_names)
        if options.query_images is not None:
            self.queries = Pictures(options.query_images, self.query_names)
        self.drawer = self._drawer(ranking, options.query_local, options.database_local)

    def _truth(self, source: str | None, method: str) -> _Truth:
        if source is None:
            return _Truth()
        truth = ground_truths.load(source)
        setups = ground_truths.resolve(truth, self.query_names, self.database_names, self.boxes)
        orders = [(method, self.ids)]
        if self.before is not None:
            orders.insert(0, ("before verification", self.before))
        scores = [
            (label, retrieval_scores(ids, queries, protocol=truth.protocol, setup=setup,
                                     cutoffs=_CUTOFFS))
            for setup, queries in setups.items()
            for label, ids in orders
        ]  # fmt: skip
        setup = "medium" if "medium" in setups else next(iter(setups))
        return _Truth(setup, setups[setup], scores)

    def _drawer(
        self, ranking: Ranking, query_local: str | None, database_local: str | None
    ) -> MatchDrawer | None:
        if not ranking.is_verified or query_local is None or database_local is None:
            return None
        sides = []
        for path, names, pictures in (
            (query_local, self.query_names, self.queries),
            (database_local, self.database_names, self.database),
        ):
            with open_artifact(path, LocalFeaturesFile) as local:
                require_same_names(names, ranking.path, local.names, local.path)
                features = read_local_features(local)
                sides.append(MatchSide(names, features, local.map_sizes, local.boxes, pictures))
        drawer = MatchDrawer(
            sides[0], sides[1], ranking.scale_pairs, ranking.offsets, ranking.inliers
        )
        if not drawer.fits(self.ids):
            raise ArtifactError(
                "the matches are not of these local features", where=ranking.path,
                expected=f"those of {query_local} and {database_local}",
                todo="give those that rerank matched",
            )  # fmt: skip
        return drawer

    def results(self, shown: Sequence[int], progress: Progress) -> Iterator[QueryResult]:
        with progress.task("report", len(shown), "queries") as advance:
            for query in shown:
                yield self._result(query)
                advance(1)

    def _result(self, query: int) -> QueryResult:
        name, box = self.query_names[query], self.boxes[query]
        loaded = self.queries.load(name, _QUERY_PICTURE)
        return QueryResult(
            name,
            loaded and draw_box(loaded[0], box * loaded[1]),
            self._found(query, self.ids, self.n_inliers),
            [] if self.before is None else self._found(query, self.before, None),
            None if self.drawer is None else self.drawer.draw_best(query, self.ids[query], box),
            self.truth.note(query),
        )

    def _found(self, query: int, ids: np.ndarray, n_inliers: np.ndarray | None) -> list[Found]:
        similarities = dict(
            zip(self.ids[query].tolist(), self.similarities[query].tolist(), strict=True)
        )
        inliers = [] if n_inliers is None else n_inliers[query].tolist()
        return [
            Found(
                self.database_names[row],
                self.database.thumbnail(self.database_names[row]),
                self.truth.mark(query, row),
                similarities[row],
                inliers[place] if place < len(inliers) else None,
            )
            for place, row in enumerate(ids[query, :_N_FOUND].tolist())
            if row >= 0
        ]
