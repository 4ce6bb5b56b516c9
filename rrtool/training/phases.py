"""The phases of training, epoch by epoch: SUP and SEMI of Algorithm 1 (thesis §3.3)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch

from rrtool.training.checkpoint import (
    PHASES,
    Saver,
    State,
    progress_of,
    restore_momentum,
    restore_parameters,
    training_state,
)
from rrtool.training.epochs import Batches, Trainer, cosine_rates, epoch_generator, in_batches
from rrtool.training.options import Sgd, TrainingOptions
from rrtool.training.sampling import StreamSizes, TwoStreams, two_streams

Facts = dict[str, float]
OnEpoch = Callable[[str, int, Facts], None]


class Phase(Protocol):
    """What is particular to a phase.

    Attributes:
        name: one of ``PHASES``.
        n_epochs: how long it is.
        sgd: the optimiser's setting; its learning rate is that of the first step.
        rampdown: the cosine reaches zero after so many times ``n_epochs``; infinite = constant.
    """

    name: str
    n_epochs: int
    sgd: Sgd
    rampdown: float

    def batches(
        self, epoch: int, generator: np.random.Generator, optimizer: torch.optim.Optimizer
    ) -> tuple[Batches, Facts]:
        """The mini-batches of an epoch, and what is to be told of them."""
        ...

    def state(self) -> State:
        """What later epochs depend on beside parameters and momentum."""
        ...

    def restore(self, state: State) -> None:
        """Take back what ``state`` returned."""
        ...


def run_phase(phase: Phase, trainer: Trainer, seed: int, saver: Saver, on_epoch: OnEpoch) -> None:
    """Train through the epochs of a phase that a checkpoint has not done.

    A checkpoint of a later phase means that this one is over: its parameters are taken, and
    nothing is done. One of an earlier phase gives its parameters to start from.
    """
    optimizer = trainer.optimizer(phase.sgd)
    start = _resume(phase, trainer, optimizer, saver.load())

    for epoch in range(start, phase.n_epochs):
        began = time.monotonic()
        generator = epoch_generator(seed, phase.name, epoch)
        batches, facts = phase.batches(epoch, generator, optimizer)
        rates = cosine_rates(
            phase.sgd.learning_rate, epoch, len(batches), phase.n_epochs, phase.rampdown
        )
        facts["loss"] = trainer.epoch(optimizer, batches, rates, generator)
        facts["learning_rate"] = float(rates[-1])
        facts["n_images"] = sum(map(len, batches.ids))
        facts["seconds"] = time.monotonic() - began
        on_epoch(phase.name, epoch, facts)
        due = epoch + 1 == phase.n_epochs
        saver.offer(partial(_state, phase, trainer, optimizer, epoch + 1), due=due)


def _state(phase: Phase, trainer: Trainer, optimizer: torch.optim.Optimizer, n_done: int) -> State:
    return training_state(phase.name, n_done, trainer.network, optimizer) | phase.state()


def _resume(
    phase: Phase, trainer: Trainer, optimizer: torch.optim.Optimizer, saved: State | None
) -> int:
    """Take over a checkpoint; returns the epoch to go on with."""
    if saved is None:
        return 0
    restore_parameters(trainer.network, saved)
    at, n_done = progress_of(saved)
    here = PHASES.index(phase.name)
    if at != here:
        return 0 if at < here else phase.n_epochs
    restore_momentum(trainer.network, optimizer, saved)
    phase.restore(saved)
    return n_done


@dataclass(frozen=True)
class Labeled:
    """L and y: ids of the labelled images and their classes, ``(l,)`` int64 each."""

    ids: np.ndarray
    labels: np.ndarray


class Supervised:
    """SUP: an epoch is one pass over the labelled images; the last batch may be smaller."""

    name = PHASES[1]

    def __init__(self, labeled: Labeled, options: TrainingOptions) -> None:
        self.n_epochs = options.epochs
        self.sgd = options.sgd()
        self.rampdown = options.rampdown
        self._labeled = labeled
        self._options = options

    def batches(
        self, epoch: int, generator: np.random.Generator, optimizer: torch.optim.Optimizer
    ) -> tuple[Batches, Facts]:
        return one_pass(self._labeled, self._options.batch_size, generator), {}

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        """Nothing."""


class SemiSupervised:
    """SEMI: labelled images and pseudo-labelled ones drawn by weight.

    Args:
        labeled: L.
        pool_ids: U.
        guess: LP: labels and weights of all images at the parameters as they are.
    """

    name = PHASES[2]

    def __init__(
        self,
        labeled: Labeled,
        pool_ids: np.ndarray,
        guess: Callable[[], tuple[np.ndarray, np.ndarray]],
        options: TrainingOptions,
    ) -> None:
        self.n_epochs = options.semi_epochs
        self.sgd = options.sgd()
        self.rampdown = options.rampdown
        self._labeled = labeled
        self._pool_ids = pool_ids
        self._guess = guess
        self._options = options
        self._labels = self._weights = np.zeros(0)

    def batches(
        self, epoch: int, generator: np.random.Generator, optimizer: torch.optim.Optimizer
    ) -> tuple[Batches, Facts]:
        options = self._options
        if epoch % options.renew == 0:
            self._labels, self._weights = self._guess()
            self._labels[self._labeled.ids] = self._labeled.labels
        weights = self._weights[self._pool_ids]
        sizes = StreamSizes(
            options.semi_batch_size, options.semi_labeled, options.semi_epoch_fraction
        )
        streams = two_streams(self._labeled.ids, self._pool_ids, weights, sizes, generator)
        facts = {
            "n_weighted": float(np.count_nonzero(weights)),
            "mean_weight": float(weights.mean()) if len(weights) else 0.0,
            "n_pseudo_labeled": float(streams.pseudo_labeled.size),
        }
        if not len(streams):
            # Nothing is certain enough to learn from: an epoch on the labels alone.
            return one_pass(self._labeled, options.semi_batch_size, generator), facts
        return self._joined(streams), facts

    def _joined(self, streams: TwoStreams) -> Batches:
        ids = np.hstack([streams.labeled, streams.pseudo_labeled])
        return Batches(list(ids), list(self._labels[ids]))

    def state(self) -> State:
        return {"pseudo/labels": self._labels, "pseudo/weights": self._weights}

    def restore(self, state: State) -> None:
        self._labels, self._weights = state["pseudo/labels"], state["pseudo/weights"]


def one_pass(labeled: Labeled, batch_size: int, generator: np.random.Generator) -> Batches:
    """All labelled images once, in random order."""
    order = generator.permutation(len(labeled.ids))
    return in_batches(labeled.ids[order], labeled.labels[order], batch_size)
