"""Which images to ask for: one acquisition function a strategy (thesis 3.4–3.6, 3.11–3.12)."""

from __future__ import annotations

import numpy as np

from rrtool.core.learning.acquisition import (
    Acquisition,
    acquire_coreset,
    acquire_random,
    acquire_uncertain,
)
from rrtool.core.learning.joint_label_propagation import acquire_joint_propagation
from rrtool.stages.learning.train import Model


def acquire(
    strategy: str,
    model: Model | None,
    labeled_ids: np.ndarray,
    pool_ids: np.ndarray,
    budget: int,
    generator: np.random.Generator,
) -> Acquisition:
    """Pick ``budget`` of ``pool_ids``, or all of them where there are fewer.

    Args:
        strategy: one of ``STRATEGIES``; without a model all of them pick at random.
    """
    budget = min(budget, len(pool_ids))
    if model is None or strategy == "random":
        return acquire_random(pool_ids, budget, generator)
    if strategy == "coreset":
        return acquire_coreset(model.features, labeled_ids, pool_ids, budget, generator)
    if strategy == "jlp":
        return acquire_joint_propagation(model.graph, labeled_ids, pool_ids, budget, generator)
    return acquire_uncertain(model.probabilities, pool_ids, budget, generator)
