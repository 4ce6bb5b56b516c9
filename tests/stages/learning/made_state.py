"""An al-state artifact of the test's own making: blobs in the plane, one class each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rrtool.artifacts import Provenance, create
from rrtool.artifacts.kinds import AlState

CLASSES = ("crab", "eel", "owl")


def made_images(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features ``(n, 4)``, probabilities ``(n, 3)`` and true classes ``(n,)``."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, len(CLASSES), n)
    features = np.eye(4)[truth] + 0.35 * generator.normal(size=(n, 4))
    scores = np.exp(3 * features[:, :3])
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    return features.astype(np.float32), probabilities.astype(np.float32), truth


def write_state(
    path: Path,
    n: int = 60,
    *,
    labeled: Sequence[int] = range(6),
    failed: Sequence[int] = (),
    n_acquired: int = 0,
    **changed: np.ndarray,
) -> Path:
    """An ``al-state``; ``changed`` columns are written as they are, right or wrong."""
    features, probabilities, truth = made_images(n)
    labels, status = np.full(n, -1, np.int32), np.zeros(n, np.uint8)
    labels[list(labeled)] = truth[list(labeled)]
    status[list(failed)] = 1
    columns = AlState.columns(
        names=[f"{i}.png" for i in range(n)],
        reasons=["cut short" if bad else "" for bad in status],
        status=status,
        class_names=CLASSES,
        labels=labels,
        labeled_cycle=np.where(labels < 0, -1, 0).astype(np.int16),
        acquired_ids=np.arange(n - n_acquired, n),
        acquired_scores=np.zeros(n_acquired),
        probabilities=probabilities,
        features=features,
    )
    facts = {"cycle": 1, "history": [], "n_images": n, "n_test_images": 0}
    with create(path, Provenance("al-state", {"seed": 0}), overwrite=True) as target:
        target.publish(columns | changed, extra=facts)
    return path


def write_truth(path: Path, n: int = 60, *, without: Sequence[int] = ()) -> Path:
    truth = made_images(n)[2]
    rows = [f"{i}.png,{CLASSES[truth[i]]}\n" for i in range(n) if i not in without]
    path.write_text("name,label\n" + "".join(rows))
    return path
