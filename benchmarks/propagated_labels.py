"""How many labels are right after label propagation.

On the features of states, by the labels they have:

python benchmarks/propagated_labels.py STATE.h5 … --images mnist:FOLDER [--k 50]

By the two masses that classes can start with, from labels drawn without regard to classes, or
equally many a class (--balanced), on the pixels of a data set, on frozen descriptors or on planted
clusters:

python benchmarks/propagated_labels.py --images mnist:FOLDER --draw 20,50,100 [--size 10000]
python benchmarks/propagated_labels.py FEATURES.h5 --groups 'prefix:^(.*)_' --draw 40 [--k 10]
python benchmarks/propagated_labels.py --planted --draw 20,50,100
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import sparse

from rrtool.artifacts import Features, open_artifact
from rrtool.artifacts.kinds import AlState
from rrtool.core.learning.label_propagation import LABEL_MASSES, feature_graph, propagate_labels
from rrtool.datasets import load_dataset
from rrtool.ground_truth.groups import load_groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="states, or features with --groups")
    parser.add_argument("--images", help="data set that knows all labels")
    parser.add_argument("--groups", help="the classes of features")
    parser.add_argument("--planted", action="store_true", help="ten clusters that overlap")
    parser.add_argument("--draw", help="numbers of labels to draw")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--balanced", action="store_true", help="equally many a class")
    parser.add_argument("--size", type=int, help="images of the data set to use, drawn")
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--alpha", type=float, default=0.99)
    parser.add_argument("--symmetrize", default="mutual")
    arguments = parser.parse_args()
    if arguments.draw:
        compare_masses(arguments)
        return
    dataset = load_dataset(arguments.images)
    truth = dict(zip(dataset.names, dataset.labels.tolist(), strict=True))
    print("state | labels | images | right, % | right of unlabelled, % | network itself, %")
    for path in arguments.files:
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


def compare_masses(arguments: argparse.Namespace) -> None:
    features, classes = read(arguments)
    graph = feature_graph(features, k=arguments.k, symmetrize=arguments.symmetrize)
    alpha, masses = arguments.alpha, " | ".join(LABEL_MASSES)
    print("right of unlabelled, %, mean ± deviation:")
    print(f"| labels | {masses} | difference | better in |")
    for n_labels in (int(number) for number in arguments.draw.split(",")):
        draws = (
            drawn(classes, n_labels, arguments.balanced, draw) for draw in range(arguments.draws)
        )
        right = np.array([right_by_mass(graph, classes, labeled, alpha) for labeled in draws])
        gains = right[:, 0] - right[:, 1]
        cells = [f"{v.mean():.1f} ± {v.std(ddof=1):.1f}" for v in right.T]
        gain = f"{gains.mean():+.1f} ± {gains.std(ddof=1):.1f}"
        share = f"{(gains > 0).sum()} of {len(gains)}"
        print(f"| {n_labels} | {' | '.join(cells)} | {gain} | {share} |", flush=True)


def right_by_mass(
    graph: sparse.csr_array, classes: np.ndarray, labeled: np.ndarray, alpha: float
) -> list[float]:
    """Per cent of the unlabelled, for each mass."""
    rest = np.setdiff1d(np.arange(len(classes)), labeled)
    found = [
        propagate_labels(
            graph, labeled, classes[labeled], classes.max() + 1, alpha=alpha, label_mass=mass
        )
        for mass in LABEL_MASSES
    ]
    return [100 * float((each.labels[rest] == classes[rest]).mean()) for each in found]


def read(arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Features ``(n, d)`` and the class of each ``(n,)``."""
    if arguments.planted:
        return planted()
    if arguments.groups:
        with open_artifact(arguments.files[0], Features) as features:
            names, vectors = features.names, features.descriptors
        groups = load_groups(arguments.groups)
        return vectors, np.unique(groups.labels(names), return_inverse=True)[1]
    dataset = load_dataset(arguments.images)
    n = len(dataset.labels)
    rows = np.random.default_rng(0).choice(n, arguments.size or n, replace=False)
    return dataset.images[rows].reshape(len(rows), -1).astype(np.float32), dataset.labels[rows]


def planted(n: int = 2000, c: int = 10, d: int = 16) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    classes = generator.integers(0, c, n)
    centers = generator.normal(size=(c, d))
    return (centers[classes] + 0.8 * generator.normal(size=(n, d))).astype(np.float32), classes


def drawn(classes: np.ndarray, n_labels: int, is_balanced: bool, draw: int) -> np.ndarray:
    generator = np.random.default_rng([1, draw])
    if not is_balanced:
        return generator.choice(len(classes), n_labels, replace=False)
    each = n_labels // (classes.max() + 1)
    members = [np.flatnonzero(classes == label) for label in range(classes.max() + 1)]
    return np.concatenate([generator.choice(ids, each, replace=False) for ids in members])


if __name__ == "__main__":
    main()
