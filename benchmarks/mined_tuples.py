"""How right mined tuples are, by labels that mining has not read.

python benchmarks/mined_tuples.py TUPLES.h5 FEATURES.h5 --groups 'prefix:^(.*)_'

Of the pairs: how many show the same thing. Of the groups: which share of the photos that show the
same thing is in one, how large the largest is, and how much of it shows one thing. Of the five hard
negatives of each photo in a group of two or more, mined from the whole collection as training mines
them: how many show the same thing as the photo.
"""

from __future__ import annotations

import argparse

import numpy as np

from rrtool.artifacts import Features, Tuples, open_artifact
from rrtool.core.retrieval.tuples import hard_negatives
from rrtool.ground_truth.groups import load_groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tuples")
    parser.add_argument("features")
    parser.add_argument("--groups", required=True)
    arguments = parser.parse_args()
    with open_artifact(arguments.features, Features) as features:
        names, descriptors = features.names, features.descriptors.astype(np.float32)
    truth = np.unique(load_groups(arguments.groups).labels(names), return_inverse=True)[1]
    with open_artifact(arguments.tuples, Tuples) as tuples:
        groups, pairs = tuples.checked()
        kinds = tuples.pair_kinds if Tuples.pair_kinds in tuples else np.zeros(len(pairs), np.uint8)
    cells = [
        of_pairs(truth, pairs[kinds == 0]), of_pairs(truth, pairs[kinds == 1]),
        *of_groups(truth, groups),
        f"{100 * false_negatives(descriptors, truth, np.arange(len(truth))):.0f} %",
        f"{100 * false_negatives(descriptors, truth, groups):.0f} %",
    ]  # fmt: skip
    print("| positives | hard ones | same in one group | largest group | false without | with |")
    print(f"| {' | '.join(cells)} |")


def of_pairs(truth: np.ndarray, pairs: np.ndarray) -> str:
    """How many there are, each once, and how many of them are right."""
    if not len(pairs):
        return "0"
    right = truth[pairs[:, 0]] == truth[pairs[:, 1]]
    return f"{len(pairs) // 2}, {100 * right.mean():.1f} %"


def of_groups(truth: np.ndarray, groups: np.ndarray) -> tuple[str, str]:
    """Which share of what belongs together is in one group, and what the largest group is."""
    together = truth[:, None] == truth
    np.fill_diagonal(together, False)
    in_one = (groups[:, None] == groups) & (groups >= 0)
    largest = groups == np.bincount(groups[groups >= 0]).argmax()
    purity = np.bincount(truth[largest]).max() / largest.sum()
    share = (in_one & together).sum() / together.sum()
    return f"{100 * share:.0f} %", f"{largest.sum()}, {100 * purity:.0f} %"


def false_negatives(descriptors: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> float:
    """Of five hard negatives of each photo that may be a query, how many are none."""
    found = hard_negatives(descriptors, groups, descriptors, groups, 5)
    sizes = np.bincount(groups[groups >= 0])
    is_query = (groups >= 0) & ((sizes[groups] > 1) | (sizes.max() == 1))
    same = truth[found] == truth[:, None]
    return float(same[is_query][found[is_query] >= 0].mean())


if __name__ == "__main__":
    main()
