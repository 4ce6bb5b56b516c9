"""θ of Algorithm 1 on frozen descriptors: a classifier and propagated labels, in seconds."""

from dataclasses import asdict, replace

import numpy as np

from rrtool.core.learning.few_labels import FewLabels, directions, fitted_k, learn_few_labels
from rrtool.stages.learning.model import Model, PseudoLabels
from rrtool.stages.learning.propagation_options import PropagationOptions


def center_of(descriptors: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """The mean descriptor of the usable images, ``(d,)`` float32."""
    return descriptors[usable].mean(axis=0, dtype=np.float64).astype(np.float32)


def unlabeled_model(vectors: np.ndarray, options: PropagationOptions) -> Model:
    """What can be said before any label."""
    return Model(features=vectors, options=_fitted(options, len(vectors), 0))


def learn(
    vectors: np.ndarray,
    labeled_ids: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    options: PropagationOptions,
    *,
    semi: bool = True,
) -> tuple[Model, FewLabels]:
    """The model of some labels.

    Args:
        vectors: ``(n, d)`` float32, from ``directions``; zero where an image cannot be used.
    """
    model = Model(features=vectors, options=_fitted(options, len(vectors), len(labels)))

    def propagate(ids: np.ndarray, known: np.ndarray) -> PseudoLabels:
        return model.propagate(ids, known, n_classes)

    found = learn_few_labels(vectors, labeled_ids, labels, n_classes, propagate, semi=semi)
    learnt = replace(
        model,
        probabilities=found.probabilities,
        parameters={
            "classifier.weight": found.weights.T,
            "classifier.bias": np.zeros(n_classes, np.float32),
            "exponents": np.array(found.exponents, np.float32),
        },
        facts={
            "k": model.options.k,
            "strength": found.strength,
            "held_out": asdict(found.held_out) if found.held_out else None,
        },
    )
    vars(learnt)["graph"] = model.graph  # found already
    return learnt, found


def _fitted(options: PropagationOptions, n_images: int, n_labels: int) -> PropagationOptions:
    return replace(options, k=options.k or fitted_k(n_images, n_labels))


__all__ = ["center_of", "directions", "learn", "unlabeled_model"]
