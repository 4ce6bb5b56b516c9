"""Matching the image names of an artifact to the names a ground truth uses."""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from rrtool.core.evaluation.evaluation import SCORING_RULES, QueryGroundTruth
from rrtool.errors import UsageError

_Entry = TypeVar("_Entry")
Box = tuple[float, float, float, float]


def find_entry(entries: Mapping[str, _Entry], name: str) -> _Entry | None:
    """The entry of an image: by its exact relative path, else by its path or stem unextended.

    An entry that has an extension is thus only met by the exact path.

    Args:
        entries: what is known, by the source's own names.
        name: relative POSIX path of the image, such as `sub/castle_001.jpg`.
    """
    without_extension = posixpath.splitext(name)[0]
    for candidate in (name, without_extension, posixpath.basename(without_extension)):
        if candidate in entries:
            return entries[candidate]
    return None


def find_queries(
    entries: Mapping[str, _Entry], query_names: Sequence[str], *, where: str
) -> list[_Entry]:
    """The entry of each query (`find_entry`).

    Raises:
        UsageError: some queries have none.
    """
    found = [find_entry(entries, name) for name in query_names]
    unknown = [name for name, entry in zip(query_names, found, strict=True) if entry is None]
    if unknown:
        what = f"{len(unknown)} of {len(query_names)} queries are not in this ground truth"
        expected = f"names such as {first_few(list(entries))}"
        raise UsageError(what, where=where, expected=expected, found=first_few(unknown))
    return [entry for entry in found if entry is not None]


def rows_of_entries(
    entry_names: Sequence[str], database_names: Sequence[str], *, where: str
) -> np.ndarray:
    """The database row of each named entry.

    Returns:
        `(len(entry_names),)` int64, -1 where the database holds no such image.

    Raises:
        UsageError: two images of the database match one entry, or none matches any.
    """
    entries = {name: entry for entry, name in enumerate(entry_names)}
    rows = np.full(len(entry_names), -1, dtype=np.int64)
    for row, name in enumerate(database_names):
        entry = find_entry(entries, name)
        if entry is None:
            continue
        if rows[entry] >= 0:
            what = f"two images of the database match '{entry_names[entry]}'"
            twins = first_few([database_names[rows[entry]], name])
            raise UsageError(what, where=where, found=twins)
        rows[entry] = row
    if len(database_names) and not (rows >= 0).any():
        raise UsageError(
            "no image of the database is in this ground truth",
            where=where,
            expected=f"names such as {first_few(entry_names)}",
            found=first_few(database_names),
        )
    return rows


def restrict(rows: np.ndarray, positives: Iterable[int], junk: Iterable[int]) -> QueryGroundTruth:
    """The ground truth of one query, restricted to the entries the database holds.

    Args:
        rows: database row of each entry, -1 for none (`rows_of_entries`).
        positives: entries to be found.
        junk: entries to leave aside; one that is positive too stays positive.
    """
    wanted = np.unique(np.fromiter(positives, dtype=np.int64))
    aside = np.setdiff1d(np.fromiter(junk, dtype=np.int64), wanted)
    positive_rows, junk_rows = rows[wanted], rows[aside]
    return QueryGroundTruth(
        positives=np.sort(positive_rows[positive_rows >= 0]),
        junk=np.sort(junk_rows[junk_rows >= 0]),
        n_missing_positives=int((positive_rows < 0).sum()),
    )


def described(protocol: str, source: str, positives: str, junk: str) -> dict[str, str]:
    """All the rules that scores by a ground truth depend on."""
    rules = {"positives_rule": positives, "junk_rule": junk, **SCORING_RULES}
    return {"protocol": protocol, "source": source, **rules}


def first_few(names: Sequence[str], limit: int = 3) -> str:
    """The first names in quotes, and how many more there are."""
    shown = ", ".join(f"'{name}'" for name in names[:limit])
    more = len(names) - limit
    return f"{shown} and {more} more" if more > 0 else shown or "none"
