"""Which images to ask for: one entry a strategy (thesis 3.4–3.6, 3.11–3.12).

A new strategy is an entry of ``STRATEGIES`` here, and its name in ``acquisition_options``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.core.learning.acquisition import (
    Acquisition,
    acquire_coreset,
    acquire_random,
    acquire_uncertain,
    entropy,
    nearest_labeled_distance,
)
from rrtool.core.learning.by_classifier import (
    acquire_badge,
    acquire_by_dropout,
    acquire_by_margin,
)
from rrtool.core.learning.joint_label_propagation import (
    acquire_joint_propagation,
    manifold_similarity,
)
from rrtool.core.learning.typical import acquire_covering, acquire_typical
from rrtool.stages.learning.model import Model


@dataclass(frozen=True)
class Strategy:
    """An acquisition function.

    Attributes:
        acquire: a(X, L, U, y; θ) of Algorithm 1, line 10, until b images are picked: from the
            model (random needs none), L, U, b and a source of ties (and of chance) to the images
            picked, in order.
        first_scores: from the model, L, U and the same source to the scores ``(u,)`` of U before
            the first pick, the largest first; al-agree compares those that have them.
    """

    acquire: Callable[[Any, np.ndarray, np.ndarray, int, np.random.Generator], Acquisition]
    first_scores: Callable[[Model, np.ndarray, np.ndarray, np.random.Generator], np.ndarray] = (
        lambda *_: np.zeros(0)
    )


_UNCERTAIN = Strategy(  # (3.6)
    lambda model, labeled, pool, b, draw: acquire_uncertain(model.probabilities, pool, b, draw),
    lambda model, labeled, pool, draw: entropy(model.probabilities[pool]),
)
STRATEGIES: Mapping[str, Strategy] = {
    "random": Strategy(
        lambda model, labeled, pool, b, draw: acquire_random(pool, b, draw),
        lambda model, labeled, pool, draw: draw.permutation(len(pool)).astype(np.float64),
    ),
    "entropy": _UNCERTAIN,
    "coreset": Strategy(  # (3.4)
        lambda model, labeled, pool, b, draw: acquire_coreset(
            model.features, labeled, pool, b, draw
        ),
        lambda model, labeled, pool, draw: nearest_labeled_distance(model.features, labeled, pool),
    ),
    # Picks as entropy does; what is its own are the labels it gives itself (``cycle``).
    "ceal": _UNCERTAIN,
    "jlp": Strategy(  # (3.12), (3.11)
        lambda model, labeled, pool, b, draw: acquire_joint_propagation(
            model.graph, labeled, pool, b, draw, alpha=model.options.alpha
        ),
        lambda model, labeled, pool, draw: (
            -manifold_similarity(model.graph, labeled, alpha=model.options.alpha)[pool]
        ),
    ),
    "typiclust": Strategy(
        lambda model, labeled, pool, b, draw: acquire_typical(
            model.features, labeled, pool, b, draw
        )
    ),
    "probcover": Strategy(
        lambda model, labeled, pool, b, draw: acquire_covering(
            model.features, labeled, pool, b, draw, n_clusters=model.n_classes or max(b, 2)
        )
    ),
    "badge": Strategy(
        lambda model, labeled, pool, b, draw: acquire_badge(
            model.features, model.probabilities, pool, b, draw
        )
    ),
    "dropquery": Strategy(
        lambda model, labeled, pool, b, draw: acquire_by_dropout(
            model.features, model.classify, pool, b, draw
        )
    ),
    "margin": Strategy(
        lambda model, labeled, pool, b, draw: acquire_by_margin(model.probabilities, pool, b, draw)
    ),
}
