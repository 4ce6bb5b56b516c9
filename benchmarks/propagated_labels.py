"""How many labels are right after label propagation on the features of a state.

python benchmarks/propagated_labels.py STATE.h5 … --images mnist:FOLDER [--k 50]
"""

from __future__ import annotations

import argparse

import numpy as np

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import AlState
from rrtool.core.learning.label_propagation import feature_graph, propagate_labels
from rrtool.datasets import load_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("states", nargs="+")
    parser.add_argument("--images", required=True, help="data set that knows all labels")
    parser.add_argument("--k", type=int, default=50)
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.images)
    truth = dict(zip(dataset.names, dataset.labels.tolist(), strict=True))
    print("state | labels | images | right, % | right of unlabelled, % | network itself, %")
    for path in arguments.states:
        print(path, "|", " | ".join(row(path, truth, arguments.k)))


def row(path: str, truth: dict[str, int], k: int) -> list[str]:
    with open_artifact(path, AlState) as state:
        true = np.array([truth[name] for name in state.names])
        labels, features = state.labels, state.features
        predicted = state.probabilities.argmax(axis=1)
        n_classes = state.lengths["c"]
    labeled = np.flatnonzero(labels >= 0)
    found = propagate_labels(feature_graph(features, k=k), labeled, labels[labeled], n_classes)
    right, rest = np.where(labels >= 0, labels, found.labels) == true, labels < 0
    shares = (right.mean(), right[rest].mean(), (predicted == true)[rest].mean())
    return [str(len(labeled)), str(len(true)), *(f"{100 * share:.2f}" for share in shares)]


if __name__ == "__main__":
    main()
