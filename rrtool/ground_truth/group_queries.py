"""What each query of groups should find: the other images that have its label."""

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set

import numpy as np

from rrtool.core.evaluation.evaluation import QueryGroundTruth

_NO_IDS = np.empty(0, dtype=np.int64)


class GroupQueries(Sequence[QueryGroundTruth]):
    """One ground truth per query, made when asked for.

    Every member of a group of m lists the other m - 1: kept all at once, that is quadratic when
    a whole collection queries itself.
    """

    def __init__(
        self, labels: list[str], members: dict[str, np.ndarray], itself: Sequence[Sequence[int]]
    ) -> None:
        self._labels, self._members, self._itself = labels, members, itself

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, query):  # untyped: a Sequence has one overload for ids, one for slices
        if isinstance(query, slice):
            return [self[i] for i in range(*query.indices(len(self)))]
        itself = np.array(self._itself[query], dtype=np.int64)
        members = self._members.get(self._labels[query], _NO_IDS)
        return QueryGroundTruth(members[~np.isin(members, itself)], itself)


def members_of(labels: Iterable[str], wanted: Set[str]) -> dict[str, np.ndarray]:
    """The rows that have each of the labels that are wanted."""
    rows = defaultdict[str, list[int]](list)
    for row, label in enumerate(labels):
        if label in wanted:
            rows[label].append(row)
    return {label: np.array(own, dtype=np.int64) for label, own in rows.items()}
