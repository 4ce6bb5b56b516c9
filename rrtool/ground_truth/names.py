"""Matching the image names of an artifact to the names a ground truth uses."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from rrtool.core.evaluation.evaluation import SCORING_RULES, QueryGroundTruth
from rrtool.errors import UsageError
from rrtool.ground_truth.matching import match_names, spelling

_Entry = TypeVar("_Entry")
Box = tuple[float, float, float, float]


def find_queries(
    entries: Mapping[str, _Entry], query_names: Sequence[str], *, where: str
) -> list[_Entry]:
    """The entry of each query (`match_names`).

    Raises:
        UsageError: some queries have none, or several.
    """
    known = list(entries)
    found = match_names(known, query_names)
    unknown = [name for name, own in zip(query_names, found, strict=True) if not own]
    if unknown:
        what = f"{len(unknown)} of {len(query_names)} queries are not in this ground truth"
        expected = f"names such as {first_few(known)}"
        raise UsageError(what, where=where, expected=expected, found=first_few(unknown))
    for name, own in zip(query_names, found, strict=True):
        require_alike([known[entry] for entry in own], name, where)
    return [entries[known[own[0]]] for own in found]


def rows_of_entries(
    entry_names: Sequence[str], database_names: Sequence[str], *, where: str
) -> np.ndarray:
    """The database row of each named entry (`match_names`).

    Returns:
        `(len(entry_names),)` int64, -1 where the database holds no such image.

    Raises:
        UsageError: two images of the database match one entry, or two entries one image, or none
            matches any.
    """
    rows = np.full(len(entry_names), -1, dtype=np.int64)
    for row, own in enumerate(match_names(entry_names, database_names)):
        require_alike([entry_names[entry] for entry in own], database_names[row], where)
        for entry in own:
            if rows[entry] >= 0:
                what = f"two images of the database match '{entry_names[entry]}'"
                twins = first_few([database_names[rows[entry]], database_names[row]])
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


def require_alike(entries: Sequence[str], name: str, where: str) -> None:
    """Raises ``UsageError`` if entries that match one image do not spell the same name."""
    if len(entries) > 1 and len({spelling(entry) for entry in entries}) > 1:
        what = f"two names match the image '{name}'"
        todo = "write names as the images have them"
        raise UsageError(what, where=where, found=first_few(entries), todo=todo)


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
