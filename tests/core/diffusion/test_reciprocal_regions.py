"""Regions: lists of one region a photo by brute force, and the encoding by its definition."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.diffusion.reciprocal import ReciprocalEncoder, ReciprocalOptions
from rrtool.core.diffusion.reciprocal_regions import (
    RegionEncoder,
    nearest_of_images,
    region_neighbors,
)
from tests.core.diffusion.test_reciprocal import PlainScale, clusters, lists

COUNTS = [3, 1, 4, 0, 2, 5, 3, 3, 1, 4, 2, 3]  # the fourth photo has none
OFFSETS = np.concatenate([[0], np.cumsum(COUNTS)])
N = int(OFFSETS[-1])
IMAGES = np.repeat(np.arange(len(COUNTS)), COUNTS)


def overlapping(seed: int) -> np.ndarray:
    """Regions of a photo resemble each other more than those of photos of one thing do."""
    noise = np.random.default_rng(seed).standard_normal((N, 16))
    vectors = clusters(len(COUNTS), 4, seed)[IMAGES] + 0.1 * noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def some(n_out: int) -> np.ndarray:
    usable = np.ones(N, bool)
    usable[np.random.default_rng(3).choice(N, n_out, replace=False)] = False
    return usable


def plain_nearest(similarities, usable, out, k):
    """The best region of each photo, the photos in order."""
    best = {}
    for region in np.flatnonzero(usable).tolist():
        image = IMAGES[region]
        if image != out and (image not in best or similarities[region] > similarities[best[image]]):
            best[image] = region
    return sorted(best.values(), key=lambda region: -similarities[region])[:k]


@pytest.mark.parametrize("n_out", [0, 6, N])
@pytest.mark.parametrize("k", [1, 4, 20])
def test_neighbours_are_one_region_of_each_other_photo(n_out, k):
    vectors, usable = clusters(N, 5, seed=1), some(n_out)
    ids, similarities = region_neighbors(vectors, usable, OFFSETS, k)
    assert ids.shape == similarities.shape == (N, k)
    for row in range(N):
        alike = vectors @ vectors[row]
        expected = plain_nearest(alike, usable, IMAGES[row], k) if usable[row] else []
        assert ids[row].tolist() == expected + [-1] * (k - len(expected))
        np.testing.assert_allclose(similarities[row][: len(expected)], alike[expected], atol=1e-6)


def test_nearest_of_images_of_nothing_is_nothing():
    ids, similarities = nearest_of_images(np.zeros(0, np.float32), np.zeros(3, int), 4)
    assert (len(ids), len(similarities)) == (0, 0)


@pytest.mark.parametrize("mixture", [0.0, 0.1])
@pytest.mark.parametrize("n_out", [0, 6])
def test_scores_are_those_of_the_definition(n_out, mixture):
    vectors, usable, options = overlapping(2), some(n_out), ((2, 5), None, mixture)
    chosen = ReciprocalOptions(*options)
    found = region_neighbors(vectors, usable, OFFSETS, chosen.n_neighbors)
    encoder = RegionEncoder(vectors, usable, OFFSETS, found, chosen)
    plain = [PlainScale(vectors, usable, k, chosen.averaged(k), found) for k in chosen.k1]
    for query in (overlapping(9)[:4], vectors[5:8], vectors[:1]):
        best = np.full((len(query), len(COUNTS)), -np.inf)
        similar = best.copy()
        for row, vector in enumerate(query):
            alike = np.where(usable, vectors @ vector, -np.inf)
            order = plain_nearest(alike, usable, None, len(COUNTS))
            index = np.mean([scale.indices(alike, order) for scale in plain], axis=0)
            for region in np.flatnonzero(usable):
                score = mixture * alike[region] + (1 - mixture) * index[region]
                image = IMAGES[region]
                best[row, image] = max(best[row, image], score)
                similar[row, image] = max(similar[row, image], alike[region])
        result = encoder.scores(query)
        np.testing.assert_allclose(result.scores, best.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(result.similarities, similar.mean(axis=0), atol=1e-6)
        assert (result.regions == -np.inf).tolist() == (~usable).tolist()


def test_photos_of_one_region_are_as_images():
    vectors, usable, chosen = clusters(40, 5, seed=4), np.ones(40, bool), ReciprocalOptions((3, 6))
    offsets = np.arange(41)
    found = region_neighbors(vectors, usable, offsets, 6)
    encoder = RegionEncoder(vectors, usable, offsets, found, chosen)
    images = ReciprocalEncoder(vectors, usable, *lists(vectors, usable, 6), chosen)
    for query in clusters(5, 5, seed=5):
        expected = images.rank_scores(vectors @ query)
        np.testing.assert_allclose(encoder.scores(query[None]).scores, expected, atol=1e-6)


def test_equal_regions_and_a_single_photo_have_finite_scores():
    for counts in ([4], [2, 2, 2]):
        n, offsets = sum(counts), np.concatenate([[0], np.cumsum(counts)])
        vectors, usable = np.tile(np.float32([1, 0]), (n, 1)), np.ones(n, bool)
        chosen = ReciprocalOptions((2,), mixture=0.0)
        found = region_neighbors(vectors, usable, offsets, 2)
        scores = RegionEncoder(vectors, usable, offsets, found, chosen).scores(vectors[:2]).scores
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(scores, scores[0])


def test_no_mixture_leaves_out_what_is_no_image():
    vectors, is_image = clusters(20, 4, seed=6), np.arange(20) % 5 > 0
    chosen = ReciprocalOptions((3,), mixture=0.0)
    encoder = ReciprocalEncoder(vectors, is_image, *lists(vectors, is_image, 3), chosen)
    similarities = np.where(is_image, vectors @ vectors[1], -np.inf).astype(np.float32)
    scores = encoder.rank_scores(similarities)
    assert (scores == -np.inf).tolist() == (~is_image).tolist()
    assert not np.isnan(scores).any()
