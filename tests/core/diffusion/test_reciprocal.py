"""k-reciprocal encoding against its definition in sets and dense matrices, and degenerate input."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.diffusion.reciprocal import (
    ReciprocalEncoder,
    ReciprocalOptions,
    default_k1,
    is_too_many,
)


def clusters(n: int, n_groups: int, seed: int, spread: float = 0.6) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((n_groups, 16))
    vectors = centres[np.arange(n) % n_groups] + spread * generator.standard_normal((n, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def lists(vectors: np.ndarray, is_image: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours as build-graph stores them: equal similarities by id, −1 for none."""
    n = len(vectors)
    ids, values = np.full((n, k), -1, np.int32), np.zeros((n, k), np.float32)
    for i in np.flatnonzero(is_image):
        others = [j for j in np.flatnonzero(is_image) if j != i]
        others.sort(key=lambda j: (-vectors[i] @ vectors[j], j))
        found = others[:k]
        ids[i, : len(found)], values[i, : len(found)] = found, vectors[found] @ vectors[i]
    return ids, values


def encoder(
    vectors: np.ndarray, options: ReciprocalOptions, is_image: np.ndarray | None = None, k: int = 12
) -> ReciprocalEncoder:
    is_image = np.ones(len(vectors), bool) if is_image is None else is_image
    return ReciprocalEncoder(vectors, is_image, *lists(vectors, is_image, k), options)


class Plain:
    """The module's definition, with sets and dense rows."""

    def __init__(self, vectors: np.ndarray, is_image: np.ndarray, options: ReciprocalOptions):
        self.mixture = options.mixture
        self.scales = [
            PlainScale(vectors, is_image, k1, options.k2 or max(1, round(0.3 * k1)))
            for k1 in options.k1
        ]

    def scores(self, query: np.ndarray) -> np.ndarray:
        similarities = self.scales[0].vectors.astype(np.float32) @ query
        result = np.full(len(similarities), -np.inf)
        found = [scale.indices(similarities) for scale in self.scales]
        for j in self.scales[0].images:
            index = np.mean([each[j] for each in found])
            result[j] = self.mixture * similarities[j] + (1 - self.mixture) * index
        return result


class PlainScale:
    def __init__(self, vectors: np.ndarray, is_image: np.ndarray, k1: int, k2: int, found=None):
        self.vectors, self.k1, self.k2 = vectors.astype(np.float64), k1, k2
        self.images = np.flatnonzero(is_image).tolist()
        self.ids, self.values = found or lists(vectors, is_image, max(k1, k2 - 1))
        self.half = {i: self.mutual(i, max(1, round(k1 / 2))) for i in self.images}
        rows = np.zeros((len(vectors), len(vectors)))
        for i in self.images:
            for j in self.expand(self.mutual(i, k1)):
                rows[i, j] = np.exp((1 if i == j else self.vectors[i] @ self.vectors[j]) - 1)
            rows[i] /= rows[i].sum()
        self.plain = rows
        self.encodings = np.zeros_like(rows)
        for i in self.images:
            near = [i, *(j for j in self.ids[i, : k2 - 1].tolist() if j >= 0)]
            self.encodings[i] = rows[near].mean(axis=0)

    def mutual(self, i: int, k: int) -> set[int]:
        return {i} | {j for j in self.ids[i, :k].tolist() if j >= 0 and i in self.ids[j, :k]}

    def expand(self, mutual: set[int]) -> set[int]:
        found = set(mutual)
        for j in mutual:
            if len(self.half[j] & mutual) >= 2 / 3 * len(self.half[j]):
                found |= self.half[j]
        return found

    def indices(self, similarities: np.ndarray, order: list[int] | None = None) -> np.ndarray:
        order = order or sorted(self.images, key=lambda j: (-similarities[j], j))
        mutual = set()
        for j in order[: self.k1]:
            last = self.ids[j, self.k1 - 1]
            if last < 0 or similarities[j] >= self.values[j, self.k1 - 1] - 1e-6:
                mutual.add(j)
        row, total = np.zeros(len(self.vectors)), 1.0
        for j in self.expand(mutual):
            row[j] = np.exp(similarities[j] - 1)
            total += row[j]
        own = np.mean([row / total, *self.plain[order[: self.k2 - 1]]], axis=0)
        m = np.minimum(own, self.encodings).sum(axis=1)
        return m / (2 - m)


def masked(vectors: np.ndarray, query: np.ndarray, is_image: np.ndarray) -> np.ndarray:
    return np.where(is_image, vectors @ query, -np.inf).astype(np.float32)


