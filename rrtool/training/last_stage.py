"""Fine-tuning: the last stage of a pretrained network, with a linear classifier on it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rrtool.errors import UsageError, WorkFailed
from rrtool.training.epochs import cosine_rates, seeded_torch
from rrtool.training.options import DescentOptions

_PROBE = 128  # pixels of the image by which the stages are found
_BATCH = 64  # images that go through it together where nothing is learnt
_STEEPEST = 1.0  # norm of a gradient
_SCALE = 8.0  # of scores that are 1 where a class is, as logits; as in core.learning.few_labels
OnEpoch = Callable[[str, int, Mapping[str, float]], None]


def split_at_last_stage(backbone: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    """The layers before the last stage, and a copy of the last stage.

    A stage is what is between two reductions of the map: the last one begins with the last layer
    whose map is smaller than its input, or behind it where that layer has no parameters to learn.

    Raises:
        UsageError: it is no sequence of layers, or has no stage before the last.
    """
    layers = list(in_sequence(backbone))
    start = start_of_last_stage(layers)
    stage = nn.Sequential(*copy.deepcopy(layers[start:]))
    if not start or not any(True for _ in stage.parameters()):
        raise UsageError(
            "this network has no last stage to fine-tune",
            expected="the default network, or one of torchvision's",
        )
    return nn.Sequential(*layers[:start]), stage


def start_of_last_stage(layers: list[nn.Module]) -> int:
    """The number of the layer that the last stage begins with; 0 where there is none before."""
    start, size = 0, _PROBE
    first = next((each for layer in layers for each in layer.parameters()), torch.zeros(0))
    maps = torch.zeros(1, 3, _PROBE, _PROBE, device=first.device)
    with torch.inference_mode():
        for place, layer in enumerate(layers if len(layers) > 1 else ()):
            maps = layer(maps)
            if maps.shape[-1] < size:
                has_parameters = any(True for _ in layer.parameters())
                start, size = place + (not has_parameters), maps.shape[-1]
    return start


def in_sequence(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a sequence, and of sequences within it, in order; a module alone is one."""
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from in_sequence(child)
    else:
        yield module


class LastStage(nn.Module):
    """From the maps that the layers before give to logits of classes.

    The maps of the stage are averaged over their positions, taken about a centre, and l2-normalised
    before the classifier. Normalisations inside the stage keep their statistics: a few labelled
    images have none to speak of. Centre and classifier are whatever was in memory until ``begin``,
    or until parameters are loaded.

    Args:
        body: the layers of the stage.
        n_features: channels that they give.
        n_classes: outputs.
    """

    center: torch.Tensor

    def __init__(self, body: nn.Sequential, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("center", torch.zeros(n_features))
        self.classifier = nn.utils.skip_init(nn.Linear, n_features, n_classes, bias=False)
        self.eval()

    def pooled(self, maps: torch.Tensor) -> torch.Tensor:
        """``(b, k, h, w)`` → ``(b, d)`` float32."""
        return self.body(maps).mean(dim=(2, 3)).float()

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.classifier(functional.normalize(self.pooled(maps) - self.center, dim=1))

    def in_batches(
        self, function: Callable[[torch.Tensor], torch.Tensor], maps: np.ndarray
    ) -> np.ndarray:
        """A function of this stage of many maps ``(n, k, h, w)``, not none: ``(n, …)`` float32."""
        device = self.center.device
        with torch.inference_mode():
            found = [
                function(torch.from_numpy(maps[i : i + _BATCH]).to(device).float()).cpu()
                for i in range(0, len(maps), _BATCH)
            ]
        return torch.cat(found).numpy()

    def probabilities(self, maps: np.ndarray) -> np.ndarray:
        """``(n, k, h, w)`` → ``(n, c)`` float32."""
        return self.in_batches(lambda batch: torch.softmax(self(batch), dim=1), maps)

    def begin(self, center: np.ndarray, weights: np.ndarray) -> None:
        """Start from a classifier that has been fitted to ``pooled`` maps as they are.

        A classifier of random weights would spoil the stage before it is any good itself.

        Args:
            center: ``(d,)``, of the pooled maps.
            weights: ``(d, c)``, whose scores are about 1 where a class is.
        """
        with torch.no_grad():
            self.center.copy_(torch.from_numpy(np.asarray(center, np.float32)))
            self.classifier.weight.copy_(
                torch.from_numpy(np.ascontiguousarray(_SCALE * weights.T, np.float32))
            )


def tune(
    stage: LastStage,
    maps: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    options: DescentOptions,
    seed: int,
    on_epoch: OnEpoch = lambda phase, epoch, facts: None,
) -> None:
    """Minimise the weighted cross-entropy of the classes, by SGD with a cosine that ends at zero.

    Equal seeds on equal devices and threads give equal parameters, bit for bit.

    Args:
        maps: ``(m, k, h, w)`` of the layers before the stage.
        labels, weights: ``(m,)`` each; weights are positive.
        on_epoch: called with ``fine-tuning``, the number of the epoch and its ``loss``.

    Raises:
        WorkFailed: the loss is not finite any more.
    """
    device = str(stage.center.device)
    stage.requires_grad_(True)
    optimizer = torch.optim.SGD(
        stage.parameters(), lr=options.learning_rate, momentum=options.momentum,
        weight_decay=options.weight_decay, nesterov=True,
    )  # fmt: skip
    n, generator = len(maps), np.random.default_rng(seed)
    with seeded_torch(seed, device):
        for epoch in range(options.epochs):
            order = generator.permutation(n)
            batches = [order[i : i + options.batch_size] for i in range(0, n, options.batch_size)]
            rates = cosine_rates(options.learning_rate, epoch, len(batches), options.epochs, 1.0)
            total = 0.0
            for rows, rate in zip(batches, rates.tolist(), strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = rate
                total += _step(stage, optimizer, maps[rows], labels[rows], weights[rows])
            loss = total / float(weights.sum())
            if not np.isfinite(loss):
                what = "training diverged: the loss is not finite"
                raise WorkFailed(what, todo="lower --learning-rate")
            on_epoch("fine-tuning", epoch, {"loss": loss, "n_images": n})
    stage.requires_grad_(False)


def _step(
    stage: LastStage,
    optimizer: torch.optim.Optimizer,
    maps: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
) -> float:
    """One step; returns the sum of the weighted losses."""
    device = stage.center.device
    logits = stage(torch.from_numpy(maps).float().to(device))
    target = torch.from_numpy(labels.astype(np.int64)).to(device)
    each = functional.cross_entropy(logits, target, reduction="none")
    share = torch.from_numpy(weights.astype(np.float32)).to(device)
    loss = (each * share).sum()
    optimizer.zero_grad(set_to_none=True)
    (loss / len(maps)).backward()
    # Features are normalised, so that those of small length have large gradients.
    nn.utils.clip_grad_norm_(stage.parameters(), _STEEPEST)
    optimizer.step()
    return float(loss.detach())
