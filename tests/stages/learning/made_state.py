"""An al-state artifact of the test's own making: blobs in the plane, one class each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rrtool.artifacts import Provenance, create, encode_texts

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
    """The columns of an ``al-state`` that ``al-agree`` reads."""
    features, probabilities, truth = made_images(n)
    labels, status = np.full(n, -1, np.int32), np.zeros(n, np.uint8)
    labels[list(labeled)] = truth[list(labeled)]
    status[list(failed)] = 1
    columns = {
        "features": features,
        "probabilities": probabilities,
        "labels": labels,
        "status": status,
        "acquired_ids": np.arange(n - n_acquired, n),
    }
    with create(path, Provenance("al-state", {"seed": 0}), overwrite=True) as target:
        target.publish(
            {
                **encode_texts([f"{i}.png" for i in range(n)], "names"),
                **encode_texts(CLASSES, "class_names"),
                **columns,
                **changed,
            },
            extra={"cycle": 1},
        )
    return path


def write_truth(path: Path, n: int = 60, *, without: Sequence[int] = ()) -> Path:
    truth = made_images(n)[2]
    rows = [f"{i}.png,{CLASSES[truth[i]]}\n" for i in range(n) if i not in without]
    path.write_text("name,label\n" + "".join(rows))
    return path
