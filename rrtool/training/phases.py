"""The phases of training, epoch by epoch: SUP and SEMI of Algorithm 1 (thesis §3.3)."""

import time
from collections.abc import Callable

import numpy as np

from rrtool.training.checkpoint import (
    PHASES,
    Checkpoint,
    State,
    restore_momentum,
    restore_parameters,
    training_state,
)
from rrtool.training.epochs import (
    Batches,
    Trainer,
    cosine_rates,
    epoch_generator,
    in_batches,
    n_images_of,
)
from rrtool.training.options import TrainingOptions
from rrtool.training.sampling import two_streams

Facts = dict[str, float]
OnEpoch = Callable[[str, int, Facts], None]


class Phase:
    """What is particular to a phase.

    Attributes:
        name: one of ``PHASES``.
        n_epochs: how long it is.
        rampdown: the cosine reaches zero after so many times ``n_epochs``; infinite = constant.
    """

    name: str
    n_epochs: int
    rampdown: float = float("inf")

    def batches(self, epoch: int, generator: np.random.Generator) -> tuple[Batches, Facts]:
        """The mini-batches of an epoch, and what is to be told of them."""
        raise NotImplementedError

    def state(self) -> State:
        """What later epochs depend on beside parameters and momentum."""
        return {}

    def restore(self, state: State) -> None:
        """Take back what ``state`` returned."""


def run_phase(
    phase: Phase, trainer: Trainer, seed: int, checkpoint: Checkpoint | None, on_epoch: OnEpoch
) -> None:
    """Train through the epochs of a phase that a checkpoint has not done.

    A checkpoint of a later phase means that this one is over: its parameters are taken, and
    nothing is done. One of an earlier phase gives its parameters to start from. It is renewed at
    the end, and before that at most every ``checkpoint_seconds``.
    """
    options, saved_at = trainer.options, time.monotonic()
    trainer.optimizer.state.clear()  # every phase starts without momentum
    start = _resume(phase, trainer, checkpoint.load() if checkpoint else None)
    for epoch in range(start, phase.n_epochs):
        began = time.monotonic()
        generator = epoch_generator(seed, phase.name, epoch)
        batches, facts = phase.batches(epoch, generator)
        rates = cosine_rates(
            options.learning_rate, epoch, len(batches), phase.n_epochs, phase.rampdown
        )
        facts["loss"] = trainer.epoch(batches, rates, generator)
        facts["learning_rate"] = float(rates[-1])
        facts["n_images"] = n_images_of(batches)
        facts["seconds"] = time.monotonic() - began
        on_epoch(phase.name, epoch, facts)
        now, n_done = time.monotonic(), epoch + 1
        if checkpoint and (
            n_done == phase.n_epochs or now - saved_at >= options.checkpoint_seconds
        ):
            state = training_state(phase.name, n_done, trainer.network, trainer.optimizer)
            checkpoint.save(state | phase.state())
            saved_at = now


def _resume(phase: Phase, trainer: Trainer, saved: State | None) -> int:
    """Take over a checkpoint; returns the epoch to go on with."""
    if saved is None:
        return 0
    restore_parameters(trainer.network, saved)
    at, here = int(saved["phase"]), PHASES.index(phase.name)
    if at != here:
        return 0 if at < here else phase.n_epochs
    restore_momentum(trainer.network, trainer.optimizer, saved)
    phase.restore(saved)
    return int(saved["epoch"])


class Supervised(Phase):
    """SUP: an epoch is one pass over the labelled images; the last batch may be smaller.

    Args:
        ids, labels: L and y, ``(l,)`` int64 each.
    """

    name = PHASES[1]

    def __init__(self, ids: np.ndarray, labels: np.ndarray, options: TrainingOptions) -> None:
        self.n_epochs, self.rampdown = options.epochs, options.rampdown
        self._ids, self._labels = ids, labels
        self._batch_size = options.batch_size

    def batches(self, epoch: int, generator: np.random.Generator) -> tuple[Batches, Facts]:
        order = generator.permutation(len(self._ids))
        return in_batches(self._ids[order], self._labels[order], self._batch_size), {}


class SemiSupervised(Supervised):
    """SEMI: labelled images and pseudo-labelled ones drawn by weight.

    Args:
        ids, labels: L and y.
        pool_ids: U.
        guess: LP: labels and weights of all images at the parameters as they are.
    """

    name = PHASES[2]

    def __init__(
        self,
        ids: np.ndarray,
        labels: np.ndarray,
        pool_ids: np.ndarray,
        guess: Callable[[], tuple[np.ndarray, np.ndarray]],
        options: TrainingOptions,
    ) -> None:
        super().__init__(ids, labels, options)
        self.n_epochs, self._batch_size = options.semi_epochs, options.semi_batch_size
        self._pool_ids, self._guess, self._options = pool_ids, guess, options
        self._guessed = self._weights = np.zeros(0)

    def batches(self, epoch: int, generator: np.random.Generator) -> tuple[Batches, Facts]:
        if epoch % self._options.renew == 0:
            self._guessed, self._weights = self._guess()
            self._guessed[self._ids] = self._labels
        weights = self._weights[self._pool_ids]
        streams = two_streams(self._ids, self._pool_ids, weights, self._options, generator)
        facts = {
            "n_weighted": float(np.count_nonzero(weights)),
            "mean_weight": float(weights.mean()) if len(weights) else 0.0,
            "n_pseudo_labeled": float(streams[1].size),
        }
        batches = [(ids, self._guessed[ids]) for ids in np.hstack(streams)]
        # Where nothing is certain enough to learn from: an epoch on the labels alone.
        return batches or super().batches(epoch, generator)[0], facts

    def state(self) -> State:
        return {"pseudo/labels": self._guessed, "pseudo/weights": self._weights}

    def restore(self, state: State) -> None:
        self._guessed, self._weights = state["pseudo/labels"], state["pseudo/weights"]
