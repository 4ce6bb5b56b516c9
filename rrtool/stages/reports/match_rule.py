"""When a verified hit counts as a match, and not as the nearest of what shows something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Between a query and the best of 100 photos of other things so many agree for 0 to 13 % of the
# queries; with the best of those of the same thing for 65 to 87 % (products, scenes), 27 % (small
# logos) or 8 % (buildings seen from elsewhere): two networks, four sets.
MIN_INLIERS = 20
# Descriptors of the default network with its whitening tell more than inliers do, and both together
# most (docs/every-night.md): of 182 photos of other things 5 % pass, of right first hits 92 %
# (small logos) to 100 % (products).
_OWN_WHITENING = "photos@"
_SIMILARITY_OF_AN_INLIER = 0.02


@dataclass(frozen=True)
class MatchRule:
    """How much must speak for a hit.

    Attributes:
        min_inliers: how many make a match.
        an_inlier: the similarity that counts as one; None where it counts nothing.
    """

    min_inliers: int = MIN_INLIERS
    an_inlier: float | None = None

    @staticmethod
    def of(description: Mapping[str, Any], min_inliers: int = MIN_INLIERS) -> MatchRule:
        """That of a ranking, by its description."""
        is_own = str(description.get("whitening")).startswith(_OWN_WHITENING)
        return MatchRule(min_inliers, _SIMILARITY_OF_AN_INLIER if is_own else None)

    def holds(self, similarity: float, n_inliers: int | None) -> bool:
        """Whether a hit is a match; one that was not verified is none."""
        if n_inliers is None:
            return False
        more = 0.0 if self.an_inlier is None else similarity / self.an_inlier
        return n_inliers + more >= self.min_inliers

    @property
    def addition(self) -> str:
        """What the sentence about inliers ends with."""
        return "" if self.an_inlier is None else (
            f", a similarity of {self.an_inlier:g} counting as one"
        )  # fmt: skip
