"""Accuracy on all other photos of a few classes with a few labels, over choices of the classes.

python benchmarks/few_classes.py FEATURES.h5 --groups 'prefix:^(.*)_' [--classes 5 --labels 20]
    [--photos 160-180]

What a team with photos of so many products gets in the first cycle: all of their photos are on the
graph, and the accuracy is that on those without a label. Each choice of classes that has so many
photos is drawn once.
"""

from __future__ import annotations

import argparse
from itertools import combinations

import numpy as np
from few_labels import OPTIONS, read

from rrtool.core.learning.few_labels import directions
from rrtool.stages.learning.frozen.model import center_of, learn, unlabeled_model
from rrtool.stages.learning.strategies import STRATEGIES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features")
    parser.add_argument("--groups", required=True)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--photos", default="0-1000000", help="of the classes together")
    parser.add_argument("--choices", type=int, default=100)
    parser.add_argument("--strategies", default="random,typiclust")
    arguments = parser.parse_args()
    descriptors, truth = read(arguments.features, arguments.groups)
    choices = drawn(truth, arguments)
    print(f"{len(choices)} choices of {arguments.classes} classes, {arguments.labels} labels, %:")
    print("| strategy | mean ± deviation | tenth | worst | share of choices ≥ 95 |")
    for strategy in arguments.strategies.split(","):
        found = np.array([
            100 * accuracy(descriptors, truth, choice, arguments.labels, strategy, number)
            for number, choice in enumerate(choices)
        ])  # fmt: skip
        cells = f"{found.mean():.1f} ± {found.std(ddof=1):.1f}", f"{np.quantile(found, 0.1):.1f}"
        share = 100 * (found >= 95).mean()
        print(f"| {strategy} | {' | '.join(cells)} | {found.min():.1f} | {share:.0f} |", flush=True)


def drawn(truth: np.ndarray, arguments: argparse.Namespace) -> list[tuple[int, ...]]:
    """Choices of classes with so many photos, in an order by chance."""
    least, most = (int(end) for end in arguments.photos.split("-"))
    sizes = np.bincount(truth)
    possible = [
        choice
        for choice in combinations(range(len(sizes)), arguments.classes)
        if least <= sizes[list(choice)].sum() <= most
    ]
    order = np.random.default_rng(17).permutation(len(possible))
    return [possible[place] for place in order[: arguments.choices]]


def accuracy(
    descriptors: np.ndarray,
    truth: np.ndarray,
    choice: tuple[int, ...],
    n_labels: int,
    strategy: str,
    seed: int,
) -> float:
    """On the photos of these classes that have no label."""
    own = np.flatnonzero(np.isin(truth, choice))
    vectors = directions(descriptors[own], center_of(descriptors, own))
    known = np.unique(truth[own], return_inverse=True)[1]
    model, ids = unlabeled_model(vectors, OPTIONS), np.arange(len(own))
    generator = np.random.default_rng([18, seed])
    acquire = STRATEGIES[strategy].acquire
    labeled = np.sort(acquire(model, ids[:0], ids, n_labels, generator).ids)
    _, found = learn(vectors, labeled, known[labeled], len(choice), OPTIONS)
    rest = np.setdiff1d(ids, labeled)
    return float((found.probabilities.argmax(axis=1) == known)[rest].mean())


if __name__ == "__main__":
    main()
