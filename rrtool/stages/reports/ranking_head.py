"""The first hits of a query, and what orders them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.artifacts import Ranking
from rrtool.reports.match_page import Score

SIMILARITY = Score("similarity")
INLIERS = Score(
    "inliers", "the matches that agree on one transformation", "not verified", form="%.0f"
)
FUSED = Score(
    "fused score",
    "similarity plus a quarter of the agreement, which is the number of inliers, each counted by "
    "how equal in strength its two sides are. Both are in standard deviations from their mean over "
    "the photos that were verified",
    "not verified",
)
DIFFUSED = Score(
    "diffused score",
    "how much reaches a photo, over the graph of the collection, from those that resemble the "
    "query most",
    "not reached",
    form="%.3g",
)


def score_of(description: Mapping[str, Any]) -> Score:
    """What orders a ranking that is described so."""
    if "diffusion" in description:
        return DIFFUSED
    if "verification" not in description:
        return SIMILARITY
    verification = description["verification"]
    by_inliers = isinstance(verification, dict) and verification.get("score") == "inliers"
    return INLIERS if by_inliers else FUSED


@dataclass(frozen=True)
class Entry:
    """A hit.

    Attributes:
        row: of the image in the database.
        rank: 1 for the best.
        score: what orders it; None where it has none of that name.
        similarity: of the descriptors.
        rank_by_similarity: its rank in that order, ties by row.
        box: x0, y0, x1, y1 of what matches of it, pixels; None where that is not known.
    """

    row: int
    rank: int
    score: float | None
    similarity: float
    rank_by_similarity: int
    box: Sequence[float] | None = None


def read_head(
    ranking: Ranking, query: int, n_hits: int, is_own: Callable[[int], bool]
) -> tuple[list[Entry], list[int]]:
    """The first hits of a query, and the rows of its own photo that are before the last of them.

    Args:
        is_own: whether a row is the photo of the query, which is no hit and has no rank.

    Raises:
        ArtifactError: the ranking is damaged.
    """
    one = slice(query, query + 1)
    ids = ranking.read(Ranking.ids, one)[0]
    scores = ranking.read(Ranking.scores, one)[0].tolist()
    similarities = ranking.read(Ranking.similarities, one)[0]
    places, own = _first_places(ids, n_hits, is_own)
    others = (ids >= 0) & ~np.isin(ids, own)
    has_score = _has_score(ranking)
    boxes = ranking.read(Ranking.hit_boxes, one)[0].tolist() if ranking.has_boxes else []
    hits = []
    for rank, place in enumerate(places, start=1):
        row, similarity = int(ids[place]), float(similarities[place])
        is_before = (similarities > similarity) | ((similarities == similarity) & (ids < row))
        score = scores[place] if has_score(place, scores[place]) else None
        rank_by_similarity = 1 + int((is_before & others).sum())
        box = boxes[place] if place < len(boxes) else None
        hits.append(Entry(row, rank, score, similarity, rank_by_similarity, box))
    return hits, own


def _first_places(
    ids: np.ndarray, n_hits: int, is_own: Callable[[int], bool]
) -> tuple[list[int], list[int]]:
    places: list[int] = []
    own: list[int] = []
    for place, row in enumerate(ids.tolist()):
        if len(places) == n_hits:
            break
        if row >= 0 and is_own(row):
            own.append(row)
        elif row >= 0:
            places.append(place)
    return places, own


def _has_score(ranking: Ranking) -> Callable[[int, float], bool]:
    """Whether the entry at a place, of this score, was scored as the first ones were."""
    order = score_of(ranking.extra["description"])
    if order is DIFFUSED:
        return lambda place, score: score > 0
    if order is SIMILARITY:
        return lambda place, score: True
    n_verified = ranking.n_verified
    return lambda place, score: place < n_verified
