"""How many of flipped labels are on the list for a second look, and how much of it is flipped.

python benchmarks/suspicious_labels.py FEATURES.h5 --groups 'prefix:^(.*)_' [--labels 40,80,160]

All photos are on the graph; labels are drawn at random, and of these a share is flipped to another
class, each equally likely.
"""

from __future__ import annotations

import argparse

import numpy as np
from few_labels import OPTIONS, read

from rrtool.core.learning.few_labels import directions
from rrtool.stages.learning.frozen.model import center_of, learn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features")
    parser.add_argument("--groups", required=True)
    parser.add_argument("--labels", default="40,80,160")
    parser.add_argument("--flipped", type=float, default=0.05)
    parser.add_argument("--draws", type=int, default=10)
    arguments = parser.parse_args()
    descriptors, truth = read(arguments.features, arguments.groups)
    vectors = directions(descriptors, center_of(descriptors, np.arange(len(truth))))
    print("| labels | flipped | listed | precision | recall | precision of the first so many |")
    for n_labels in (int(number) for number in arguments.labels.split(",")):
        n_flipped = max(1, round(arguments.flipped * n_labels))
        counts = np.array([
            listed(vectors, truth, n_labels, n_flipped, draw) for draw in range(arguments.draws)
        ])  # fmt: skip
        n_listed, n_right, n_first = counts.sum(axis=0)
        shares = n_right / max(1, n_listed), n_right / (n_flipped * len(counts))
        first = n_first / (n_flipped * len(counts))
        cells = [f"{n_listed / len(counts):.1f}", *(f"{100 * s:.0f} %" for s in (*shares, first))]
        print(f"| {n_labels} | {n_flipped} | {' | '.join(cells)} |", flush=True)


def listed(
    vectors: np.ndarray, truth: np.ndarray, n_labels: int, n_flipped: int, draw: int
) -> tuple[int, int, int]:
    """Labels on the list, flipped ones among them, and those at the head of as many as flipped."""
    generator = np.random.default_rng([19, draw])
    labeled = np.sort(generator.permutation(len(truth))[:n_labels])
    labels, n_classes = truth[labeled].copy(), int(truth.max()) + 1
    wrong = generator.permutation(n_labels)[:n_flipped]
    labels[wrong] = (labels[wrong] + generator.integers(1, n_classes, n_flipped)) % n_classes
    _, found = learn(vectors, labeled, labels, n_classes, OPTIONS)
    is_flipped = np.isin(found.suspects.ids, labeled[wrong])
    return len(is_flipped), int(is_flipped.sum()), int(is_flipped[:n_flipped].sum())


if __name__ == "__main__":
    main()
