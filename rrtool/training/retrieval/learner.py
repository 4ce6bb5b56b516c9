"""Siamese training for retrieval on tuples (thesis §4.5.1, after Radenović et al., TPAMI 2018)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import nn

from rrtool.errors import WorkFailed
from rrtool.training.checkpoint import Checkpoint
from rrtool.training.epochs import seeded_torch
from rrtool.training.retrieval.encoder import EXPONENT, Encoder
from rrtool.training.retrieval.examples import Examples
from rrtool.training.retrieval.losses import contrastive, squared_distances, triplet
from rrtool.training.retrieval.options import RetrievalTrainingOptions
from rrtool.training.retrieval.state import State, arrays_of, put, restore, state_of
from rrtool.training.retrieval.validation import mean_average_precision

PHASE, SCORE = "retrieval", "mean_average_precision"
_FASTER = 10.0  # learning rate of the exponent
_LEAST_EXPONENT = 0.1
_LOOKED_AT = 5  # tuples, whether training has diverged
_BEST = "best/"
Facts = dict[str, float]
OnEpoch = Callable[[str, int, Mapping[str, float]], None]


class RetrievalLearner:
    """Trains a network so that images of one group have similar descriptors.

    Equal seeds on equal devices and threads give equal parameters, bit for bit, also where a run
    was interrupted and continued: what is random in an epoch depends on the seed and on its number.

    Args:
        encoder: the network and its images; it is changed.
        examples: what tuples are made of.
        options: how to train.
        checkpoint: of the last epoch that was done; renewed after each.
        on_epoch: called with the phase, the number of the epoch, from 1, and its facts; where
            images are held out, first with number 0 and their score before training.
        on_batch: called with the number of the epoch, and how many of its tuples are done.

    Attributes:
        best_epoch: after which the network is that is kept.
    """

    def __init__(
        self,
        encoder: Encoder,
        examples: Examples,
        options: RetrievalTrainingOptions,
        *,
        checkpoint: Checkpoint | None = None,
        on_epoch: OnEpoch = lambda phase, epoch, facts: None,
        on_batch: Callable[[int, int], None] = lambda epoch, n_done: None,
    ) -> None:
        self._encoder, self._examples, self._options = encoder, examples, options
        self._checkpoint, self._on_epoch, self._on_batch = checkpoint, on_epoch, on_batch
        self._optimizer = _optimizer_of(encoder, options)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._best: State = {}
        self._best_score = -math.inf
        self.best_epoch = 0

    def fit(self) -> None:
        """Train for the epochs that the checkpoint has not done, then take the best of all.

        The best is the one whose held-out images find each other best; without any the last.

        Raises:
            WorkFailed: there is nothing to learn from, or training diverged: the checkpoint is
                then of the epoch before.
        """
        options = self._options
        with seeded_torch(options.seed, str(self._encoder.device)):
            n_done = self._resume()
            if n_done == 0 and len(self._examples.held_out):
                self._on_epoch(PHASE, 0, {SCORE: self._score()})
            for epoch in range(n_done + 1, options.epochs + 1):
                began = time.monotonic()
                facts = self._epoch(epoch)
                self._judge(epoch, facts)
                self._on_epoch(PHASE, epoch, {**facts, "seconds": time.monotonic() - began})
                if self._checkpoint is not None:
                    self._checkpoint.save(self._state(epoch))
            put(self._tensors(), self._best)

    def _epoch(self, number: int) -> Facts:
        options, encoder = self._options, self._encoder
        generator = np.random.default_rng([options.seed, number])
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * math.exp(-options.decay * (number - 1))
        tuples = self._examples.tuples_of_epoch(encoder, options, generator)
        encoder.learn_levels(sorted({row for each in tuples for row in each}))
        images = encoder.images([row for each in tuples for row in each])
        losses: list[float] = []
        self._set_norms(learning=options.batch_norm == "learnt")
        batches = [tuples[i : i + options.batch_size]
                   for i in range(0, len(tuples), options.batch_size)]  # fmt: skip
        for place, batch in enumerate(batches, start=1):
            losses += self._step(batch, images)
            if not math.isfinite(sum(losses)):
                what = "the loss or a gradient is not finite"
                raise self._diverged(f"batch {place} of epoch {number}", number, what)
            self._on_batch(number, min(place * options.batch_size, len(tuples)))
        self._set_norms(learning=False)
        if not losses:
            raise WorkFailed("not one tuple has a positive that can be read")
        if self._are_all_alike(tuples[-_LOOKED_AT:]):
            what = "all photos have the same descriptor by now"
            raise self._diverged(f"epoch {number}", number, what)
        facts = {"loss": float(np.mean(losses)), "n_tuples": float(len(losses)),
                 "learning_rate": self._optimizer.param_groups[0]["lr"]}  # fmt: skip
        if encoder.exponent is not None:
            facts["exponent"] = float(encoder.exponent.detach().mean())
        return facts

    def _step(self, batch: list[list[int]], images: Iterator[torch.Tensor | None]) -> list[float]:
        """One step on a batch of tuples.

        Returns:
            The loss of each whose images can be used, and NaN after them where a gradient is not
            finite; no step is made then.
        """
        self._optimizer.zero_grad(set_to_none=True)
        losses = []
        for rows in batch:
            found = [next(images) for _ in rows]
            given = [each for each in found if each is not None]
            if found[0] is not None and found[1] is not None and len(given) > 2:
                loss = self._loss(given)
                loss.backward()
                losses.append(float(loss.detach()))
        gradients = [each.grad for each in self._parameters() if each.grad is not None]
        if not gradients:
            return losses
        if not math.isfinite(sum(losses) + float(nn.utils.get_total_norm(gradients))):
            return [*losses, math.nan]
        self._optimizer.step()
        if self._encoder.exponent is not None:
            self._encoder.exponent.data.clamp_min_(_LEAST_EXPONENT)
        return losses

    def _loss(self, images: list[torch.Tensor]) -> torch.Tensor:
        """Of a tuple: query, positive, negatives."""
        pairs = [(0, place) for place in range(1, len(images))]
        squared = squared_distances(*self._encoder.of_pairs(images, pairs))
        if self._options.loss == "triplet":
            return triplet(squared[:1], squared[1:], self._options.margin)
        are_matches = torch.arange(len(pairs), device=squared.device) == 0
        return contrastive(squared, are_matches, self._options.margin)

    def _are_all_alike(self, tuples: list[list[int]]) -> bool:
        """Whether the network tells the images of some tuples apart no more.

        Too large a rate soon leaves no activation, and then no gradient either: the loss of such a
        network is finite.
        """
        rows = np.unique([row for each in tuples for row in each])
        descriptors, is_usable = self._encoder.describe(rows)
        found = descriptors[is_usable]
        return len(found) > 1 and bool((found == found[0]).all())

    def _diverged(self, where: str, epoch: int, why: str) -> WorkFailed:
        kept = f"with --epochs {epoch - 1} you get the network of the epoch before, or "
        return WorkFailed(
            f"training diverged in {where}: {why}",
            todo=f"{kept if epoch > 1 else ''}lower --learning-rate",
        )

    def _set_norms(self, *, learning: bool) -> None:
        """Whether normalisations of the layers that learn use the images of a batch."""
        if self._options.batch_norm == "learnt":
            for module in self._encoder.trainable.body.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    learns = any(each.requires_grad for each in module.parameters())
                    module.train(learning and learns)

    def _judge(self, epoch: int, facts: Facts) -> None:
        """Add the score on held-out images, and keep the network if it is the best so far."""
        score = math.inf
        if len(self._examples.held_out):
            score = facts[SCORE] = self._score()
        if score >= self._best_score:
            self._best_score, self.best_epoch = score, epoch
            self._best = arrays_of(self._tensors())

    def _score(self) -> float:
        examples = self._examples
        descriptors, is_usable = self._encoder.describe(examples.held_out, examples.scales)
        groups = examples.held_out_groups[is_usable]
        score = mean_average_precision(descriptors[is_usable], groups)
        if math.isnan(score):
            raise WorkFailed("no two photos of one group that is held out can be read")
        return score

    def _parameters(self) -> list[nn.Parameter]:
        return [each for group in self._optimizer.param_groups for each in group["params"]]

    def _tensors(self) -> dict[str, torch.Tensor]:
        """All that changes in training, by names of a weights file."""
        trainable, exponent = self._encoder.trainable, self._encoder.exponent
        found: dict[str, torch.Tensor] = dict(trainable.trained)
        if self._options.batch_norm == "learnt":
            found |= trainable.statistics()
        return found if exponent is None else {**found, EXPONENT: exponent}

    def _state(self, n_done: int) -> State:
        facts = {"epoch": n_done, "best_epoch": self.best_epoch, "best_score": self._best_score}
        best = {} if self.best_epoch == n_done else self._best
        return {
            **{name: np.array(value) for name, value in facts.items()},
            **state_of(self._tensors(), self._optimizer),
            **{_BEST + name: values for name, values in best.items()},
        }

    def _resume(self) -> int:
        """Take over the checkpoint; returns how many epochs are done."""
        state = self._checkpoint.load() if self._checkpoint is not None else None
        if state is None:
            return 0
        restore(self._tensors(), self._optimizer, state)
        self.best_epoch, self._best_score = int(state["best_epoch"]), float(state["best_score"])
        best = {k.removeprefix(_BEST): v for k, v in state.items() if k.startswith(_BEST)}
        self._best = best or arrays_of(self._tensors())
        return int(state["epoch"])


def _optimizer_of(encoder: Encoder, options: RetrievalTrainingOptions) -> torch.optim.Adam:
    """Adam; the exponent learns faster and does not decay, as in the released code."""
    groups: list[dict] = [{"params": list(encoder.trainable.trained.values())}]
    if encoder.exponent is not None:
        rate = _FASTER * options.learning_rate
        groups.append({"params": [encoder.exponent], "lr": rate, "weight_decay": 0.0})
    return torch.optim.Adam(groups, lr=options.learning_rate, weight_decay=options.weight_decay)
