"""Margin, BADGE and DropQuery against loops over whole gradients and passes."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.learning.by_classifier import (
    acquire_badge,
    acquire_by_dropout,
    acquire_by_margin,
    margin,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def made(n: int = 40, d: int = 6, c: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    scores = np.exp(2 * generator.normal(size=(n, c)))
    features = generator.normal(size=(n, d)).astype(np.float32)
    return features, scores / scores.sum(axis=1, keepdims=True)


def test_margin_is_first_less_second():
    np.testing.assert_allclose(margin(np.array([[0.5, 0.2, 0.3], [0, 1, 0]])), [0.2, 1])
    np.testing.assert_array_equal(margin(np.ones((2, 1))), [1, 1])


def test_acquire_by_margin_takes_the_smallest():
    _, probabilities = made()
    ordered = np.sort(probabilities, axis=1)
    expected = np.argsort(ordered[:, -1] - ordered[:, -2])[:5]
    found = acquire_by_margin(probabilities, np.arange(40), 5, np.random.default_rng(0))
    np.testing.assert_array_equal(found.ids, expected)


def test_acquire_badge_is_kmeans_plus_plus_on_whole_gradients():
    features, probabilities = made()
    found = acquire_badge(features, probabilities, np.arange(40), 12, np.random.default_rng(7))
    draw = np.random.default_rng(7)
    pool = draw.permutation(40)
    guesses = np.eye(4)[probabilities.argmax(axis=1)]
    gradients = np.einsum("nc,nd->ncd", probabilities - guesses, features).reshape(40, -1)[pool]
    picks = [int(np.linalg.norm(gradients, axis=1).argmax())]
    while len(picks) < 12:
        offsets = gradients[:, None] - gradients[picks]
        squares = (offsets**2).sum(axis=2).min(axis=1)
        squares[picks] = 0
        picks.append(int(draw.choice(40, p=squares / squares.sum())))
    np.testing.assert_array_equal(found.ids, pool[picks])
    assert found.scores[0] == pytest.approx(np.linalg.norm(gradients, axis=1).max())


def test_acquire_by_dropout_prefers_images_that_change_their_class():
    generator = np.random.default_rng(1)
    sure = np.abs(generator.normal(size=(30, 8))).astype(np.float32) + 1
    torn = np.tile(np.array([1, -1.05], np.float32), (10, 4)) * (1 + 0.01 * sure[:10])
    features = np.concatenate([sure, torn]).astype(np.float32)

    def classify(x: np.ndarray) -> np.ndarray:
        total = x.sum(axis=1)
        return np.stack([total, -total], axis=1)

    found = acquire_by_dropout(features, classify, np.arange(40), 4, np.random.default_rng(0))
    assert (found.ids >= 30).all()
    assert (found.scores > 0.5).all()


def test_acquire_by_dropout_without_doubt_fills_up_with_diverse_images():
    features, _ = made()
    found = acquire_by_dropout(
        features, lambda x: np.tile([1.0, 0.0], (len(x), 1)), np.arange(40), 6,
        np.random.default_rng(0),
    )  # fmt: skip
    assert len(set(found.ids.tolist())) == 6
    np.testing.assert_array_equal(found.scores, 0)
