"""Accuracy on held-out photos by number of labels, strategy and classifier, on frozen features.

python benchmarks/few_labels.py FEATURES.h5 --groups 'prefix:^(.*)_' [--labels 16,40,80,160]

Halves are drawn by the sorted names and the number of the draw. Labels are acquired on one half,
in as many steps as numbers are given; the first step of what needs a model is TypiClust's. No
photo of the other half is ever seen before it is told.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

from rrtool.artifacts import Features, open_artifact
from rrtool.core.learning.few_labels import (
    FewLabels,
    directions,
    expected_calibration_error,
    fit_ridges,
    joined,
)
from rrtool.core.learning.out_of_sample import propagate_to
from rrtool.ground_truth.groups import load_groups
from rrtool.stages.learning.acquisition_options import STRATEGIES as NAMES
from rrtool.stages.learning.frozen.model import center_of, learn, unlabeled_model
from rrtool.stages.learning.propagation_options import PropagationOptions
from rrtool.stages.learning.strategies import STRATEGIES

_COLD = ("random", "typiclust", "probcover", "coreset")
_COLUMNS = (
    "classifier on labels alone", "on pseudo-labels too", "propagation", "both (reported)",
    "calibration error",
)  # fmt: skip
Split = tuple[np.ndarray, np.ndarray]
OPTIONS = PropagationOptions(k=None, alpha=0.9, symmetrize="sum", device="cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features")
    parser.add_argument("--groups", required=True)
    parser.add_argument("--labels", default="16,40,80,160")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--strategies", default=",".join(n for n in NAMES if n != "ceal"))
    arguments = parser.parse_args()
    descriptors, truth = read(arguments.features, arguments.groups)
    counts = [int(n) for n in arguments.labels.split(",")]
    splits = [halves(len(truth), draw) for draw in range(arguments.draws)]
    print_table(descriptors, truth, counts, arguments.strategies.split(","), splits)


def read(path: str, groups: str) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors ``(n, d)`` in the order of the names, and the class of each."""
    with open_artifact(path, Features) as features:
        names, descriptors = features.names, features.descriptors
    order = np.argsort(names)
    found = load_groups(groups).labels([names[i] for i in order])
    return descriptors[order], np.unique(found, return_inverse=True)[1]


def halves(n: int, draw: int) -> Split:
    """Rows to learn from, and rows to be told."""
    order = np.random.default_rng([15, draw]).permutation(n)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def print_table(
    descriptors: np.ndarray,
    truth: np.ndarray,
    counts: list[int],
    strategies: list[str],
    splits: list[Split],
) -> None:
    """Mean and deviation over the splits, in per cent, a row for each strategy and number."""
    print("| strategy | labels | " + " | ".join(_COLUMNS) + " | seconds a cycle |")
    for strategy in strategies:
        found = np.array([
            list(_run(strategy, descriptors, truth, counts, split, draw))
            for draw, split in enumerate(splits)
        ])  # fmt: skip
        for count, column in zip(counts, found.transpose(1, 2, 0), strict=True):
            cells = [f"{v.mean():.1f} ± {v.std(ddof=1):.1f}" for v in 100 * column[:-1]]
            row = [strategy, str(count), *cells, f"{column[-1].mean():.2f}"]
            print(f"| {' | '.join(row)} |", flush=True)


def _run(
    strategy: str,
    descriptors: np.ndarray,
    truth: np.ndarray,
    counts: list[int],
    split: Split,
    draw: int,
) -> Iterator[list[float]]:
    own, other = split
    center = center_of(descriptors, own)
    vectors, asked = (directions(descriptors[ids], center) for ids in (own, other))
    known, n_classes = truth[own], int(truth.max()) + 1
    generator, labeled = np.random.default_rng([16, draw]), np.zeros(0, np.int64)
    model = unlabeled_model(vectors, OPTIONS)
    for step, count in enumerate(counts):
        start = time.perf_counter()
        name = strategy if step or strategy in _COLD else "typiclust"
        pool = np.setdiff1d(np.arange(len(own)), labeled)
        budget = min(count - len(labeled), len(pool))
        picked = STRATEGIES[name].acquire(model, labeled, pool, budget, generator).ids
        labeled = np.sort(np.concatenate([labeled, picked]))
        model, found = learn(vectors, labeled, known[labeled], n_classes, OPTIONS)
        seconds = time.perf_counter() - start
        told = _told(found, vectors, asked, labeled, known, model.options.k or 1)
        right = [float((scores.argmax(axis=1) == truth[other]).mean()) for scores in told]
        yield [*right, expected_calibration_error(told[-1], truth[other]), seconds]


def _told(
    found: FewLabels,
    vectors: np.ndarray,
    asked: np.ndarray,
    labeled: np.ndarray,
    known: np.ndarray,
    k: int,
) -> list[np.ndarray]:
    """What each part says of the other half."""
    alike = np.ones(len(labeled))
    n_classes = found.probabilities.shape[1]
    (plain,) = fit_ridges(vectors, labeled, known[labeled], alike, n_classes, (0.3,))
    near = propagate_to(asked, vectors, found.pseudo.probabilities, k)
    scores = asked @ found.weights
    return [asked @ plain, scores, near, joined(scores, near, found.exponents)]


if __name__ == "__main__":
    main()
