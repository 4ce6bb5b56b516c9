"""Local features of some images of an artifact, as the matching takes them."""

from dataclasses import dataclass

import numpy as np

from rrtool.artifacts import LocalFeaturesFile, offsets_of
from rrtool.artifacts.schema import Column
from rrtool.core.matching.local_features import LocalFeatures

# Images whose rows differ by no more are read at once, with those between: quicker than twice.
_GAP = 8


@dataclass(frozen=True)
class Excerpt:
    """The local features of some images of a collection.

    Attributes:
        images: ``(m,)`` int64, their rows in the collection, rising.
        features: of these images, in this order.
    """

    images: np.ndarray
    features: LocalFeatures

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where rows of the collection, which must be among ``images``, lie in ``features``."""
        return np.searchsorted(self.images, rows)


class LocalFeaturesReader:
    """Reads images of a ``local-features`` artifact; only the offsets are held.

    Attributes:
        artifact: that is read.

    Raises:
        ArtifactError: the offsets are damaged.
    """

    def __init__(self, artifact: LocalFeaturesFile) -> None:
        self.artifact = artifact
        self._offsets = artifact.offsets

    def read(self, rows: np.ndarray) -> Excerpt:
        """The features of the images in ``rows``, in any order, and perhaps of some between them.

        Raises:
            ArtifactError: they are damaged.
            ValueError: there are no such rows.
        """
        rows, n = np.unique(rows).astype(np.int64), self.artifact.lengths["n"]
        if len(rows) and not (rows[0] >= 0 and rows[-1] < n):
            raise ValueError(f"rows must lie in 0..{n - 1}, found {rows[0]}..{rows[-1]}")
        breaks = np.flatnonzero(np.diff(rows) > _GAP) + 1
        runs = [range(run[0], run[-1] + 1) for run in np.split(rows, breaks) if len(run)]
        n_scales, columns = self.artifact.n_scales, LocalFeaturesFile
        counts = [
            np.diff(self._offsets[run.start * n_scales : run.stop * n_scales + 1]) for run in runs
        ]
        return Excerpt(
            np.array([row for run in runs for row in run], dtype=np.int64),
            LocalFeatures(
                self._joined(columns.means, runs),
                self._joined(columns.covariances, runs),
                self._joined(columns.strengths, runs).astype(np.float32),
                self._joined(columns.channels, runs).astype(np.int32),
                offsets_of(np.concatenate([np.zeros(0, np.int64), *counts])),
                n_scales,
            ),
        )

    def _joined(self, column: Column, runs: list[range]) -> np.ndarray:
        """A column of the features of some runs of images."""
        bounds = self._offsets[:: self.artifact.n_scales]
        places = [slice(int(bounds[run.start]), int(bounds[run.stop])) for run in runs]
        return np.concatenate([self.artifact.read(column, each) for each in places or [slice(0)]])
