"""A verified ranking whose inputs have changed: which queries need not be verified again."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

import numpy as np

from rrtool.artifacts import OutputFile, Ranking, open_artifact
from rrtool.artifacts.digests import digest_of_values
from rrtool.artifacts.schema import Column
from rrtool.progress import Progress
from rrtool.stages.driver import Datasets
from rrtool.stages.matching.local_features import Excerpt

# Columns of a shortlist, and what stands where it has no more entries.
_FILLERS: dict[Column, float] = {
    Ranking.n_inliers: 0, Ranking.n_tentative: 0, Ranking.scale_pairs: -1,
    Ranking.transforms: np.nan, Ranking.shortlist_places: -1,
}  # fmt: skip
_SCORES = Ranking.scores


class Ranked(NamedTuple):
    """The ranking of one query before verification, best first.

    Attributes:
        ids: −1 = none.
        similarities: of the descriptors.
        base: what has ordered it, with which the matches are taken together.
    """

    ids: np.ndarray
    similarities: np.ndarray
    base: np.ndarray


class KeptQueries:
    """The queries of a verified ranking, known by all that their verification depends on.

    Args:
        old: the ranking that is updated, open; None where there is none.

    Attributes:
        n_kept, n_others: queries that were asked for so far, and that were there or not.
    """

    def __init__(self, old: Ranking | None) -> None:
        self._old = old
        self._rows: dict[bytes, int] = {}
        self.n_kept = self.n_others = 0
        if old is not None:
            self._rows = {digest.tobytes(): i for i, digest in enumerate(old.verification_digests)}
            self._offsets = old.offsets

    def find(self, digest: np.ndarray, ranked: Ranked, sizes: tuple[int, int]) -> Datasets | None:
        """The columns of a query of this digest, as ``rerank`` makes them; None if it is new.

        Args:
            ranked: before verification.
            sizes: entries of its shortlist, and of the longest shortlist.

        Raises:
            ArtifactError: the ranking is damaged.
        """
        row = self._rows.get(digest.tobytes())
        if row is None or self._old is None:
            self.n_others += 1
            return None
        self.n_kept += 1
        n, size = sizes
        place = slice(row, row + 1)
        head = {
            column.name: self._old.read(column, place)[0][:n] for column in (*_FILLERS, _SCORES)
        }
        places = head[Ranking.shortlist_places.name]
        if not np.array_equal(np.sort(places), np.arange(n)):
            raise self._old.damaged("no order of a shortlist", Ranking.shortlist_places.name)
        order = np.concatenate([places, np.arange(n, len(ranked.ids))])
        first = row * self._old.lengths["s"]
        bounds = self._offsets[first : first + n + 1]
        return {
            **{c.name: padded(head[c.name], size, filler) for c, filler in _FILLERS.items()},
            "ids": ranked.ids[order],
            "similarities": ranked.similarities[order],
            "scores": np.concatenate([head[_SCORES.name], ranked.base[n:]]),
            "inlier_counts": padded(np.diff(bounds), size, 0),
            "inliers": self._old.read(Ranking.inliers, slice(int(bounds[0]), int(bounds[-1]))),
        }


def kept_queries(output: OutputFile, stack: ExitStack, progress: Progress) -> KeptQueries:
    """Those of the ranking that is updated, open until ``stack`` closes."""
    if not output.is_update:
        return KeptQueries(None)
    old = stack.enter_context(open_artifact(output.path, Ranking))
    if Ranking.verification_digests in old and Ranking.shortlist_places in old:
        return KeptQueries(old)
    progress.message(
        f"update of {output.path}: nothing is kept, since it was made without --update"
    )
    return KeptQueries(None)


class Digests:
    """Digests of all that the verification of a query depends on beside the options.

    Args:
        queries, database: local features that hold the query, and its candidates.
    """

    def __init__(self, queries: Excerpt, database: Excerpt) -> None:
        self._queries, self._database = queries, database
        self._known: dict[int, np.ndarray] = {}  # of the database, which queries share

    def __call__(
        self, query: int, shortlist: np.ndarray, similarities: np.ndarray, is_copy: np.ndarray
    ) -> np.ndarray:
        """Of a query with its shortlist, ``(16,)`` uint8."""
        for row in shortlist.tolist():
            if row not in self._known:
                self._known[row] = _digest_of_image(self._database, row)
        candidates = [self._known[row] for row in shortlist.tolist()]
        own = _digest_of_image(self._queries, query)
        return digest_of_values(own, *candidates, similarities, is_copy)


def _digest_of_image(excerpt: Excerpt, row: int) -> np.ndarray:
    features = excerpt.features
    first = int(excerpt.places(np.array(row))) * features.n_scales
    bounds = features.offsets[first : first + features.n_scales + 1]
    own = slice(int(bounds[0]), int(bounds[-1]))
    columns = features.means, features.covariances, features.strengths, features.channels
    return digest_of_values(np.diff(bounds), *(values[own] for values in columns))


def padded(values: np.ndarray, size: int, filler: float) -> np.ndarray:
    """``(size, …)`` with ``values`` first; rankings shorter than the shortlist leave a rest."""
    result = np.full((size, *values.shape[1:]), filler, dtype=values.dtype)
    result[: len(values)] = values
    return result
