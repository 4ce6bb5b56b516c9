"""When does k-reciprocal encoding gain? Sets cut to groups of 3, 5, 10 and all, and all together.

    python benchmarks/reciprocal_gain.py grocery.h5 scenes.h5 --groups 'prefix:(.*)_'

Of each rule (numbers of neighbours k1, their share of the images at most, λ) come the differences
from the similarities in points of mAP ± their spread when groups are drawn anew, how many lose
more than that, and what the rule that is best on the other sets does on each. The features are as
``rrtool extract`` writes them; ``--apart`` where they were whitened differently. Behind
docs/methods.md, "Common neighbours".
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from diffusion_gain import average_precisions, cut, joined, read_sets
from spread import drawn_means

from rrtool.core.diffusion import knn
from rrtool.core.diffusion.reciprocal import ReciprocalEncoder, ReciprocalOptions

GROUP_SIZES = (3, 5, 10, 10_000)
SCALES = ((5,), (10,), (20,), (5, 10, 20), (2, 5, 10, 20), (3, 5, 10, 20), (3, 6, 12, 24))
IMAGES_A_NEIGHBOR = (5, 10)
MIXTURES = (0.3, 0.5, 0.7)
CHOSEN = ((3, 5, 10, 20), 5, 0.3)


@dataclass(frozen=True)
class Cell:
    """The difference of one rule on the images of one set, alone or among others."""

    rule: tuple[tuple[int, ...], int, float]
    source: str
    where: str
    gain: float
    spread: float

    @property
    def is_loss(self) -> bool:
        return self.gain < -self.spread


def rankings(vectors: np.ndarray, rules: list) -> Iterator[np.ndarray]:
    """By similarity, then by each rule."""
    n = len(vectors)
    similarities = vectors @ vectors.T
    lists = knn.Searcher(vectors, knn.KnnOptions(min(40, n - 1))).neighbors(np.arange(n))
    yield np.argsort(-similarities, axis=1, kind="stable")
    indices: dict[int, np.ndarray] = {}
    for scales, images_a_neighbor, mixture in rules:
        chosen = {min(k1, max(1, n // images_a_neighbor)) for k1 in scales}
        for k1 in chosen - indices.keys():
            options = ReciprocalOptions((k1,), mixture=0)
            encoder = ReciprocalEncoder(vectors, np.ones(n, bool), *lists, options)
            indices[k1] = np.stack([encoder.rank_scores(each) for each in similarities])
        index = np.mean([indices[k1] for k1 in chosen], axis=0)
        scores = mixture * similarities + (1 - mixture) * index
        yield np.argsort(-scores, axis=1, kind="stable")


def cells(vectors: np.ndarray, labels: np.ndarray, where: str, rules: list) -> Iterator[Cell]:
    sources = np.array([label.rpartition(" ")[0] for label in labels])
    first, *others = (average_precisions(each, labels) for each in rankings(vectors, rules))
    for rule, values in zip(rules, others, strict=True):
        for source in np.unique(sources):
            kept = (sources == source) & ~np.isnan(first)
            gains = 100 * (values - first)[kept]
            spread = drawn_means(gains, labels[kept].tolist(), 1000, 0).std()
            yield Cell(rule, source, where, gains.mean(), spread)


def all_cells(sets: dict, together: bool, rules: list) -> Iterator[Cell]:
    named = dict(sets)
    if together:
        named["all together"] = joined(sets)
    for name, (vectors, labels) in named.items():
        where, seen = "together" if name == "all together" else "alone", 0
        for size in GROUP_SIZES:
            rows = cut(labels, size)
            if len(rows) > seen:  # there are larger groups than those already seen
                seen = len(rows)
                yield from cells(vectors[rows], labels[rows], f"{where}, {size}", rules)


def best(found: list[Cell], rules: list) -> tuple:
    """Of the rules with the fewest losses that of the largest mean gain."""

    def key(rule: tuple) -> tuple[int, float]:
        own = [cell for cell in found if cell.rule == rule]
        return sum(cell.is_loss for cell in own), -float(np.mean([cell.gain for cell in own]))

    return min(rules, key=key)


def report(title: str, found: list[Cell]) -> None:
    gains = [cell.gain for cell in found]
    losses = [f"{c.source} {c.where} {c.gain:+.1f} ± {c.spread:.1f}" for c in found if c.is_loss]
    print(
        f"{title}: {np.mean(gains):+.2f} on average, worst {min(gains):+.1f}, "
        f"{len(losses)} of {len(found)} lose{': ' * bool(losses)}{', '.join(losses)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", nargs="+")
    parser.add_argument("--groups", required=True)
    parser.add_argument("--apart", action="store_true")
    arguments = parser.parse_args()
    sets = read_sets(arguments.features, arguments.groups)
    rules = list(product(SCALES, IMAGES_A_NEIGHBOR, MIXTURES))
    found = list(all_cells(sets, not arguments.apart, rules))
    for rule in rules:
        report(str(rule), [cell for cell in found if cell.rule == rule])
    for cell in found:
        if cell.rule == CHOSEN:
            print(f"  {cell.source} {cell.where}: {cell.gain:+.2f} ± {cell.spread:.2f}")
    left_out = []
    for source in sets:
        others = [cell for cell in found if cell.source != source]
        rule = best(others, rules)
        own = [cell for cell in found if cell.source == source and cell.rule == rule]
        left_out += [replace(cell, where=f"{cell.where} by {rule}") for cell in own]
    report("the rule that is best on the other sets", left_out)


if __name__ == "__main__":
    main()
