"""Refinement of the head of a ranking against its formula in plain loops, and degenerate input."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.retrieval.refinement import RefinementOptions, refined_scores


def unit(n: int, d: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def plain_scores(query: np.ndarray, images: np.ndarray, k: int, beta: float) -> list[float]:
    """The formula, image by image, dimension by dimension."""
    query, images = query.astype(float), images.astype(float)
    refined = []
    for i, image in enumerate(images):
        others = [(float(image @ other), j) for j, other in enumerate(images) if j != i]
        total, weight = image.copy(), 1.0
        for alike, j in sorted(others, reverse=True)[:k]:
            if alike > 0:
                total += beta * alike * images[j]
                weight += beta * alike
        refined.append(total / weight)
    first = [float(query @ each) for each in refined]
    best = sorted(range(len(images)), key=lambda i: -first[i])[: k + 1]
    expanded = [max(refined[i][c] for i in best) for c in range(len(query))]
    return [
        (own + sum(e * r for e, r in zip(expanded, each, strict=True))) / 2
        for own, each in zip(first, refined, strict=True)
    ]


@pytest.mark.parametrize("options", [(9, 0.15), (3, 1.0), (0, 0.15), (50, 0.5), (19, 2.0)])
def test_scores_are_those_of_the_formula(options):
    images = unit(20, 6, seed=1)
    for query in unit(4, 6, seed=2):
        found = refined_scores(query, images, RefinementOptions(*options))
        np.testing.assert_allclose(found, plain_scores(query, images, *options), atol=1e-5)


def test_neighbours_bring_what_the_query_does_not_see():
    """A photo that shares nothing with the query comes up by those that share with both."""
    query = np.array([1, 0, 0], np.float32)
    images = np.array([[0.8, 0.6, 0], [0, 1, 0], [0.1, 0, 0.995]], np.float32)
    assert (images @ query).argsort().tolist() == [1, 2, 0]
    scores = refined_scores(query, images, RefinementOptions(1, 1.0))
    assert scores.argsort().tolist() == [2, 1, 0]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_images(n):
    images, query = unit(n, 4, seed=3), unit(1, 4, seed=4)[0]
    scores = refined_scores(query, images, RefinementOptions())
    assert scores.shape == (n,)
    assert np.isfinite(scores).all()


def test_equal_images_score_alike_and_zeros_score_nothing():
    same = np.tile(unit(1, 4, seed=5), (12, 1))
    scores = refined_scores(same[0], same, RefinementOptions(3))
    np.testing.assert_allclose(scores, scores[0], rtol=1e-6)
    assert not refined_scores(same[0], np.zeros((5, 4), np.float32), RefinementOptions(3)).any()
