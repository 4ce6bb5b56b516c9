"""A trained network θ of Algorithm 1: what it says about the images, and what follows from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from rrtool.core.diffusion.knn import has_faiss
from rrtool.core.learning.few_labels import Suspects, fitted_k
from rrtool.core.learning.label_propagation import PseudoLabels, feature_graph, propagate_labels
from rrtool.errors import WorkFailed
from rrtool.progress import Progress
from rrtool.stages.learning.propagation_options import EXACT_UP_TO, PropagationOptions


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network by what it says about all images.

    Attributes:
        features: ``(n, d)`` float32, zero where an image could not be read.
        options: of the graph and of label propagation, and the device of both.
        probabilities: ``(n, c)`` float32; empty in the midst of training.
        parameters: by name.
        accuracy: on the held-out set; None without one.
        facts: more for the history, JSON-compatible.
        recalls: that of the approximate search of the graph's neighbours, when it has been built.
        suspects: labels that look wrong, on frozen features.
    """

    features: np.ndarray
    options: PropagationOptions
    probabilities: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)
    accuracy: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    recalls: list[float] = field(default_factory=list)
    suspects: Suspects = field(default_factory=Suspects.none)

    @cached_property
    def graph(self) -> sparse.csr_array:
        """W: reciprocal nearest neighbours (2.1–2.2).

        Raises:
            WorkFailed: they are to be searched approximately, and faiss is not there.
        """
        options = self.options
        k = options.k or fitted_k(len(self.features), 0)
        try:
            return feature_graph(
                self.features, k=k, gamma=options.gamma, symmetrize=options.symmetrize,
                device=options.device, method=self.method, tell_recall=self.recalls.append,
            )  # fmt: skip
        except ImportError:
            raise WorkFailed(
                f"--neighbors {self.method} needs faiss",
                todo="pip install faiss-cpu, or use --neighbors exact",
            ) from None

    def changed(self, **values: Any) -> "Model":
        """With other values than of features and options, and the graph if it has been built."""
        other = replace(self, **values)
        if "graph" in vars(self):
            vars(other)["graph"] = self.graph
        return other

    @property
    def method(self) -> str:
        """How neighbours are searched."""
        options = self.options
        if options.neighbors != "auto":
            return options.neighbors
        is_large = len(self.features) > EXACT_UP_TO and options.device == "cpu"
        return "ivf" if is_large and has_faiss() else "exact"

    def graph_facts(self, progress: Progress) -> dict[str, Any]:
        """Of the graph, told and to be kept, JSON-compatible; none of exact neighbours."""
        if not self.recalls:
            return {}
        recall = f"{self.recalls[0]:.4f}"
        progress.message(f"recall of --neighbors {self.method}: {recall} on a sample")
        return {"graph": {"neighbors": self.method, "recall": self.recalls[0]}}

    def columns(self) -> dict[str, Any]:
        """What a state keeps of it."""
        return {name: getattr(self, name) for name in ("probabilities", "features", "parameters")}

    @property
    def n_classes(self) -> int | None:
        """None where nothing is known of classes."""
        return self.probabilities.shape[1] or None

    @property
    def classify(self) -> Callable[[np.ndarray], np.ndarray]:
        """The last layer: from features ``(m, d)`` to scores ``(m, c)``."""
        weights, bias = (self.parameters[f"classifier.{name}"] for name in ("weight", "bias"))
        return lambda features: features @ weights.T + bias

    def propagate(
        self, labeled_ids: np.ndarray, labels: np.ndarray, n_classes: int, *, max_iter: int = 20
    ) -> PseudoLabels:
        """LP: labels ŷ and weights w of all images from the labels of some (3.9–3.10)."""
        return propagate_labels(
            self.graph, labeled_ids, labels, n_classes, alpha=self.options.alpha,
            label_mass=self.options.label_mass, max_iterations=max_iter,
            device=self.options.device,
        )  # fmt: skip
