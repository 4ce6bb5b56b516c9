"""Objects against a plain version written from the rules, hand-worked graphs, and odd inputs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from rrtool.core.discovery.object_discovery import (
    DiscoveredObjects,
    DiscoveryOptions,
    discover_objects,
)

EVERYTHING = DiscoveryOptions(min_images=2, quantile=0, cohesion=0, overlap=1)


def graph(n: int, edges: dict[tuple[int, int], float]) -> sparse.csr_array:
    dense = np.zeros((n, n), dtype=np.float32)
    for (i, j), weight in edges.items():
        dense[i, j] = dense[j, i] = weight
    return sparse.csr_array(dense)


def apart(n: int) -> np.ndarray:
    """Boxes that do not meet."""
    corners = 10.0 * np.arange(n)[:, None]
    return np.hstack([corners, corners, corners + 5, corners + 5])


def groups(found: DiscoveredObjects) -> list[list[int]]:
    return [found.regions[a:b].tolist() for a, b in pairwise(found.offsets.tolist())]


def plainly(
    adjacency: np.ndarray,
    centrality: np.ndarray,
    images: np.ndarray,
    boxes: np.ndarray,
    options: DiscoveryOptions,
) -> list[list[int]]:
    """The same with sets and loops, on a dense matrix."""
    n = len(images)
    pairs = [(i, j) for i in range(n) for j in range(n) if images[i] != images[j]]
    weights = [adjacency[i, j] for i, j in pairs if adjacency[i, j] > 0]
    least = np.quantile(weights, options.quantile) if weights else 1

    def linked(i: int, j: int) -> bool:
        return bool(images[i] != images[j] and adjacency[i, j] > 0 and adjacency[i, j] >= least)

    def overlap(i: int, j: int) -> float:
        (a, b, c, d), (e, f, g, h) = boxes[i], boxes[j]
        shared = max(0, min(c, g) - max(a, e)) * max(0, min(d, h) - max(b, f))
        smaller = min((c - a) * (d - b), (g - e) * (h - f))
        return shared / smaller if smaller else 0

    taken: set[int] = set()
    found = []
    for seed in sorted(range(n), key=lambda i: (-centrality[i], i)):
        if seed in taken:
            continue
        group: list[int] = []
        for j in sorted(range(n), key=lambda j: (-adjacency[seed, j], j)):
            of_group = {images[i] for i in group}
            if linked(seed, j) and j not in taken and images[j] not in of_group:
                group.append(j)
        group.insert(0, seed)
        while len(group) > 1:
            friends = {i: sum(linked(i, j) for j in group) for i in group[1:]}
            worst = min(reversed(group[1:]), key=lambda i: friends[i])
            if friends[worst] >= options.cohesion * (len(group) - 1):
                break
            group.remove(worst)
        if len(group) >= options.min_images:
            found.append(group)
            for i in group:
                taken.add(i)
                same = [j for j in range(n) if images[i] == images[j]]
                taken.update(j for j in same if overlap(i, j) > options.overlap)
    return sorted(found, key=lambda group: -len(group))


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(0, 24),
    n_images=st.integers(1, 9),
    options=st.builds(
        DiscoveryOptions,
        min_images=st.integers(2, 4),
        quantile=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
        cohesion=st.sampled_from([0.0, 0.4, 0.5, 1.0]),
        overlap=st.sampled_from([0.0, 0.5, 1.0]),
    ),
)
def test_discover_objects_equals_a_plain_version(
    seed: int, n: int, n_images: int, options: DiscoveryOptions
) -> None:
    rng = np.random.default_rng(seed)
    # Few distinct values, so that ties are common.
    weights = rng.integers(1, 5, (n, n)) / 4 * (rng.random((n, n)) < 0.5)
    dense = np.triu(weights, 1).astype(np.float32)
    dense = dense + dense.T
    centrality = rng.integers(0, 4, n).astype(np.float32)
    images = rng.integers(0, n_images, n)
    low = rng.integers(0, 4, (n, 2))
    boxes = np.hstack([low, low + rng.integers(0, 4, (n, 2))]).astype(np.float32)
    found = discover_objects(sparse.csr_array(dense), centrality, images, boxes, options)
    assert groups(found) == plainly(dense, centrality, images, boxes, options)
    for group in groups(found):
        assert len(set(images[group].tolist())) == len(group) >= options.min_images
    assert len(set(found.regions.tolist())) == len(found.regions)
    starts = found.offsets[:-1]
    seeds = np.repeat(found.regions[starts], np.diff(found.offsets))
    expected = dense[seeds, found.regions]
    expected[starts] = 1
    np.testing.assert_array_equal(found.weights, expected)


def test_discover_objects_keeps_a_chain_apart() -> None:
    # 0-1-2-3-4 in five images: a component would be one object; only 1, 2, 3 meet in region 2.
    chain = graph(5, {(i, i + 1): 0.9 for i in range(4)})
    found = discover_objects(chain, np.array([1.0, 2, 3, 2, 1]), np.arange(5), apart(5), EVERYTHING)
    assert groups(found) == [[2, 1, 3]]


def test_discover_objects_takes_the_best_region_of_each_image() -> None:
    # Region 0 has two neighbours in image 1, and one in image 2.
    edges = {(0, 1): 0.5, (0, 2): 0.8, (0, 3): 0.6}
    images = np.array([0, 1, 1, 2])
    found = discover_objects(graph(4, edges), np.ones(4), images, apart(4), EVERYTHING)
    assert groups(found) == [[0, 2, 3]]
    np.testing.assert_allclose(found.weights, [1, 0.8, 0.6])


def test_discover_objects_finds_the_same_place_once() -> None:
    # Two scales of one object in three images: 0, 1, 2 and 3, 4, 5, which lie inside of them.
    edges = {(i, j): 0.9 for a in ((0, 1, 2), (3, 4, 5)) for i in a for j in a if i < j}
    images = np.array([0, 1, 2, 0, 1, 2])
    outer, inner = np.array([0, 0, 10, 10.0]), np.array([2, 2, 6, 6.0])
    boxes = np.vstack([np.tile(outer, (3, 1)), np.tile(inner, (3, 1))])
    centrality = np.array([2, 2, 2, 1, 1, 1.0])
    once = discover_objects(graph(6, edges), centrality, images, boxes)
    assert groups(once) == [[0, 1, 2]]
    elsewhere = np.vstack([boxes[:3], boxes[3:] + 20])
    twice = discover_objects(graph(6, edges), centrality, images, elsewhere)
    assert groups(twice) == [[0, 1, 2], [3, 4, 5]]


def test_discover_objects_drops_what_knows_the_seed_alone() -> None:
    # 0, 1, 2, 3 know each other; 4 knows only the seed 0.
    edges = {(i, j): 0.9 for i in range(4) for j in range(i)} | {(0, 4): 0.9}
    options = DiscoveryOptions(min_images=2, quantile=0, cohesion=0.5)
    found = discover_objects(
        graph(5, edges), np.array([5.0, 1, 1, 1, 1]), np.arange(5), apart(5), options
    )
    assert groups(found) == [[0, 1, 2, 3]]


def test_discover_objects_are_biggest_first() -> None:
    pair, trio = {(0, 1): 0.9}, {(2, 3): 0.5, (2, 4): 0.5, (3, 4): 0.5}
    centrality = np.array([9.0, 9, 1, 1, 1])
    found = discover_objects(graph(5, pair | trio), centrality, np.arange(5), apart(5), EVERYTHING)
    assert groups(found) == [[2, 3, 4], [0, 1]]


@pytest.mark.parametrize("n", [0, 1, 6])
def test_discover_objects_without_edges_finds_nothing(n: int) -> None:
    found = discover_objects(graph(n, {}), np.ones(n), np.arange(n), apart(n))
    assert len(found) == 0
    np.testing.assert_array_equal(found.offsets, [0])
    assert found.regions.shape == found.weights.shape == (0,)


def test_discover_objects_of_one_image_finds_nothing() -> None:
    edges = {(i, j): 0.9 for i in range(4) for j in range(i)}
    found = discover_objects(graph(4, edges), np.ones(4), np.zeros(4, int), apart(4))
    assert len(found) == 0


def test_discover_objects_of_duplicates_is_one_object() -> None:
    edges = {(i, j): 1.0 for i in range(6) for j in range(i)}
    found = discover_objects(graph(6, edges), np.ones(6), np.arange(6), np.ones((6, 4)))
    assert groups(found) == [[0, 1, 2, 3, 4, 5]]


def test_discover_objects_without_centrality_goes_by_id() -> None:
    edges = {(0, 1): 0.9, (0, 2): 0.9, (1, 2): 0.9}
    found = discover_objects(graph(3, edges), np.zeros(3), np.arange(3), apart(3))
    assert groups(found) == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"centrality": np.array([1, np.nan, 1])}, "centrality holds"),
        ({"centrality": np.array([1, -1, 1.0])}, "centrality holds"),
        ({"centrality": np.ones(2)}, "expected"),
        ({"boxes": np.full((3, 4), np.nan)}, "a box is not finite"),
        ({"boxes": np.tile([5.0, 0, 1, 1], (3, 1))}, "ends before it starts"),
        ({"images": np.arange(2)}, "expected"),
    ],
)
def test_discover_objects_refuses_what_it_cannot_use(
    changed: dict[str, np.ndarray], message: str
) -> None:
    arguments = {"centrality": np.ones(3), "images": np.arange(3), "boxes": apart(3)} | changed
    with pytest.raises(ValueError, match=message):
        discover_objects(graph(3, {(0, 1): 0.5}), **arguments)
