"""A data set that a narrow network learns in moments, and a checkpoint in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rrtool.datasets.dataset import Dataset, channel_statistics

SIZE = 16


def striped(n: int, n_classes: int = 2, seed: int = 0, n_channels: int = 1) -> Dataset:
    """Noisy stripes: across, along, then both; class ``i % n_classes`` of image i."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(n) % n_classes).astype(np.int32)
    stripes = 90.0 * (np.arange(SIZE) // 2 % 2)
    patterns = np.stack(
        [np.tile(stripes, (SIZE, 1)), np.tile(stripes, (SIZE, 1)).T, np.add.outer(stripes, stripes)]
    )
    noise = generator.integers(0, 60, (n, SIZE, SIZE, n_channels))
    images = (patterns[labels][..., None] + noise).astype(np.uint8)
    return as_dataset(images, labels)


def as_dataset(images: np.ndarray, labels: np.ndarray, status: np.ndarray | None = None) -> Dataset:
    """Images with nothing else known of them."""
    n = len(images)
    status = np.zeros(n, np.uint8) if status is None else status
    mean, std = channel_statistics(images, status)
    return Dataset(
        images=images,
        names=[f"{number:04d}" for number in range(n)],
        labels=labels,
        class_names=[],
        test_images=images[:0],
        test_labels=labels[:0],
        mean=mean,
        std=std,
        mirrored_alike=True,
        status=status,
        reasons=["unreadable" if failed else "" for failed in status],
        skipped=[],
        inputs=[],
    )


@dataclass(frozen=True)
class Guesses:
    """Pseudo-labels as label propagation returns them."""

    labels: np.ndarray
    weights: np.ndarray


class InMemory:
    """A checkpoint; ``n_saved`` counts."""

    def __init__(self) -> None:
        self._state: dict[str, np.ndarray] | None = None
        self.n_saved = 0

    def load(self) -> dict[str, np.ndarray] | None:
        return None if self._state is None else dict(self._state)

    def save(self, state: Mapping[str, np.ndarray]) -> None:
        self._state = {name: np.array(values) for name, values in state.items()}
        self.n_saved += 1


class Killed(Exception):
    """Ends a run in its midst."""


class KillAt:
    """An ``on_epoch`` that ends the run at one epoch; keeps what it was told."""

    def __init__(self, phase: str, epoch: int) -> None:
        self._moment = phase, epoch
        self.log: list[tuple[str, int, dict[str, float]]] = []

    def __call__(self, phase: str, epoch: int, facts: dict[str, float]) -> None:
        if (phase, epoch) == self._moment:
            raise Killed
        self.log.append((phase, epoch, facts))


def assert_same_parameters(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]
) -> None:
    """Bit for bit."""
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
