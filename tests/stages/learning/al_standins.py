"""A data set and a learner of a few milliseconds, in the place of the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.artifacts import InputRecord
from rrtool.datasets.dataset import Dataset
from rrtool.training.options import TrainingOptions

PHASES = ("sup", "semi")
CLASSES = ["cat", "dog", "fox"]


def made_dataset(
    n: int = 30, n_test: int = 12, seed: int = 0, *, failed: tuple[int, ...] = ()
) -> Dataset:
    """Noisy blobs: class i % 3 has its brightness in band i % 3."""
    generator = np.random.default_rng(seed)
    status = np.zeros(n, dtype=np.uint8)
    status[list(failed)] = 1
    mean = np.zeros(1, dtype=np.float32)
    return Dataset(
        images=_blobs(n, generator),
        names=[f"img/{i:03d}.png" for i in range(n)],
        labels=(np.arange(n) % 3).astype(np.int32),
        class_names=list(CLASSES),
        test_images=_blobs(n_test, generator),
        test_labels=(np.arange(n_test) % 3).astype(np.int32),
        mean=mean,
        std=mean + 1,
        mirrored_alike=True,
        skipped=[],
        inputs=[InputRecord("images", "made", "images", "", f"made-{n}-{seed}")],
        status=status,
        reasons=["cut short" if bad else "" for bad in status],
    )


def _blobs(n: int, generator: np.random.Generator) -> np.ndarray:
    images = generator.integers(0, 120, (n, 6, 6, 1))
    for i in range(n):
        images[i, 2 * (i % 3) : 2 * (i % 3) + 2] += 60
    return images.astype(np.uint8)


@dataclass(frozen=True)
class Predictions:
    probabilities: np.ndarray
    features: np.ndarray


class NearestMean:
    """Nearest class mean of the pixels; an "epoch" moves the means a step towards theirs."""

    def __init__(
        self,
        dataset: Dataset,
        n_classes: int,
        options: TrainingOptions,
        seed: int,
        *,
        initial: Mapping[str, np.ndarray] | None,
        checkpoint: Any,
        on_epoch: Callable[[str, int, dict[str, float]], None],
    ) -> None:
        self._dataset, self._options, self._on_epoch = dataset, options, on_epoch
        self._checkpoint = checkpoint
        self._means = np.random.default_rng(seed).random((n_classes, 36))
        if initial is not None:
            self._means += initial["start"]

    def fit_supervised(self, labeled_ids: np.ndarray, labels: np.ndarray):
        self._fit("sup", self._options.epochs, labeled_ids, labels)

    def fit_semi_supervised(
        self, labeled_ids: np.ndarray, labels: np.ndarray, pseudo_labels_of: Any
    ) -> None:
        pseudo = pseudo_labels_of(self._features(self._dataset.images))
        targets = pseudo.labels.copy()
        targets[labeled_ids] = labels
        good = np.flatnonzero((self._dataset.status == 0) & (targets >= 0))
        self._fit("semi", self._options.semi_epochs, good, targets[good])

    def _fit(self, phase: str, n: int, ids: np.ndarray, labels: np.ndarray):
        saved = self._checkpoint.load()
        start, place = 0, PHASES.index(phase)
        if saved is not None:
            self._means, at = saved["means"], int(saved["phase"])
            start = int(saved["epoch"]) if at == place else n if at > place else 0
        pixels = self._pixels(self._dataset.images[ids])
        for epoch in range(start, n):
            for label in np.unique(labels):
                self._means[label] += 0.5 * (pixels[labels == label].mean(0) - self._means[label])
            self._on_epoch(phase, epoch, {"loss": 1.0 / (epoch + 1)})
            done = {"epoch": np.int64(epoch + 1), "phase": np.int64(place)}
            self._checkpoint.save({"means": self._means, **done})

    def predict(self, images: np.ndarray | None = None) -> Predictions:
        images = self._dataset.images if images is None else images
        distances = np.linalg.norm(self._pixels(images)[:, None] - self._means, axis=2)
        scores = np.exp(-2 * distances)
        probabilities = scores / scores.sum(1, keepdims=True)
        return Predictions(probabilities.astype(np.float32), self._features(images))

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        return float((self.predict(images).probabilities.argmax(1) == labels).mean())

    def parameters(self) -> dict[str, np.ndarray]:
        weights = {"weight": self._means, "bias": -0.5 * (self._means**2).sum(axis=1)}
        return {"means": self._means} | {f"classifier.{k}": v for k, v in weights.items()}

    def _pixels(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1) / 255.0

    def _features(self, images: np.ndarray) -> np.ndarray:
        pixels = self._pixels(images) + 1e-3
        return (pixels / np.linalg.norm(pixels, axis=1, keepdims=True)).astype(np.float32)
