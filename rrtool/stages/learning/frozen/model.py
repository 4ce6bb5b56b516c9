"""θ of Algorithm 1 on frozen descriptors: a classifier and propagated labels, in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from rrtool.core.diffusion.knn import KnnOptions, Searcher
from rrtool.core.learning.few_labels import (
    FewLabels,
    directions,
    fitted_k,
    joined,
    learn_few_labels,
)
from rrtool.core.learning.out_of_sample import propagate_to
from rrtool.stages.learning.model import Model, PseudoLabels
from rrtool.stages.learning.propagation_options import PropagationOptions

_SURE = 0.5  # weight from which on a pseudo-label counts as known
_USUAL_SHARE = 0.02  # of the known images that are less like another than the usual
_SAMPLE = 2000


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
    learnt = model.changed(
        probabilities=found.probabilities,
        parameters={
            "classifier.weight": found.weights.T,
            "classifier.bias": np.zeros(n_classes, np.float32),
            "exponents": np.array(found.exponents, np.float32),
            # Precise to a thousandth, which is what a class has at least.
            "propagated": found.pseudo.probabilities.astype(np.float16),
            "known": _known(found, labeled_ids),
        },
        facts={
            "k": model.options.k,
            "strength": found.strength,
            "share": found.share,
            # Of a single class all labels are told right, whatever the images are.
            "held_out": asdict(found.held_out) if found.held_out and np.ptp(labels) else None,
        },
        suspects=found.suspects,
    )
    return learnt, found


def _fitted(options: PropagationOptions, n_images: int, n_labels: int) -> PropagationOptions:
    return replace(options, k=options.k or fitted_k(n_images, n_labels))


def _known(found: FewLabels, labeled_ids: np.ndarray) -> np.ndarray:
    """Images whose class is known, or as good as known, ``(m,)`` int64."""
    known = found.pseudo.weights >= _SURE
    known[labeled_ids] = True
    return np.flatnonzero(known)


@dataclass(frozen=True)
class Teller:
    """What a model says of images that it has not learnt from.

    Attributes:
        vectors: ``(n, d)`` of the images that it has learnt from.
        parameters: of the model, with ``center``.
        k, gamma: of its graph.
    """

    vectors: np.ndarray
    parameters: Mapping[str, np.ndarray]
    k: int
    gamma: float

    def probabilities(self, descriptors: np.ndarray) -> np.ndarray:
        """``(q, c)`` float32 of descriptors ``(q, d)``."""
        asked = directions(descriptors, self.parameters["center"])
        propagated = self.parameters["propagated"].astype(np.float32)
        near = propagate_to(asked, self.vectors, propagated, self.k, gamma=self.gamma)
        t, u = self.parameters["exponents"].tolist()
        return joined(asked @ self.parameters["classifier.weight"].T, near, (t, u))

    def similarity_to_known(self, descriptors: np.ndarray) -> np.ndarray:
        """To the nearest image whose class is known, ``(q,)`` float32."""
        asked = directions(descriptors, self.parameters["center"])
        known = self.vectors[self.parameters["known"]]
        return Searcher(known, KnnOptions(k=1)).search(asked, 1)[1][:, 0]

    def usual_similarity(self, generator: np.random.Generator) -> float:
        """What is seldom fallen short of by known images, each to the nearest other one."""
        known = self.vectors[self.parameters["known"]]
        if len(known) < 2:
            return -1.0
        rows = generator.permutation(len(known))[:_SAMPLE]
        _, similarities = Searcher(known, KnnOptions(k=1)).neighbors(rows)
        return float(np.quantile(similarities[:, 0], _USUAL_SHARE))
