"""Which images of a database are the photo of a query."""

from __future__ import annotations

import numpy as np

from rrtool.artifacts import OverImages


class Copies:
    """Which images of the database are the photo of a query: those of the same bytes.

    Where no digest of one of the two is known, those of the same name.
    """

    def __init__(self, queries: OverImages, database: OverImages) -> None:
        sides = queries, database
        self._names = [OverImages.names.encoded(each) for each in sides]
        self._digests = [
            each.file_digests if OverImages.file_digests in each else None for each in sides
        ]

    def among(self, rows: np.ndarray, query: int) -> np.ndarray:
        """``(c,)`` bool, for rows of the database."""
        names, others = self._names
        name = names[query]
        by_name = np.array([others[row] == name for row in rows.tolist()], dtype=bool)
        own, digests = self._digests
        if own is None or digests is None or not own[query].any():
            return by_name
        found = digests[rows]
        return np.where(found.any(axis=1), (found == own[query]).all(axis=1), by_name)
