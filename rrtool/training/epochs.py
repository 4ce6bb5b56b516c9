"""One epoch of gradient descent, and what is random in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from rrtool.datasets.dataset import Dataset
from rrtool.devices import resolve_device
from rrtool.errors import UsageError, WorkFailed
from rrtool.training.augmentation import Augmentation
from rrtool.training.checkpoint import PHASES
from rrtool.training.network import MIN_IMAGE_SIZE, ConvNet13, folded
from rrtool.training.options import GradientOptions, Sgd
from rrtool.training.pixels import Pixels

# Larger batches fall out of a CPU's caches; a GPU wants many images at once.
_INFERENCE_BATCH = {"cpu": 64, "cuda": 1024}
# As the user has set it. Rounding depends on the number of threads, and numba's OpenMP layer
# changes it for torch too, from its first kernel on: without this a run would depend on what the
# process did before, and threads that spin would fight for cores.
_N_THREADS = torch.get_num_threads()


@dataclass(frozen=True)
class Batches:
    """The mini-batches of an epoch, in order: image ids and labels of each."""

    ids: Sequence[np.ndarray]
    labels: Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Predictions:
    """What the network says of images.

    Attributes:
        probabilities: ``(n, c)`` float32, rows sum to 1.
        features: ``(n, d)`` float32, of length 1.
    """

    probabilities: np.ndarray
    features: np.ndarray


def in_batches(ids: np.ndarray, labels: np.ndarray, batch_size: int) -> Batches:
    """Consecutive mini-batches; the last may be smaller."""
    starts = range(0, len(ids), batch_size)
    return Batches(
        [ids[start : start + batch_size] for start in starts],
        [labels[start : start + batch_size] for start in starts],
    )


def epoch_generator(seed: int, phase: str, epoch: int) -> np.random.Generator:
    """Source of all that is random in an epoch: the same whether or not a run was interrupted."""
    return np.random.default_rng([seed, PHASES.index(phase), epoch])


@contextmanager
def seeded_torch(seed: int, device: str) -> Iterator[None]:
    """torch draws (initial parameters, dropout) from ``seed`` inside; outside nothing changes.

    Convolutions on CUDA use deterministic algorithms inside.
    """
    devices = [device] if device.startswith("cuda") else []
    with (
        _same_threads(),
        torch.random.fork_rng(devices=devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield


@contextmanager
def _same_threads() -> Iterator[None]:
    """torch computes with as many threads as at the start of the process."""
    before = torch.get_num_threads()
    torch.set_num_threads(_N_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cosine_rates(
    initial: float, epoch: int, n_steps: int, n_epochs: int, rampdown: float
) -> np.ndarray:
    """Learning rate of each step of an epoch (cosine annealing, §3.5.1).

    Adjusted at every step, as in the code of Tarvainen and Valpola; zero would be reached after
    ``rampdown`` times ``n_epochs`` epochs.
    """
    done = (epoch + np.arange(n_steps) / max(1, n_steps)) / (rampdown * n_epochs)
    return initial * 0.5 * (1 + np.cos(np.pi * done))


class Trainer:
    """A network, the images that it learns from, and how they are varied.

    Args:
        network: on ``device``; changed by training.
        pixels: on ``device``.
    """

    def __init__(
        self, network: ConvNet13, pixels: Pixels, augmentation: Augmentation, device: str
    ) -> None:
        self.network = network
        self.device = device
        self._pixels = pixels
        self._augmentation = augmentation

    def optimizer(self, sgd: Sgd) -> torch.optim.SGD:
        """A fresh optimiser of all parameters."""
        return torch.optim.SGD(
            self.network.parameters(),
            lr=sgd.learning_rate,
            momentum=sgd.momentum,
            weight_decay=sgd.weight_decay,
            nesterov=sgd.nesterov,
        )

    def epoch(
        self,
        optimizer: torch.optim.Optimizer,
        batches: Batches,
        rates: Sequence[float] | np.ndarray,
        generator: np.random.Generator,
    ) -> float:
        """Minimise the cross-entropy (3.2) on every batch in turn; returns its mean per image.

        Args:
            rates: learning rate of each batch.

        Raises:
            WorkFailed: the loss is not finite any more.
        """
        torch.set_num_threads(_N_THREADS)
        self.network.train()
        total = torch.zeros((), device=self.device)
        with seeded_torch(int(generator.integers(1 << 62)), self.device):
            for ids, labels, rate in zip(batches.ids, batches.labels, rates, strict=True):
                images = self._pixels.varied(ids, self._augmentation, generator)
                total += self._step(optimizer, images, labels, float(rate)) * len(ids)
        mean = float(total) / max(1, sum(map(len, batches.ids)))
        if not np.isfinite(mean):
            raise WorkFailed(
                "training diverged: the loss is not finite", todo="lower --learning-rate"
            )
        return mean

    def _step(
        self,
        optimizer: torch.optim.Optimizer,
        images: torch.Tensor,
        labels: np.ndarray,
        rate: float,
    ) -> torch.Tensor:
        target = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(self.device)
        on_gpu = self.device.startswith("cuda")
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=on_gpu):
            logits, _ = self.network(images)
        loss = functional.cross_entropy(logits.float(), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        return loss.detach()

    def predict(self, pixels: Pixels | None = None) -> Predictions:
        """Of every image as it is (not varied), in float32; of the training images if None."""
        torch.set_num_threads(_N_THREADS)
        pixels = self._pixels if pixels is None else pixels
        network = folded(self.network)
        n, n_classes = len(pixels), network.classifier.out_features
        probabilities = np.zeros((n, n_classes), dtype=np.float32)
        features = np.zeros((n, network.n_features), dtype=np.float32)
        size = _INFERENCE_BATCH[self.device.partition(":")[0]]
        with torch.inference_mode(), _same_threads():
            for start in range(0, n, size):
                rows = slice(start, min(start + size, n))
                logits, found = network(pixels.batch(rows.start, rows.stop))
                probabilities[rows] = torch.softmax(logits, dim=1).cpu().numpy()
                features[rows] = found.cpu().numpy()
        return Predictions(probabilities, features)


def new_trainer(dataset: Dataset, n_classes: int, options: GradientOptions, seed: int) -> Trainer:
    """A network of seeded random parameters (the same on every device) over a data set.

    Raises:
        UsageError: no such device, or the images are too small for the network.
    """
    device = resolve_device(options.device)
    height, width, n_channels = dataset.images.shape[1:]
    if min(height, width) < MIN_IMAGE_SIZE:
        raise UsageError(
            "the images are too small for the network",
            expected=f"at least {MIN_IMAGE_SIZE} pixels wide and high",
            found=f"{width}×{height}",
        )
    with seeded_torch(seed, "cpu"):
        network = ConvNet13(n_channels, n_classes, options.width)
    pixels = Pixels(dataset.images, dataset.mean, dataset.std, device)
    flip = dataset.mirrored_alike if options.flip is None else options.flip
    augmentation = Augmentation(options.translate, flip)
    network.to(device).to(memory_format=torch.channels_last)
    return Trainer(network, pixels, augmentation, device)
