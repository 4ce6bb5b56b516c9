"""Classes spread over the graph of regions: a dense solve, and hand-made graphs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from rrtool.core.discovery.region_labels import Classes, classes_of_objects, spread_labels


def graph_of(n: int, edges: list[tuple[int, int, float]]) -> sparse.csr_array:
    dense = np.zeros((n, n), np.float32)
    for i, j, weight in edges:
        dense[i, j] = dense[j, i] = weight
    return sparse.csr_array(dense)


def test_spread_labels_equals_a_dense_solve() -> None:
    generator = np.random.default_rng(0)
    images = np.sort(generator.integers(0, 8, 30))
    edges = [
        (i, j, generator.uniform(0.1, 1))
        for i in range(30) for j in range(i) if generator.random() < 0.3
    ]  # fmt: skip
    adjacency = graph_of(30, edges)
    labels = np.array([0, 1, -1, 1, -1, 2, -1, -1])
    found = spread_labels(adjacency, images, labels, 3)
    dense = adjacency.toarray().astype(np.float64)
    scale = 1 / np.sqrt(dense.sum(axis=1))
    start = np.zeros((30, 3))
    for region, photo in enumerate(images):
        if labels[photo] >= 0:
            n_photos = len(set(images[labels[images] == labels[photo]]))
            start[region, labels[photo]] = 1 / (images == photo).sum() / n_photos
    mass = np.linalg.solve(np.eye(30) - 0.99 * scale[:, None] * dense * scale, 0.01 * start)
    np.testing.assert_allclose(found, mass / mass.sum(axis=1, keepdims=True), rtol=1e-3)


def test_clutter_of_a_labelled_photo_reaches_nobody_and_chains_do() -> None:
    """Photos 0 (a) and 3 (b); regions 1 and 7 are clutter; 0–2–4 and 6–8 are things."""
    images = np.arange(10) // 2
    adjacency = graph_of(10, [(0, 2, 1.0), (2, 4, 1.0), (6, 8, 1.0)])
    mass = spread_labels(adjacency, images, np.array([0, -1, -1, 1, -1]), 2)
    found = Classes.of(mass)
    assert found.classes.tolist() == [0, 0, 0, -1, 0, -1, 1, 1, 1, -1]
    assert found.shares.tolist() == [1, 1, 1, 0, 1, 0, 1, 1, 1, 0]
    objects = classes_of_objects(mass, np.array([0, 3, 5, 7]), np.array([0, 2, 4, 6, 8, 3, 5]))
    assert objects.classes.tolist() == [0, 1, -1]
    assert (objects.classes.dtype, objects.shares.dtype) == (np.int32, np.float32)


def test_object_between_two_classes_has_the_nearer_one() -> None:
    """A chain of four photos, one region each, labelled at its ends."""
    adjacency = graph_of(4, [(0, 1, 1.0), (1, 2, 0.1), (2, 3, 1.0)])
    mass = spread_labels(adjacency, np.arange(4), np.array([0, -1, -1, 1]), 2)
    found = classes_of_objects(mass, np.array([0, 3, 4]), np.array([0, 1, 2, 3]))
    assert found.classes.tolist() == [0, 1]
    assert 0.5 < found.shares[0] < 1


@pytest.mark.parametrize("n", [0, 3])
def test_without_labels_or_regions_nothing_has_a_class(n: int) -> None:
    mass = spread_labels(graph_of(n, []), np.arange(n), np.full(n, -1), 0)
    assert mass.shape == (n, 0)
    assert Classes.of(mass).classes.tolist() == [-1] * n
    nothing = classes_of_objects(mass, np.zeros(1, np.int64), np.zeros(0, np.int64))
    assert nothing.classes.shape == (0,)
