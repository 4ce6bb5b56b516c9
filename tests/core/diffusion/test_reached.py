"""What diffusion reaches within a group, against a dense solution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from rrtool.core.diffusion.mining.reached import reached
from rrtool.core.diffusion.verified_lists import Pairs


def _by_hand(
    adjacency: np.ndarray, groups: np.ndarray, listed: set[tuple[int, int]], most: int
) -> set[tuple[int, int]]:
    degrees = adjacency.sum(axis=1)
    scale = np.divide(1, np.sqrt(degrees), out=np.zeros(len(degrees)), where=degrees > 0)
    normalized = scale[:, None] * adjacency * scale
    found = set()
    for group in set(groups.tolist()) - {-1}:
        members = np.flatnonzero(groups == group)
        system = np.eye(len(members)) - 0.99 * normalized[np.ix_(members, members)]
        scores = np.linalg.inv(system)
        for row, one in zip(scores, members, strict=True):
            ranked = [
                (-score, int(other)) for score, other in zip(row, members, strict=True)
                if score > 1e-12 and other != one
            ]  # fmt: skip
            best = [other for _, other in sorted(ranked)[:most]]
            found |= {(min(int(one), other), max(int(one), other)) for other in best}
    return found - listed


@pytest.mark.parametrize("columns", [3, 64])
@pytest.mark.parametrize("most", [4, 9])
def test_reached_are_the_best_of_a_dense_diffusion_that_no_list_has(monkeypatch, columns, most):
    exact = {"_COLUMNS": columns, "_TOLERANCE": 1e-7, "_MOST_ITERATIONS": 1000}
    for name, value in exact.items():
        monkeypatch.setattr(f"rrtool.core.diffusion.mining.reached.{name}", value)
    generator, n = np.random.default_rng(most), 45
    weights = np.triu(generator.uniform(0.1, 1, (n, n)) * (generator.random((n, n)) < 0.15), 1)
    adjacency = (weights + weights.T).astype(np.float32)
    groups = generator.integers(-1, 3, n)
    listed = Pairs.of_links(sparse.csr_array(np.where(adjacency > 0.5, adjacency, 0)))
    found = reached(sparse.csr_array(adjacency), groups, listed, most)
    ends = {tuple(pair) for pair in found.ends.tolist()}
    assert len(ends) == len(found) > 10
    listed_pairs = {tuple(pair) for pair in listed.ends.tolist()}
    assert ends == _by_hand(adjacency.astype(np.float64), groups, listed_pairs, most)


def test_reached_of_no_edges_or_groups_of_two_is_nothing():
    pair = sparse.csr_array(np.array([[0, 1], [1, 0]], np.float32))
    nothing = Pairs(np.zeros(0, np.int64), 2)
    assert len(reached(pair, np.zeros(2, int), nothing, 5)) == 0
    empty = sparse.csr_array((4, 4), dtype=np.float32)
    assert len(reached(empty, np.zeros(4, int), Pairs(np.zeros(0, np.int64), 4), 5)) == 0
    none = sparse.csr_array((0, 0), dtype=np.float32)
    assert len(reached(none, np.zeros(0, int), Pairs(np.zeros(0, np.int64), 0), 5)) == 0
