"""What a change moves against what chance moves: mAP of rankings, and the spread of differences.

Groups of queries are drawn with replacement, for all rankings alike, since the photos of a group
rise and fall together. Of each ranking come its mAP and its difference from the first, in points,
each with its standard deviation over the draws.

Run: ``python benchmarks/spread.py BEFORE.h5 AFTER.h5 … --ground-truth 'prefix:^(.*)_'``.
"""

from __future__ import annotations

import argparse
from typing import cast

import numpy as np

from rrtool import ground_truth
from rrtool.artifacts import Ranking, open_artifact
from rrtool.core.evaluation.evaluation import retrieval_scores
from rrtool.ground_truth.groups import Groups


def average_precisions(path: str, truth: Groups) -> tuple[np.ndarray, list[str]]:
    """Of each query that has positives, and the label of its group."""
    with open_artifact(path, Ranking) as ranking:
        queries = truth.resolve(ranking.query_names, ranking.database_names, None)["all"]
        found = retrieval_scores(ranking.ids, queries, protocol="groups", setup="all")
        values = found.average_precisions
        labels = truth.labels(ranking.query_names)
    kept = np.flatnonzero(~np.isnan(values))
    return values[kept], [labels[i] for i in kept]


def drawn_means(values: np.ndarray, labels: list[str], n_draws: int, seed: int) -> np.ndarray:
    """Mean over the queries of as many groups as there are, drawn anew each time."""
    _, group = np.unique(labels, return_inverse=True)
    sums, counts = np.bincount(group, values), np.bincount(group)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (n_draws, len(sums)))
    return sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rankings", nargs="+")
    parser.add_argument("--ground-truth", required=True)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    truth = cast(Groups, ground_truth.load(options.ground_truth, "groups"))
    first, labels = average_precisions(options.rankings[0], truth)
    for path in options.rankings:
        values, others = average_precisions(path, truth)
        if others != labels:
            parser.error(f"{path}: other queries than {options.rankings[0]}")
        own, change = (
            100 * drawn_means(each, labels, options.draws, options.seed).std()
            for each in (values, values - first)
        )
        difference = 100 * (values - first).mean()
        print(f"{100 * values.mean():6.2f} ± {own:.2f} {difference:+6.2f} ± {change:.2f} {path}")


if __name__ == "__main__":
    main()
