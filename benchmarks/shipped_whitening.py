"""The whitening that comes with rrtool: what it gains on a set it has not seen, and making it.

It is learnt on photo sets with groups (supervised, shrinkage 0.8, 1024 dimensions). The figures are
of one set after the other, each whitened by what was learnt on the others about its own mean, with
their spread when groups are drawn with replacement; then it is learnt on all sets and written. With
another network the figures are those of a whitening of its own, learnt likewise.

Run: ``make whitening``, or ``python benchmarks/shipped_whitening.py [--data <folder of sets>]
[--network NAME --weights FILE] [--write FILE]``; a set is ``<folder>/<name>/images``, with other
photos as queries in ``queries``; else each photo is a query against the rest.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from extract import SHARED
from safetensors.torch import save_file
from spread import drawn_means

import rrtool
from rrtool import ground_truth
from rrtool.artifacts import Features, open_artifact
from rrtool.core.evaluation.evaluation import retrieval_scores
from rrtool.core.retrieval.whitening import (
    LearnedWhitening,
    apply_whitening,
    covariance_of_groups,
    fit_supervised,
    l2_normalize,
)
from rrtool.ground_truth.groups import Groups
from rrtool.networks.packaged import WHITENING

# Which photos show the same: the name before its last or its first underscore.
SETS = {
    "scenes": "prefix:^(.*)_",
    "oxford5k_subset": "prefix:^(.*)_",
    "grocery": "prefix:^(.*)_",
    "logos": "prefix:^([^_]*)_",
}
SHRINKAGE, DIM = 0.8, 1024
_DRAWS = 2000


@dataclass(frozen=True)
class PhotoSet:
    """Descriptors ``(n, k)`` of photos and of their queries, not whitened."""

    truth: Groups
    names: list[str]
    descriptors: np.ndarray
    query_names: list[str]
    queries: np.ndarray

    @staticmethod
    def of(name: str, data: Path, out: Path, network: dict[str, Any]) -> PhotoSet:
        names, descriptors = described(data / name / "images", out / f"{name}.h5", network)
        asking = data / name / "queries"
        queries = (names, descriptors)
        if asking.is_dir():
            queries = described(asking, out / f"{name}-queries.h5", network)
        truth = cast(Groups, ground_truth.load(SETS[name], "groups"))
        return PhotoSet(truth, names, descriptors, *queries)

    def scores(self, whitening: LearnedWhitening | None) -> tuple[np.ndarray, list[str]]:
        """Average precision of each query that has positives, and its group."""
        queries, database = self.queries, self.descriptors
        if whitening is not None:
            kept = whitening.projection[:DIM], database.mean(axis=0)
            queries, database = (apply_whitening(x, kept[1], kept[0]) for x in (queries, database))
        ids = np.argsort(-queries @ database.T, axis=1, kind="stable")
        truth = self.truth.resolve(self.query_names, self.names, None)["all"]
        found = retrieval_scores(ids, truth, protocol="groups", setup="all").average_precisions
        rows = np.flatnonzero(~np.isnan(found))
        labels = self.truth.labels(self.query_names)
        return found[rows], [labels[row] for row in rows]


def described(photos: Path, output: Path, network: dict[str, Any]) -> tuple[list[str], np.ndarray]:
    rrtool.extract(photos, output, whitening="none", **network)
    with open_artifact(output, Features) as features:
        return features.names, l2_normalize(features.descriptors)


def learn(sets: list[PhotoSet]) -> LearnedWhitening:
    """A whitening of all photos of some sets."""
    labels = [
        f"{number} {label}"
        for number, each in enumerate(sets)
        for label in each.truth.labels(each.names)
    ]
    descriptors = np.concatenate([each.descriptors for each in sets])
    groups = covariance_of_groups(descriptors, np.unique(labels, return_inverse=True)[1])
    return fit_supervised(descriptors, groups, SHRINKAGE)


def report(name: str, sets: dict[str, PhotoSet]) -> None:
    others = [each for other, each in sets.items() if other != name]
    (plain, labels), (white, _) = (sets[name].scores(each) for each in (None, learn(others)))
    spreads = [
        100 * drawn_means(values, labels, _DRAWS, 0).std()
        for values in (plain, white, white - plain)
    ]
    means = 100 * plain.mean(), 100 * white.mean()
    told = [
        f"{mean:.2f} ± {spread:.2f}"
        for mean, spread in zip((*means, means[1] - means[0]), spreads, strict=True)
    ]
    print(f"{name}: {told[0]}, whitened {told[1]}, gain {told[2]}", flush=True)


def write(whitening: LearnedWhitening, target: Path) -> None:
    """In half precision, which descriptors do not notice."""
    tensors = {
        "mean": torch.from_numpy(whitening.mean).half(),
        "projection": torch.from_numpy(whitening.projection[:DIM].copy()).half(),
    }
    save_file(tensors, target, metadata={"sets": ", ".join(SETS), "shrinkage": str(SHRINKAGE)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHARED / "retrieval")
    parser.add_argument("--out", type=Path, default=Path("build/whitening"))
    parser.add_argument("--write", type=Path, nargs="?", const=WHITENING)
    parser.add_argument("--network")
    parser.add_argument("--weights")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    asked = {"network": options.network, "weights": options.weights}
    network = {key: value for key, value in asked.items() if value is not None}
    sets = {name: PhotoSet.of(name, options.data, options.out, network) for name in SETS}
    for name in sets:
        report(name, sets)
    if options.write is not None:
        write(learn(list(sets.values())), options.write)


if __name__ == "__main__":
    main()
