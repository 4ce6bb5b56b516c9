"""The page of mined tuples: queries and their positives, those that are hard to tell marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from rrtool.artifacts import Tuples, open_artifact
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.reports.document import warning_of
from rrtool.reports.match_page import QueryResult, Score, ShownHit, render_page
from rrtool.reports.picture_store import PictureStore
from rrtool.reports.pictures import Pictures, evenly_spaced, tell_missing
from rrtool.reports.verified_match import Sheet
from rrtool.stages.reports.match_rule import MatchRule
from rrtool.stages.reports.options import ReportOptions
from rrtool.stages.reports.text_output import write_text

_N_HITS = 20
_SCORE = Score("inliers", "matches of the two photos that agree", form="%.0f")


def write(options: ReportOptions, output: Path, progress: Progress) -> None:
    """Write a page of some queries, each with its positives, those of most inliers first.

    Raises:
        RrtoolError: the tuples are not mined ones, or the output cannot be written.
    """
    with open_artifact(options.artifacts[0], Tuples) as tuples:
        _require_mined(tuples)
        page = _Page(tuples, options)
        queries = page.queries
        shown = [queries[i] for i in evenly_spaced(len(queries), options.max_queries)]
        known = tuples.extra["mined"]
        facts = {
            "tuples": tuples.path, "made": tuples.created,
            "pairs": f"{known['n_pairs']} of neighbours, {known['n_hard']} hard ones",
            "queries shown": f"{len(shown)} of {len(queries)}, evenly spaced",
        }  # fmt: skip
        pieces = render_page(
            title=f"Positives of {len(queries)} mined queries",
            warning=warning_of(tuples.network), facts=facts, score=_SCORE,
            rule=MatchRule(known["level"] + 1), score_columns=(), score_rows=(),
            results=page.results(shown, progress),
        )  # fmt: skip
        write_text(output, pieces)
    tell_missing(progress, page.pictures)


def _require_mined(tuples: Tuples) -> None:
    """They say how the pairs match.

    Raises:
        RrtoolError: they don't.
    """
    if any(c not in tuples for c in (Tuples.pair_scores, Tuples.pair_kinds, Tuples.n_inliers)):
        raise UsageError(
            "these tuples do not say what matches", where=tuples.path,
            expected="tuples that rrtool mine has found without labels",
        )  # fmt: skip
    tuples.attributes.require("extra", tuples.extra, {"mined": dict})
    tuples.attributes.require(
        "extra", tuples.extra["mined"], {"n_pairs": int, "n_hard": int, "level": int}
    )


class _Page:
    """Makes what is shown of each query, one after the other."""

    def __init__(self, tuples: Tuples, options: ReportOptions) -> None:
        _, self._pairs = tuples.checked()
        self._scores, self._kinds = tuples.pair_scores, tuples.pair_kinds
        self._n_inliers, self._names = tuples.n_inliers, tuples.names
        self._level = tuples.extra["mined"]["level"]
        self.queries: list[int] = np.unique(self._pairs[:, 0]).tolist()
        self.pictures = Pictures(options.images or "", self._names)
        n_shown = min(len(self.queries), options.max_queries) * (1 + _N_HITS)
        self._store = PictureStore(min(n_shown, len(self._names)))

    def results(self, shown: Sequence[int], progress: Progress) -> Iterator[QueryResult]:
        with progress.task("report", len(shown), "queries") as advance:
            for query in shown:
                yield self._result(query)
                advance(1)

    def _result(self, query: int) -> QueryResult:
        picture = self._store.show(self.pictures, self._names[query])
        rows = np.flatnonzero(self._pairs[:, 0] == query)
        by_similarity = rows[np.argsort(-self._scores[rows], kind="stable")].tolist()
        rows = rows[np.argsort(-self._n_inliers[rows], kind="stable")][:_N_HITS]
        hits = []
        for rank, row in enumerate(rows.tolist(), start=1):
            name, n_inliers = self._names[self._pairs[row, 1]], int(self._n_inliers[row])
            sheet = Sheet(picture, self._store.show(self.pictures, name))
            hits.append(ShownHit(
                rank, name + (" (hard)" if self._kinds[row] else ""), None, n_inliers,
                float(self._scores[row]), by_similarity.index(row) + 1, n_inliers,
                n_inliers > self._level, sheet,
            ))  # fmt: skip
        n_hard = int(self._kinds[rows].sum())
        note = f"{n_hard} of them hard: no list of neighbours has them." if n_hard else ""
        return QueryResult(
            self._names[query], picture, None, hits, note=note, new_pictures=self._store.take_new()
        )
