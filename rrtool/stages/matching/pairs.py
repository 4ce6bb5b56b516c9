"""Pairs of images of one collection, matched by their local features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rrtool.artifacts import LocalFeaturesFile
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import Matches, MatchingOptions, match
from rrtool.errors import ArtifactError
from rrtool.stages.matching.local_features import Excerpt, LocalFeaturesReader

# Of which the features are held at once, 11 kB an image.
_PAIRS_AT_ONCE = 2048


@dataclass(frozen=True)
class Matched:
    """One image against several others.

    Attributes:
        places: ``(c,)`` of the pairs among all that were asked for.
        matches: in this order.
        excerpt: the features that these count.
    """

    places: np.ndarray
    matches: Matches
    excerpt: Excerpt


class PairMatcher:
    """Matches pairs of images, the first as the query, with inliers that are one to one.

    Args:
        local: features of the collection.
        device: where to match.

    Raises:
        ArtifactError: they are damaged.
    """

    def __init__(self, local: LocalFeaturesFile, device: str) -> None:
        self._reader = LocalFeaturesReader(local)
        self._device = device

    def count(self, pairs: np.ndarray) -> np.ndarray:
        """Inliers of each pair ``(m, 2)``, in rising order of the first; ``(m,)`` int32.

        Raises:
            ArtifactError: the features cannot be matched.
        """
        counts = np.zeros(len(pairs), dtype=np.int32)
        for found in self.matched(pairs):
            counts[found.places] = found.matches.n_inliers
        return counts

    def matched(self, pairs: np.ndarray) -> Iterator[Matched]:
        """All pairs, those of the same first image together; see ``count``."""
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            block = pairs[start : start + _PAIRS_AT_ONCE]
            excerpt = self._reader.read(block)
            places = excerpt.places(block)
            breaks = np.flatnonzero(np.diff(block[:, 0])) + 1
            for run in np.split(np.arange(len(block)), breaks):
                matches = self._match(excerpt.features, *places[run].T)
                yield Matched(start + run, matches, excerpt)

    def _match(self, features: LocalFeatures, first: np.ndarray, second: np.ndarray) -> Matches:
        arguments = features, int(first[0]), features, second, MatchingOptions(one_to_one=True)
        try:
            if self._device == "cpu":
                return match(*arguments)
            from rrtool.core.matching import spatial_matching_torch

            return spatial_matching_torch.match(*arguments, device=self._device)
        except ValueError as error:
            what, path = "the local features cannot be matched", self._reader.artifact.path
            raise ArtifactError(what, where=path, found=error, todo="make them again") from None
