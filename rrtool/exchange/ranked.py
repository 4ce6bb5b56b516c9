"""Rankings that another program made."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rrtool.errors import UsageError
from rrtool.exchange.names import places_of, require_names

# Image, score, similarity (NaN: not known); the best first.
Entry = tuple[str, float, float]


@dataclass(frozen=True)
class Lists:
    """The lists of names that a ranking is completed by, each with its file.

    Attributes:
        queries: None: all that the file has.
        database: None: all images that the file names.
    """

    queries: list[str] | None = None
    queries_path: str = ""
    database: list[str] | None = None
    database_path: str = ""


@dataclass(frozen=True)
class Ranked:
    """A ranking of ``n`` images for ``q`` queries.

    Attributes:
        query_names, database_names: of the images.
        ids: ``(q, L)`` int32, database rows, best first; −1 = none.
        scores: ``(q, L)`` float32, of each entry; −inf where there is none.
        similarities: ``(q, L)`` float32, of the descriptors; NaN where they are not known, −inf
            where there is no entry.
    """

    query_names: list[str]
    database_names: list[str]
    ids: np.ndarray
    scores: np.ndarray
    similarities: np.ndarray

    @staticmethod
    def of_entries(entries: Mapping[str, Sequence[Entry]], lists: Lists, where: str) -> "Ranked":
        """From the entries of each query.

        Raises:
            UsageError: an image is not in the list, or twice in one ranking; or a query that is
                asked for has none.
        """
        queries = list(entries) if lists.queries is None else lists.queries
        if lists.queries is not None:
            places_of(queries, list(entries), lists.queries_path, where)
        named = list(dict.fromkeys(name for query in queries for name, _, _ in entries[query]))
        database = named if lists.database is None else lists.database
        for names in (queries, database):
            require_names(names, where)
        if lists.database is not None:
            places_of(named, database, where, lists.database_path)
        row_of = {name: row for row, name in enumerate(database)}
        found = _empty(queries, database, max((len(entries[q]) for q in queries), default=0))
        for row, query in enumerate(queries):
            found._fill(row, entries[query], row_of, where)
        return found

    def _fill(
        self, row: int, entries: Sequence[Entry], row_of: Mapping[str, int], where: str
    ) -> None:
        ids = [row_of[name] for name, _, _ in entries]
        counts = Counter(name for name, _, _ in entries)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            what = f"the ranking of '{self.query_names[row]}' has an image twice"
            raise UsageError(what, where=where, found=f"'{twice[0]}'")
        self.ids[row, : len(ids)] = ids
        self.scores[row, : len(ids)] = [score for _, score, _ in entries]
        self.similarities[row, : len(ids)] = [similarity for _, _, similarity in entries]

    @staticmethod
    def of_ranks(ranks: np.ndarray, lists: Lists, where: str) -> "Ranked":
        """From ``ranks`` as the revisited benchmarks have them; scores are 1 / rank.

        Args:
            ranks: ``(L, q)``, rows of the database, best first; −1 = none.
            lists: both are needed.

        Raises:
            UsageError: they are no whole numbers, or not of these queries and images.
        """
        if ranks.ndim != 2 or ranks.dtype.kind not in "iu":
            raise UsageError(
                "no ranks", where=where, expected="whole numbers, a column a query",
                found=f"{ranks.dtype} {ranks.shape}",
            )  # fmt: skip
        if lists.queries is None or lists.database is None:
            raise UsageError("ranks have no names", where=where, expected="--names, --query-names")
        require_names(lists.database, lists.database_path)
        require_names(lists.queries, lists.queries_path, unique=False)
        _require_ranks(ranks, len(lists.queries), len(lists.database), where)
        ids = np.ascontiguousarray(ranks.T).astype(np.int32)
        found = _empty(lists.queries, lists.database, ids.shape[1])
        found.ids[:] = ids
        found.scores[:] = 1 / np.arange(1, ids.shape[1] + 1)
        found.scores[ids < 0] = -np.inf
        found.similarities[ids >= 0] = np.nan
        return found


def _empty(queries: list[str], database: list[str], n_entries: int) -> Ranked:
    shape = len(queries), n_entries
    return Ranked(
        queries, database, np.full(shape, -1, np.int32), np.full(shape, -np.inf, np.float32),
        np.full(shape, -np.inf, np.float32),
    )  # fmt: skip


def _require_ranks(ranks: np.ndarray, n_queries: int, n_images: int, where: str) -> None:
    if ranks.shape[1] != n_queries:
        hint = "a row a query? transpose them" if ranks.shape[0] == n_queries else None
        expected, found = f"{n_queries} columns, a query each", f"shape {ranks.shape}"
        raise UsageError(
            "the ranks are of other queries", where=where, expected=expected, found=found, todo=hint
        )
    if ranks.size and not (int(ranks.min()) >= -1 and int(ranks.max()) < n_images):
        raise UsageError(
            "the ranks name images that are not there", where=where,
            expected=f"rows below {n_images}", found=f"{ranks.min()} to {ranks.max()}",
        )  # fmt: skip
    ordered = np.sort(ranks.astype(np.int64), axis=0)
    if ((ordered[1:] == ordered[:-1]) & (ordered[1:] >= 0)).any():
        raise UsageError("a ranking has an image twice", where=where)
    if ((ranks[:-1] < 0) & (ranks[1:] >= 0)).any() if ranks.dtype.kind == "i" else False:
        raise UsageError("a ranking has a gap", where=where, expected="-1 at its end only")


def by_score(entries: Iterable[Entry]) -> list[Entry]:
    """The best first; equal ones as they come."""
    return sorted(entries, key=lambda entry: -entry[1])
