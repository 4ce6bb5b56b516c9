"""What queries find in the salient half of each photo, and in the rest of it.

python benchmarks/salient_halves.py MAPS.h5 SALIENCY.h5 QUERIES.h5 --groups 'prefix:^(.*)_'

Each photo is described by GeM at its first scale from all positions, from the half where object
saliency is highest, and from the other half. Queries are features of one scale and, leaving one
out, the photos themselves.
"""

from __future__ import annotations

import argparse

import numpy as np

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import ActivationMaps, Features, Saliency
from rrtool.core.evaluation.average_precision import (
    average_precision,
    ranks_without_junk,
)
from rrtool.core.retrieval.whitening import l2_normalize
from rrtool.ground_truth.groups import load_groups

EXPONENT = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("maps", help="of extract --save-maps")
    parser.add_argument("saliency", help="of saliency os, on the same images")
    parser.add_argument("queries", help="features of one scale")
    parser.add_argument("--groups", required=True, help="as for rrtool evaluate")
    arguments = parser.parse_args()
    groups = load_groups(arguments.groups)
    with open_artifact(arguments.queries, Features) as queries:
        asked = queries.descriptors
        asked_labels = groups.labels(queries.names)
    with (
        open_artifact(arguments.maps, ActivationMaps) as maps,
        open_artifact(arguments.saliency, Saliency) as saliency,
    ):
        labels = groups.labels(maps.names)
        halves = described(maps, saliency)
    itself = list(range(len(labels)))
    print("described by | queries | leaving one out")
    for name, vectors in halves.items():
        by_queries = mean_ap(asked @ vectors.T, asked_labels, labels, [-1] * len(asked))
        leaving_out = mean_ap(vectors @ vectors.T, labels, labels, itself)
        print(f"{name} | {100 * by_queries:.2f} | {100 * leaving_out:.2f}")


def described(maps: ActivationMaps, saliency: Saliency) -> dict[str, np.ndarray]:
    """Descriptors ``(n, k)`` of all photos by all positions and by each half."""
    found: dict[str, list[np.ndarray]] = {"all positions": [], "salient half": [], "the rest": []}
    for row in range(len(maps.names)):
        significance = saliency.saliency_maps(row)[0].ravel()
        activations = maps.of(row)[0].reshape(-1, significance.size)
        is_salient = significance >= np.median(significance)
        everywhere = np.ones(len(is_salient), bool)
        for name, part in zip(found, (everywhere, is_salient, ~is_salient), strict=True):
            found[name].append(gem(activations[:, part]))
    return {name: l2_normalize(np.array(vectors)) for name, vectors in found.items()}


def gem(activations: np.ndarray) -> np.ndarray:
    powers = activations.astype(np.float64) ** EXPONENT
    return (powers.mean(axis=1) ** (1 / EXPONENT)).astype(np.float32)


def mean_ap(
    similarities: np.ndarray, asked: list[str | None], labels: list[str | None], itself: list[int]
) -> float:
    scores = []
    for row, (label, own) in enumerate(zip(asked, itself, strict=True)):
        order = np.argsort(-similarities[row], kind="stable")
        is_positive = np.array([labels[i] == label for i in order]) & (order != own)
        ranks = ranks_without_junk(is_positive, order == own)
        scores.append(average_precision(ranks, int(is_positive.sum())))
    return float(np.nanmean(scores))


if __name__ == "__main__":
    main()