@pytest.mark.parametrize(
    "options", [((8,), 3), ((1,), 1), ((2,), 1), ((5,), 6), ((12,), 12), ((2, 4, 8), None)]
)
@pytest.mark.parametrize("n_failed", [0, 5, 52])  # so many that lists have gaps
def test_encoder_equals_the_definition(options, n_failed):
    vectors = clusters(60, 7, seed=n_failed)
    is_image = np.ones(60, bool)
    is_image[np.random.default_rng(1).choice(60, n_failed, replace=False)] = False
    chosen = ReciprocalOptions(*options, mixture=0.3)
    found = encoder(vectors, chosen, is_image)
    expected = Plain(vectors, is_image, chosen)
    queries = [*clusters(9, 7, seed=11), *vectors[:9]]  # others, and images themselves
    for query in queries + queries[::-1]:  # with what is kept of those before
        similarities = masked(vectors, query, is_image)
        scores = found.rank_scores(similarities)
        np.testing.assert_allclose(scores, expected.scores(query), atol=1e-6)


def test_encoder_equals_the_definition_where_similarities_are_equal():
    """Products of such vectors are exact, and most of them are equal to others."""
    signs = np.random.default_rng(2).choice([-0.5, 0.5], (40, 4)).astype(np.float32)
    chosen = ReciprocalOptions((2, 6), 3)
    found, expected = encoder(signs, chosen), Plain(signs, np.ones(40, bool), chosen)
    for query in signs:
        np.testing.assert_allclose(
            found.rank_scores(signs @ query), expected.scores(query), atol=1e-6
        )


def test_rounding_decides_nothing():
    """A query that is an image is the k1-th neighbour of others: equal, but for rounding."""
    vectors = clusters(60, 7, seed=4)
    found = encoder(vectors, ReciprocalOptions((6,)))
    for query in vectors[:20]:
        up, down = (
            found.rank_scores((vectors @ query * np.float32(factor)).astype(np.float32))
            for factor in (1 + 1e-7, 1 - 1e-7)
        )
        np.testing.assert_allclose(up, down, atol=1e-5)


def test_index_is_that_of_sets():
    vectors, options = clusters(40, 4, seed=5), ReciprocalOptions((8,), 3, mixture=0)
    scores = encoder(vectors, options).rank_scores(vectors @ vectors[0])
    assert ((scores >= 0) & (scores <= 1)).all()
    # Those of its own group share neighbours with it, others do not.
    assert scores[::4].min() > 0.1
    assert scores[np.arange(40) % 4 != 0].max() < 0.05


def test_mixture_of_one_is_the_similarity():
    vectors = clusters(30, 3, seed=6)
    similarities = vectors @ vectors[2]
    found = encoder(vectors, ReciprocalOptions((5,), 2, mixture=1)).rank_scores(similarities)
    np.testing.assert_allclose(found, similarities, rtol=1e-6)


def test_reciprocal_finds_what_chains_of_neighbours_hold_together():
    """Far members of a group that hangs together rank before nearer strangers that do not."""
    angles = np.concatenate([np.linspace(0, 1.0, 11), -np.linspace(0.7, 0.9, 3)])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    similarities = vectors @ vectors[0]
    plain = np.argsort(-similarities)
    assert plain.tolist().index(11) < plain.tolist().index(8)
    scores = encoder(vectors, ReciprocalOptions((6,), 3)).rank_scores(similarities)
    assert scores[8] > scores[11]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_encoder_of_hardly_any_images(n):
    vectors = clusters(max(n, 1), 1, seed=7)[:n]
    found = encoder(vectors, ReciprocalOptions((1,), 1), k=1)
    query = clusters(1, 1, seed=8)[0]
    scores = found.rank_scores(vectors @ query)
    assert scores.shape == (n,)
    assert np.isfinite(scores).all()


def test_encoder_without_images_and_duplicates():
    vectors = np.tile(clusters(1, 1, seed=9), (10, 1))
    scores = encoder(vectors, ReciprocalOptions((3,), 2)).rank_scores(vectors @ vectors[0])
    assert np.isfinite(scores).all()
    found = encoder(vectors, ReciprocalOptions((3,), 2), np.zeros(10, bool))
    assert np.isneginf(found.rank_scores(np.full(10, -np.inf, np.float32))).all()


def test_encoder_of_too_few_neighbours_is_refused():
    vectors = clusters(20, 2, seed=10)
    with pytest.raises(ValueError, match="at least 7"):
        encoder(vectors, ReciprocalOptions((3, 7), 2), k=5)


@pytest.mark.parametrize(("n", "k1"), [
    (0, (1,)), (9, (1,)), (20, (3, 4)), (51, (3, 5, 10)), (185, (3, 5, 10, 20)),
    (10**6, (3, 5, 10, 20)),
])  # fmt: skip
def test_defaults_follow_the_number_of_images(n, k1):
    assert default_k1(n) == k1
    assert not any(is_too_many(each, n) for each in k1)
    assert is_too_many(n // 5 + 4, n)
    assert [ReciprocalOptions(k1).averaged(each) for each in (1, 3, 5, 10, 20)] == [1, 1, 2, 3, 6]
