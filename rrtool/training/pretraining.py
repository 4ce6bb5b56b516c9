"""Pre-training without labels: DeepCluster (PRE of Algorithm 1, thesis §3.3, METHODS §8)."""

from dataclasses import dataclass

import numpy as np
import torch

from rrtool.core.learning.kmeans import kmeans, normalized_mutual_information
from rrtool.datasets.dataset import Dataset
from rrtool.errors import UsageError
from rrtool.training.checkpoint import CLASSIFIER, PHASES, Checkpoint, State, parameters_of
from rrtool.training.epochs import Batches, Trainer, in_batches
from rrtool.training.options import PretrainingOptions
from rrtool.training.phases import Facts, OnEpoch, Phase, run_phase
from rrtool.training.sampling import uniform_over_clusters


@dataclass(frozen=True)
class Pretrained:
    """Result of PRE.

    Attributes:
        parameters: by name, all but the classifier's; ``Learner`` takes them as ``initial``.
        assignments: ``(n,)`` int32 last cluster of each image, −1 where it could not be read or
            there was no epoch.
    """

    parameters: State
    assignments: np.ndarray


def pretrain(
    dataset: Dataset,
    n_classes: int,
    options: PretrainingOptions,
    seed: int,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: OnEpoch = lambda phase, epoch, facts: None,
) -> Pretrained:
    """Alternate between k-means on the features and learning the clusters as classes (3.2).

    Args:
        dataset: its labels are not looked at.
        n_classes: in the world, not in the data: sets the number of clusters.
        seed: of everything random; a continued run equals an uninterrupted one.
        on_epoch: called with the phase, the epoch and its facts: ``loss``, ``n_reseeded``,
            ``n_empty`` (clusters), ``nmi`` (of these assignments with those of the epoch
            before), ``learning_rate``, ``n_images``, ``seconds``.

    Raises:
        UsageError: no such device, images too small, or fewer good images than clusters.
        WorkFailed: training diverged.
    """
    n_clusters = n_classes * options.clusters_per_class
    usable = np.flatnonzero(dataset.status == 0)
    if not 1 <= n_clusters <= len(usable):
        raise UsageError(
            "not so many clusters in so few images",
            expected=f"1 to {len(usable)}",
            found=f"{n_classes} classes × {options.clusters_per_class} clusters",
        )
    trainer = Trainer(dataset, n_clusters, options, seed)
    phase = _DeepCluster(trainer, usable, n_clusters, options, len(dataset))
    run_phase(phase, trainer, seed, checkpoint, on_epoch)
    parameters = parameters_of(trainer.network)
    kept = {name: value for name, value in parameters.items() if not name.startswith(CLASSIFIER)}
    return Pretrained(kept, phase.assignments)


class _DeepCluster(Phase):
    """The phase: every epoch new clusters, and a new classifier for them."""

    name = PHASES[0]

    def __init__(
        self,
        trainer: Trainer,
        usable: np.ndarray,
        n_clusters: int,
        options: PretrainingOptions,
        n_images: int,
    ) -> None:
        self.n_epochs = options.epochs
        self.assignments = np.full(n_images, -1, np.int32)
        self._trainer, self._usable = trainer, usable
        self._n_clusters, self._options = n_clusters, options

    def batches(self, epoch: int, generator: np.random.Generator) -> tuple[Batches, Facts]:
        features = self._trainer.predict().features[self._usable]
        found = kmeans(features, self._n_clusters, generator, self._options.kmeans_iterations)
        facts = {"n_reseeded": float(found.n_reseeded), "n_empty": float(found.n_empty)}
        if epoch:
            before = self.assignments[self._usable]
            facts["nmi"] = normalized_mutual_information(found.assignments, before)
        self.assignments = np.full_like(self.assignments, -1)
        self.assignments[self._usable] = found.assignments
        self._renew_classifier(generator)
        order = self._usable[uniform_over_clusters(found.assignments, generator)]
        return in_batches(order, self.assignments[order], self._options.batch_size), facts

    def _renew_classifier(self, generator: np.random.Generator) -> None:
        """Small random weights and no momentum: clusters are numbered anew each time."""
        classifier = self._trainer.network.classifier
        weights = generator.normal(0, 0.01, tuple(classifier.weight.shape)).astype(np.float32)
        with torch.no_grad():
            classifier.weight.copy_(torch.from_numpy(weights))
            classifier.bias.zero_()
        for parameter in classifier.parameters():
            self._trainer.optimizer.state.pop(parameter, None)

    def state(self) -> State:
        return {"assignments": self.assignments}

    def restore(self, state: State) -> None:
        self.assignments = state["assignments"]
