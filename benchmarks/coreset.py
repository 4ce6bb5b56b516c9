"""CoreSet: ours, and the naive loop of ``scipy.spatial.distance_matrix``, b picks of n images.

The naive loop is equation 3.4 as it reads: at each pick the distances of the whole pool to all
labelled and picked images, their minimum, the argmax. Its time is measured at a few sizes of the
labelled set spread over the run, and the picks between are interpolated (the output says so). A
naive loop that keeps the nearest distance, and so only needs those to the last pick, is shown too;
the distances it starts from are given to it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.spatial import distance_matrix
from timing import compare, print_machine

from rrtool.core.learning.acquisition import acquire_coreset, nearest_labeled_distance

_ROWS = 2000  # of the pool at a time, so that the naive side's matrix fits the memory


def make_features(n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(100, d))
    features = centers[rng.integers(0, 100, n)] + rng.normal(size=(n, d))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def naive_pick(features: np.ndarray, pool: np.ndarray, centers: np.ndarray) -> int:
    nearest = [
        distance_matrix(features[pool[start : start + _ROWS]], features[centers]).min(axis=1)
        for start in range(0, len(pool), _ROWS)
    ]
    return int(pool[np.concatenate(nearest).argmax()])


def keeping_loop(rows: np.ndarray, nearest: np.ndarray, n_picks: int) -> list[int]:
    """As naive, but only the distances to the last pick are computed; places in ``rows``."""
    nearest, picks = nearest.copy(), []
    for _ in range(n_picks):
        picks.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distance_matrix(rows, rows[picks[-1:]])[:, 0])
        nearest[picks[-1]] = -1
    return picks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=60_000)
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--labeled", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--naive-picks", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print_machine()
    features = make_features(arguments.n, arguments.d)
    for n_labeled in arguments.labeled:
        measure(features, n_labeled, arguments)


def measure(features: np.ndarray, n_labeled: int, arguments: argparse.Namespace) -> None:
    ids = np.random.default_rng(1).permutation(len(features))
    labeled, pool = ids[:n_labeled], ids[n_labeled:]
    ordered = np.random.default_rng(2).permutation(np.sort(pool))  # as acquire_coreset ties
    budget = arguments.budget

    def ours() -> np.ndarray:
        return acquire_coreset(features, labeled, pool, budget, np.random.default_rng(2)).ids

    picks = ours()
    few = 30
    rows = features[ordered].astype(np.float64)
    nearest = nearest_labeled_distance(features, labeled, ordered)
    kept = ordered[keeping_loop(rows, nearest, few)]
    print(f"\n{len(features)} × {features.shape[1]}, {n_labeled} labelled, {budget} picks")
    timings = compare(
        {
            f"rrtool, {budget} picks": ours,
            f"keeping loop, {few} picks": lambda: keeping_loop(rows, nearest, few),
        },
        arguments.repeats,
    )
    own, keeping = (side.median for side in timings.values())
    steps = np.unique(np.linspace(0, budget - 1, arguments.naive_picks).astype(int))
    seconds, same = [], []
    for step in steps:
        centers = np.concatenate([labeled, picks[:step]])
        remaining = ordered[~np.isin(ordered, picks[:step])]
        start = time.perf_counter()
        same.append(naive_pick(features, remaining, centers) == picks[step])
        seconds.append(time.perf_counter() - start)
    naive = float(np.interp(np.arange(budget), steps, seconds).sum())
    print(f"naive picks {steps.tolist()}: {[f'{s:.2f}' for s in seconds]} s")
    print(f"same picks there: {sum(same)} of {len(same)}")
    print(f"first {few} picks equal those of the keeping loop: {(kept == picks[:few]).all()}")
    print(f"naive, interpolated to {budget} picks: {naive:.0f} s, {naive / own:.0f} times ours")
    print(f"keeping loop, a pick: {keeping / few / (own / budget):.1f} times ours")


if __name__ == "__main__":
    main()
