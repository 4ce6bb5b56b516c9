"""Communities against networkx, and against every move of a single vertex."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from scipy import sparse

from rrtool.core.diffusion.mining.communities import communities, joined_groups


def _planted(n_groups: int, size: int, wrong: float, seed: int) -> sparse.csr_array:
    """Groups of one size within which half of all pairs are linked; elsewhere few are."""
    generator, n = np.random.default_rng(seed), n_groups * size
    of = np.arange(n) // size
    share = np.where(of[:, None] == of, 0.5, wrong)
    linked = np.triu(generator.random((n, n)) < share, k=1)
    weights = np.where(linked, generator.uniform(0.2, 1, (n, n)), 0).astype(np.float32)
    return sparse.csr_array(weights + weights.T)


def _parts(labels: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]


def _modularity(adjacency: sparse.csr_array, labels: np.ndarray) -> float:
    """As it is defined, in a dense loop."""
    dense = adjacency.toarray().astype(np.float64)
    degrees, total = dense.sum(axis=1), dense.sum()
    same = labels[:, None] == labels
    return float(((dense - np.outer(degrees, degrees) / total) * same).sum() / total)


@pytest.mark.parametrize(("wrong", "seed"), [(0.005, 0), (0.02, 1), (0.05, 2)])
def test_communities_are_as_modular_as_those_of_networkx(wrong, seed):
    adjacency = _planted(9, 12, wrong, seed)
    graph = networkx.from_scipy_sparse_array(adjacency)
    theirs = networkx.community.louvain_communities(graph, seed=0)
    ours = communities(adjacency, seed=0)
    found = networkx.community.modularity(graph, _parts(ours))
    assert found == pytest.approx(_modularity(adjacency, ours), abs=1e-6)
    assert found >= networkx.community.modularity(graph, theirs) - 0.01


def test_communities_lose_by_every_move_of_one_vertex():
    adjacency = _planted(4, 8, 0.05, 3)
    labels = communities(adjacency, seed=0)
    before = _modularity(adjacency, labels)
    for vertex in range(len(labels)):
        for label in np.unique(labels):
            moved = labels.copy()
            moved[vertex] = label
            assert _modularity(adjacency, moved) <= before + 1e-9


def test_communities_find_what_was_planted_where_components_are_one():
    adjacency = _planted(8, 15, 0.01, 4)
    assert sparse.csgraph.connected_components(adjacency, directed=False)[0] == 1
    assert communities(adjacency, seed=1).tolist() == (np.arange(120) // 15).tolist()


def test_communities_do_not_depend_on_the_order_of_the_rows_where_they_are_clear():
    adjacency = _planted(6, 12, 0.0, 5)
    order = np.random.default_rng(0).permutation(72)
    found = communities(adjacency[order][:, order].tocsr(), seed=0)
    truth = order // 12
    assert ((found[:, None] == found) == (truth[:, None] == truth)).all()


def test_order_in_which_vertices_are_looked_at_is_that_of_the_seed():
    """Of edges by chance alone, where communities are not clear."""
    adjacency = _planted(1, 60, 0.0, 6)
    found = [communities(adjacency, seed).tolist() for seed in range(4)]
    assert found == [communities(adjacency, seed).tolist() for seed in range(4)]
    assert any(each != found[0] for each in found)


def test_communities_of_no_edges_are_the_vertices():
    assert communities(sparse.csr_array((4, 4), dtype=np.float32), 0).tolist() == [0, 1, 2, 3]
    assert communities(sparse.csr_array((0, 0), dtype=np.float32), 0).tolist() == []
    assert communities(sparse.csr_array((1, 1), dtype=np.float32), 0).tolist() == [0]
    pair = sparse.csr_array(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], np.float32))
    assert communities(pair, 0).tolist() == [0, 0, 1]


def test_joined_groups_need_two_links():
    labels = np.array([0, 0, 1, 1, 2, 2, 3])
    links = np.array([[0, 2], [3, 1], [3, 4], [0, 1], [4, 6], [6, 5]])
    assert joined_groups(labels, links).tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert joined_groups(labels, links, fewest=1).tolist() == [0] * 7
    assert joined_groups(labels, links, fewest=3).tolist() == labels.tolist()
    assert joined_groups(labels, np.zeros((0, 2), int)).tolist() == labels.tolist()
    assert joined_groups(np.zeros(0, int), np.zeros((0, 2), int)).tolist() == []
