"""Scores of boxes found in images, whatever artifact they are from (METHODS §13)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.core.evaluation.localization import (
    FoundBoxes,
    best_iou,
    centre_inside,
    correct_localization,
    discovery_average_precision,
)
from rrtool.stages.driver import Datasets
from rrtool.stages.evaluation.scored import number

IOUS = (0.3, 0.5)


@dataclass(frozen=True)
class BoxScores:
    """How well the boxes found agree with the true ones, over the images that have true ones."""

    images: Sequence[FoundBoxes]

    @property
    def n_true(self) -> int:
        return sum(len(image.truth) for image in self.images)

    def summary(self) -> dict[str, Any]:
        """JSON-compatible; None where there is nothing to score, or no score to order boxes by."""
        ordered = all(image.scores is not None for image in self.images)
        covered = self._overlaps()
        return {
            **{f"region_recall@{iou:g}": number(_mean(covered >= iou)) for iou in IOUS},
            "CorLoc": number(_mean(self._correct(first=True))) if ordered else None,
            "CorLoc_any": number(_mean(self._correct(first=False))),
            "odAP": number(discovery_average_precision(self.images)) if ordered else None,
            "centres_inside": number(_mean(self._centres())),
        }

    def values(self) -> Datasets:
        """Of every true box, and of every image that has some."""
        found = {"overlaps": self._overlaps(), "localized": self._correct(first=False)}
        return {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}

    def _correct(self, first: bool) -> np.ndarray:
        return correct_localization(self.images, first=first)

    def _overlaps(self) -> np.ndarray:
        return _joined([best_iou(image.boxes, image.truth) for image in self.images])

    def _centres(self) -> np.ndarray:
        return _joined([centre_inside(image.boxes, image.truth) for image in self.images])


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *parts])


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
