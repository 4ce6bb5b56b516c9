"""A network of two layers and images of two sizes, for the tests of training for retrieval."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from rrtool.networks import Network
from rrtool.training.retrieval.encoder import Encoder
from rrtool.training.retrieval.examples import Examples
from rrtool.training.retrieval.learner import RetrievalLearner
from rrtool.training.retrieval.options import RetrievalTrainingOptions
from rrtool.training.retrieval.trainable import Trainable

GROUPS = np.repeat(np.arange(5), 3).astype(np.int32)
NO_ROWS = np.zeros(0, np.int64)
NO_PAIRS = np.zeros((0, 2), np.int32)


def trainable(seed: int = 0, norm: bool = False) -> Trainable:
    """3 → 6 → 8 channels; with a normalisation between the layers."""
    torch.manual_seed(seed)
    middle = [nn.BatchNorm2d(6)] if norm else []
    backbone = nn.Sequential(
        nn.Conv2d(3, 6, 3), *middle, nn.ReLU(), nn.Conv2d(6, 8, 1), nn.ReLU()
    ).eval()
    names = {key: key for key in backbone.state_dict() if "num_batches" not in key}
    network = Network(backbone, "tiny", 8, 3)
    return Trainable(network, names, nn.Sequential(), backbone, dict(backbone.named_parameters()))


class Pictures:
    """Images of each group alike, in two sizes; those of ``broken`` rows cannot be used.

    Attributes:
        left: images that are still given, then it is over.
    """

    def __init__(self, groups: np.ndarray = GROUPS, broken: tuple[int, ...] = ()) -> None:
        generator = np.random.default_rng(5)
        patterns = generator.random((groups.max() + 1, 3, 6, 6))
        self.images = []
        for row, group in enumerate(groups):
            noisy = patterns[group] + 0.6 * generator.random((3, 6, 6))
            image = torch.tensor(noisy[None], dtype=torch.float32)
            self.images.append(image if row % 2 else image[..., :5])
        self.broken, self.left = broken, 10**9

    def __call__(self, rows, scale: float = 1.0) -> Iterator[torch.Tensor | None]:
        for row in rows:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            yield None if row in self.broken else self.images[row]


class FixedMasks:
    """Masks by a function of the maps and pairs, which needs no levels."""

    def __init__(self, masks_of) -> None:
        self._masks_of = masks_of

    def learn_levels(self, maps) -> None:
        pass

    def __call__(self, maps, pairs):
        return self._masks_of(maps, pairs)


class Memory:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.state: dict[str, np.ndarray] | None = None

    def load(self) -> dict[str, np.ndarray] | None:
        return None if self.state is None else dict(self.state)

    def save(self, state: dict[str, np.ndarray]) -> None:
        self.state = {name: np.array(values) for name, values in state.items()}


def options(**own) -> RetrievalTrainingOptions:
    return RetrievalTrainingOptions(
        **{"epochs": 3, "learning_rate": 1e-2, "negatives": 2, "batch_size": 4, **own}
    )


def learner(given: RetrievalTrainingOptions, **own) -> RetrievalLearner:
    """Of three groups, with two held out on request.

    Args:
        own: ``network``, ``exponent``, ``images``, ``masks``, ``pairs``, ``held_out``,
            ``checkpoint``, ``on_epoch``, ``on_batch``.
    """
    groups, held_out = GROUPS.copy(), NO_ROWS
    if own.get("held_out"):
        held_out = np.flatnonzero(groups >= 3)
        groups[held_out] = -1
    encoder = Encoder(
        own.get("network") or trainable(), own.get("exponent", torch.tensor([3.0])),
        own.get("images") or Pictures(), own.get("masks"),
    )  # fmt: skip
    examples = Examples(groups, own.get("pairs", NO_PAIRS), held_out, GROUPS[held_out])
    more = {n: own[n] for n in ("checkpoint", "on_epoch", "on_batch") if n in own}
    return RetrievalLearner(encoder, examples, given, **more)


def arrays(made: RetrievalLearner) -> dict[str, np.ndarray]:
    """All that it has learnt."""
    return {name: each.numpy().copy() for name, each in made._encoder.tensors().items()}
