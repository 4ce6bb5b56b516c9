"""What a ranking has right and wrong, for its page."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rrtool import ground_truth as ground_truths
from rrtool.artifacts import Ranking
from rrtool.core.evaluation.evaluation import QueryGroundTruth, RetrievalScores, retrieval_scores
from rrtool.reports.match_page import NOT_COUNTED, RIGHT, WRONG

_CUTOFFS = (1, 5, 10)
SCORE_COLUMNS = ("mAP", *(f"mP@{k}" for k in _CUTOFFS), "queries")


@dataclass(frozen=True)
class Truth:
    """The ground truth of the setup that the page marks by, and the scores of all setups."""

    setup: str = ""
    queries: Sequence[QueryGroundTruth] = ()
    scores: Sequence[tuple[str, RetrievalScores]] = ()

    def mark(self, query: int, row: int) -> str | None:
        """What an image is to a query; None without a ground truth of it."""
        if not len(self.queries):
            return None
        truth = self.queries[query]
        if not truth.is_query:
            return None
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
        return "Average precision " + ", ".join(found) if found else ""

    def score_rows(self) -> list[tuple[str, list[str]]]:
        """Title and cells of a table of the scores; columns are ``SCORE_COLUMNS``."""
        several = len({scores.setup for _, scores in self.scores}) > 1
        return [
            (f"{label}, {scores.setup}" if several else label, _cells(scores))
            for label, scores in self.scores
        ]


def _cells(scores: RetrievalScores) -> list[str]:
    means = [scores.mean_average_precision, *(scores.precisions[k] for k in _CUTOFFS)]
    texts = ["–" if np.isnan(mean) else f"{100 * mean:.1f}" for mean in means]
    return [*texts, str(scores.n_queries - scores.n_left_out)]


def read_truth(source: str | None, ranking: Ranking, method: str) -> Truth:
    """The ground truth, and the scores of a ranking before and after its verification.

    Raises:
        UsageError: it cannot be read, or is about other images.
    """
    if source is None:
        return Truth()
    truth = ground_truths.load(source)
    names = ranking.query_names, ranking.database_names
    setups = ground_truths.resolve(truth, *names, ranking.query_boxes)
    orders = [(method, ranking.ids)]
    if ranking.is_verified:
        orders.insert(0, ("before verification", ranking.ids_before()))
    scores = [
        (label, retrieval_scores(ids, queries, protocol=truth.protocol, setup=setup,
                                 cutoffs=_CUTOFFS))
        for setup, queries in setups.items()
        for label, ids in orders
    ]  # fmt: skip
    setup = "medium" if "medium" in setups else next(iter(setups))
    return Truth(setup, setups[setup], scores)
