"""When does diffusion gain? Sets cut to groups of 3 to all images, several k: gain and warnings.

    python benchmarks/diffusion_gain.py grocery.h5 scenes.h5 --groups 'prefix:(.*)_'

The features are as ``rrtool extract`` writes them. Behind docs/methods.md, "Will it help?".
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from rrtool import ground_truth
from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Features
from rrtool.core.diffusion import knn
from rrtool.core.diffusion.diffusion import (
    Diffusion,
    diffusion_spread,
    rank_reached,
    seeds_from_similarities,
)
from rrtool.core.diffusion.graph import build_adjacency, locality_ordering
from rrtool.core.diffusion.neighbors import is_too_many
from rrtool.core.evaluation.evaluation import QueryGroundTruth, retrieval_scores
from rrtool.stages.diffusion.diffuse import WIDE_SPREAD

GROUP_SIZES = (3, 5, 8, 15, 10_000)
NEIGHBORS = (3, 5, 10, 20, 50)


def average_precisions(rankings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each image is a query against the others; NaN of one that is alone."""
    truth = [
        QueryGroundTruth(np.setdiff1d(np.flatnonzero(labels == labels[q]), [q]), np.array([q]), 0)
        for q in range(len(labels))
    ]
    scores = retrieval_scores(
        rankings.astype(np.int32), truth, protocol="groups", setup="all", cutoffs=(1,)
    )
    return scores.average_precisions


def mean_average_precision(rankings: np.ndarray, labels: np.ndarray) -> float:
    return 100 * float(np.nanmean(average_precisions(rankings, labels)))


def cut(labels: np.ndarray, size: int) -> np.ndarray:
    """Rows of at most ``size`` images of each group that has 5, or ``size`` if that is less."""
    rng = np.random.default_rng(5)
    least = size if size == 3 else 2 if size == GROUP_SIZES[-1] else 5
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    chosen = [rng.permutation(rows)[:size] for rows in groups if len(rows) >= least]
    return np.sort(np.concatenate([np.zeros(0, dtype=int), *chosen]))


def measure(vectors: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, float, float]]:
    """k, gain in mAP points, spread."""
    n = len(vectors)
    similarities = vectors @ vectors.T
    order = np.argsort(-similarities, axis=1, kind="stable")
    before = mean_average_precision(order, labels)
    for k in (k for k in NEIGHBORS if k < n):
        lists = knn.Searcher(vectors, knn.KnnOptions(k)).neighbors(np.arange(n))
        adjacency = build_adjacency(*lists)
        nearest = order[:, :5].astype(np.int32)
        seeds = seeds_from_similarities(
            nearest, np.take_along_axis(similarities, order[:, :5], 1), 3
        )
        scores = Diffusion(adjacency)(seeds).x.T
        rankings = np.stack([rank_reached(scores[q], similarities[q], n) for q in range(n)])
        spread = diffusion_spread(adjacency, locality_ordering(adjacency))
        yield k, mean_average_precision(rankings, labels) - before, spread


def read_sets(paths: list[str], source: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Descriptors and labels of features, which differ between files."""
    sets = {}
    for path in paths:
        with open_artifact(path, Features) as features:
            labels = _labels(source, features.names)
            sets[path] = features.descriptors, np.array([f"{path} {x}" for x in labels])
    return sets


def joined(sets: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    vectors, labels = zip(*sets.values(), strict=True)
    return np.concatenate(vectors), np.concatenate(labels)


def _labels(source: str, names: list[str]) -> np.ndarray:
    """A number per group, from the positives of each image."""
    truth = ground_truth.load(source).resolve(names, names, np.zeros((len(names), 4)))["all"]
    return np.array([min(q, *truth[q].positives.tolist(), q) for q in range(len(names))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", nargs="+")
    parser.add_argument("--groups", required=True)
    arguments = parser.parse_args()
    sets = read_sets(arguments.features, arguments.groups)
    sets["all together"] = joined(sets)
    rows = []
    for path, (vectors, labels) in sets.items():
        for size in GROUP_SIZES:
            chosen = cut(labels, size)
            if len(chosen) < 2 or (size > 3 and len(chosen) == len(cut(labels, 3))):
                continue  # there are no larger groups than those already seen
            for k, gain, spread in measure(vectors[chosen], labels[chosen]):
                warned = spread > WIDE_SPREAD or is_too_many(k, len(chosen), len(chosen))
                rows.append((gain, spread, k / len(chosen), warned))
                print(
                    f"{path}, groups of {size}, {len(chosen)} images, k = {k}: {gain:+.1f}, "
                    f"spread {spread:.2f}, k/n {k / len(chosen):.3f}{' WARNED' * warned}"
                )
    summarize(np.array(rows))


def summarize(rows: np.ndarray) -> None:
    lost, warned = rows[:, 0] < -1, rows[:, 3] > 0
    print(
        f"{len(rows)} settings; of {lost.sum()} that lost more than a point {(lost & warned).sum()}"
        f" were warned of, of the {(~lost).sum()} others {(~lost & warned).sum()}"
    )
    for column, name in ((1, "spread"), (2, "k/n")):
        wins = rows[lost, column][:, None] > rows[~lost, column]
        print(f"area under the ROC curve of {name}: {wins.mean():.2f}")


if __name__ == "__main__":
    main()
