"""Learning from few labels: SUP and SEMI of Algorithm 1 (thesis §3.3, METHODS §8)."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from rrtool.core.learning.label_propagation import PseudoLabels
from rrtool.datasets.dataset import Dataset
from rrtool.training.checkpoint import Checkpoint, State, load_parameters, parameters_of
from rrtool.training.epochs import Predictions, Trainer
from rrtool.training.options import TrainingOptions
from rrtool.training.phases import OnEpoch, Phase, SemiSupervised, Supervised, run_phase
from rrtool.training.pixels import Pixels

PseudoLabeling = Callable[[np.ndarray], PseudoLabels]


class Learner:
    """A network that learns from a few labelled images, and from all the others.

    Equal seeds on equal devices give equal parameters, bit for bit, also where a run was
    interrupted and continued: what is random in an epoch depends on the seed, the phase and the
    number of the epoch alone.

    Args:
        dataset: its labels are not looked at.
        n_classes: number of classes.
        options: how to train.
        seed: of everything random.
        initial: parameters to start from, as ``parameters`` returns them; without a classifier
            (PRE) it starts at random.
        checkpoint: each phase continues from it, and does nothing where it is past the phase.
        on_epoch: called with the phase, the number of the epoch and its facts: ``loss``,
            ``learning_rate`` (of the last step), ``n_images``, ``seconds``, and with SEMI
            ``n_weighted`` (images of positive weight), ``mean_weight`` and ``n_pseudo_labeled``
            (draws; 0 where all weights are zero, so that only labelled images were seen).

    Raises:
        UsageError: no such device, or ``initial`` is of another network.
    """

    def __init__(
        self,
        dataset: Dataset,
        n_classes: int,
        options: TrainingOptions,
        seed: int,
        *,
        initial: Mapping[str, np.ndarray] | None = None,
        checkpoint: Checkpoint | None = None,
        on_epoch: OnEpoch = lambda phase, epoch, facts: None,
    ) -> None:
        self._dataset, self._n_classes = dataset, n_classes
        self._options, self._seed = options, seed
        self._checkpoint, self._on_epoch = checkpoint, on_epoch
        self._trainer = Trainer(dataset, n_classes, options, seed)
        if initial is not None:
            load_parameters(self._trainer.network, initial)

    def fit_supervised(self, labeled_ids: np.ndarray, labels: np.ndarray) -> None:
        """SUP: minimise (3.2) on the labelled images; an epoch is one pass over them.

        Args:
            labeled_ids: ``(l,)`` L.
            labels: ``(l,)`` their classes.

        Raises:
            ValueError: no labels, or a wrong id or label.
            WorkFailed: training diverged.
        """
        self._run(Supervised(*self._checked(labeled_ids, labels), self._options))

    def fit_semi_supervised(
        self, labeled_ids: np.ndarray, labels: np.ndarray, pseudo_labels_of: PseudoLabeling
    ) -> None:
        """SEMI: lines 5–7 of Algorithm 1, starting at the parameters as they are.

        Args:
            labeled_ids: ``(l,)`` L.
            labels: ``(l,)`` their classes.
            pseudo_labels_of: LP: from the features ``(n, d)`` of all images (zero where an image
                could not be read) to their pseudo-labels.

        Raises:
            ValueError: no labels, or a wrong id, label, pseudo-label or weight.
            WorkFailed: training diverged.
        """
        ids, labels = self._checked(labeled_ids, labels)
        pool_ids = np.setdiff1d(np.flatnonzero(self._dataset.status == 0), ids)
        guess = partial(self._guess, pseudo_labels_of)
        self._run(SemiSupervised(ids, labels, pool_ids, guess, self._options))

    def predict(self, images: np.ndarray | None = None) -> Predictions:
        """Class probabilities and features.

        Args:
            images: ``(m, h, w, c)`` uint8; None for the data set's own, of which those that
                could not be read get zero rows.
        """
        if images is not None:
            pixels = Pixels(images, self._dataset.mean, self._dataset.std, self._trainer.device)
            return self._trainer.predict(pixels)
        found = self._trainer.predict()
        good = (self._dataset.status == 0)[:, None]
        return Predictions(found.probabilities * good, found.features * good)

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Share of the images whose most probable class is their label; NaN of no images."""
        if not len(images):
            return float("nan")
        return float(np.mean(self.predict(images).probabilities.argmax(axis=1) == labels))

    def parameters(self) -> State:
        """Parameters and buffers of the network by name; ``initial`` takes them back."""
        return parameters_of(self._trainer.network)

    def _checked(self, ids: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids, labels = np.asarray(ids, np.int64), np.asarray(labels, np.int64)
        if not len(ids) or ids.shape != labels.shape:
            raise ValueError(f"{len(ids)} labelled images with {len(labels)} labels")
        if len(np.unique(ids)) < len(ids) or ids.min() < 0 or ids.max() >= len(self._dataset):
            raise ValueError("an id of a labelled image occurs twice or is out of range")
        if self._dataset.status[ids].any():
            raise ValueError("a labelled image could not be read")
        if labels.min() < 0 or labels.max() >= self._n_classes:
            raise ValueError(f"a label is not one of {self._n_classes} classes")
        return ids, labels

    def _run(self, phase: Phase) -> None:
        run_phase(phase, self._trainer, self._seed, self._checkpoint, self._on_epoch)

    def _guess(self, pseudo_labels_of: PseudoLabeling) -> tuple[np.ndarray, np.ndarray]:
        """Labels and weights of all images at the parameters as they are."""
        guessed = pseudo_labels_of(self.predict().features)
        labels, weights = np.array(guessed.labels, np.int64), np.array(guessed.weights)
        n = len(self._dataset)
        if labels.shape != (n,) or weights.shape != (n,):
            raise ValueError(f"{labels.shape} pseudo-labels, {weights.shape} weights of {n} images")
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ValueError("weights of pseudo-labels must be finite and not negative")
        known = labels[weights > 0]
        if known.min(initial=0) < 0 or known.max(initial=0) >= self._n_classes:
            raise ValueError(f"a pseudo-label is not one of {self._n_classes} classes")
        return labels, weights
