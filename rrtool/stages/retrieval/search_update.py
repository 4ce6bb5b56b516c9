"""A ranking whose queries or database have changed: which of its lists of hits serve again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from rrtool.artifacts import OutputFile, Ranking, open_artifact
from rrtool.artifacts.digests import digest_of_values, match_rows
from rrtool.core.retrieval.list_update import update_lists
from rrtool.progress import Progress
from rrtool.stages.retrieval.descriptors import Described, Descriptors
from rrtool.stages.retrieval.options import SearchOptions


class Search(Protocol):
    """Ranks the database for queries."""

    def digests(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the descriptors of each query and of each image of the database, ``(n, 16)``."""
        ...

    def __call__(
        self, rows: np.ndarray, chosen: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and similarities ``(q, m)`` of the best images of the ``chosen``, best first.

        Args:
            rows: of the queries.
            chosen: ``(n,)`` bool; None for all images.
        """
        ...


def digests_of_images(found: Descriptors) -> np.ndarray:
    """BLAKE2b-128 of the usable descriptors of each image, ``(n, 16)``; zero where it has none."""
    digests = np.zeros((len(found.offsets) - 1, 16), dtype=np.uint8)
    for image, (first, last) in enumerate(pairwise(found.offsets.tolist())):
        own = found.vectors[first:last][found.usable[first:last]]
        if len(own):
            digests[image] = digest_of_values(own)
    return digests


def ranked(search: Search, n_queries: int) -> dict[str, Any]:
    """Columns of the ranking of all queries."""
    ids, similarities = search(np.arange(n_queries))
    return {"ids": ids, "similarities": similarities}


def updated_ranking(
    output: OutputFile,
    search: Search,
    queries: Described,
    database: Described,
    options: SearchOptions,
    progress: Progress,
) -> dict[str, Any]:
    """As ``ranked``, by what serves again of the ranking that is updated; with the digests."""
    own, of_database = search.digests()
    digests = {"query_digests": own, "database_digests": of_database}
    if not output.is_update:
        return {**ranked(search, len(own)), **digests}
    with open_artifact(output.path, Ranking) as old:
        if Ranking.query_digests not in old or Ranking.database_digests not in old:
            progress.message(
                f"update of {output.path}: nothing is kept, since it was made without --update"
            )
            return {**ranked(search, len(own)), **digests}
        sources = match_rows(old.query_digests, own)
        if options.expand or options.augment:
            sources[~_is_same_average(old, sources, queries, database)] = -1
        kept = np.flatnonzero(sources >= 0)
        lists = _Lists.of(old, of_database, sources[kept], options.top)
    progress.message(
        f"update of {output.path}: {len(kept)} of {own.any(axis=1).sum()} queries are as they "
        f"were, {lists.is_new.sum()} images of the database are new or changed"
    )
    if not len(kept):
        return {**ranked(search, len(own)), **digests}
    usable = np.flatnonzero(own.any(axis=1))
    return {**lists.updated(kept, (usable, len(own)), search, progress), **digests}


def _is_same_average(
    old: Ranking, sources: np.ndarray, queries: Described, database: Described
) -> np.ndarray:
    """Which queries are averaged with the same: that depends on all of the database, and on which
    of it has the query's own name."""
    if old.input("database").digest != database.digest:
        return np.zeros(len(sources), dtype=bool)
    names = old.query_names
    pairs = zip(sources.tolist(), queries.names, strict=True)
    return np.array([source >= 0 and names[source] == name for source, name in pairs], dtype=bool)


@dataclass(frozen=True)
class _Lists:
    """Lists of hits that may serve again.

    Attributes:
        ids, similarities: ``(q, m)``, as the database is numbered now; −1 for what is gone.
        bounds: ``(q,)``, see ``update_lists``.
        is_new: ``(n,)`` bool, images of the database that are in no list.
        length: entries that a list has now.
    """

    ids: np.ndarray
    similarities: np.ndarray
    bounds: np.ndarray
    is_new: np.ndarray
    length: int

    @staticmethod
    def of(old: Ranking, database: np.ndarray, rows: np.ndarray, top: int | None) -> _Lists:
        """Those in some rows of a ranking, for a database of these digests."""
        before = old.database_digests
        sources = match_rows(before, database)
        places = np.full(len(before) + 1, -1, dtype=np.int32)  # the last stands for none
        places[sources[sources >= 0]] = np.flatnonzero(sources >= 0)
        ids, similarities = old.ids[rows], old.similarities[rows]
        is_there, usable = ids >= 0, np.flatnonzero(database.any(axis=1))
        is_whole = is_there.sum(axis=1) >= np.count_nonzero(before.any(axis=1))
        is_new = np.zeros(len(database), dtype=bool)
        is_new[usable[sources[usable] < 0]] = True
        last = np.where(is_there, similarities, np.inf).min(axis=1, initial=np.inf)
        return _Lists(
            places[ids],
            similarities,
            np.where(is_whole, -np.inf, last),
            is_new,
            len(usable) if top is None else min(top, len(usable)),
        )

    def updated(
        self, rows: np.ndarray, queries: tuple[np.ndarray, int], search: Search, progress: Progress
    ) -> dict[str, Any]:
        """Columns of the ranking of all queries, of which those in ``rows`` have these lists.

        Args:
            queries: rows of those that are usable, and how many there are in all.
        """
        usable, n_queries = queries
        ids = np.full((n_queries, self.length), -1, dtype=np.int32)
        similarities = np.full(ids.shape, -np.inf, dtype=np.float32)
        nothing = np.zeros((len(rows), 0), np.int32), np.zeros((len(rows), 0), np.float32)
        new = search(rows, self.is_new) if self.is_new.any() else nothing
        kept = self.ids, self.similarities
        ids[rows], similarities[rows], is_right = update_lists(kept, self.bounds, new, self.length)
        anew = np.setdiff1d(usable, rows[is_right])
        if n_lost := int((~is_right).sum()):
            progress.message(f"{n_lost} of these queries have lost a hit and are searched anew")
        if len(anew):
            found, values = search(anew)
            ids[anew], similarities[anew] = -1, -np.inf
            ids[anew, : found.shape[1]], similarities[anew, : found.shape[1]] = found, values
        return {"ids": ids, "similarities": similarities}
