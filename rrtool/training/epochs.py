"""One epoch of gradient descent, and what is random in it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from rrtool.datasets.dataset import Dataset
from rrtool.devices import resolve_device
from rrtool.errors import UsageError, WorkFailed
from rrtool.training.checkpoint import PHASES
from rrtool.training.network import MIN_IMAGE_SIZE, ConvNet13, folded
from rrtool.training.options import GradientOptions
from rrtool.training.pixels import Pixels

# The mini-batches of an epoch, in order: image ids and labels of each.
Batches = list[tuple[np.ndarray, np.ndarray]]
# Larger batches fall out of a CPU's caches; a GPU wants many images at once.
_INFERENCE_BATCH = {"cpu": 64, "cuda": 1024}
# As the user has set it. Rounding depends on the number of threads, and numba's OpenMP layer
# changes it for torch too, from its first kernel on: without this a run would depend on what the
# process did before, and threads that spin would fight for cores.
_N_THREADS = torch.get_num_threads()


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
    return [(ids[i : i + batch_size], labels[i : i + batch_size]) for i in starts]


def n_images_of(batches: Batches) -> int:
    """Images in all batches together."""
    return sum(len(ids) for ids, _ in batches)


def epoch_generator(seed: int, phase: str, epoch: int) -> np.random.Generator:
    """Source of all that is random in an epoch: the same whether or not a run was interrupted."""
    return np.random.default_rng([seed, PHASES.index(phase), epoch])


@contextmanager
def seeded_torch(seed: int, device: str) -> Iterator[None]:
    """torch draws (initial parameters, dropout) from ``seed`` inside; outside it draws as before.

    Convolutions on CUDA use deterministic algorithms inside.
    """
    torch.set_num_threads(_N_THREADS)
    devices = [device] if device.startswith("cuda") else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield


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
    """A network of seeded random parameters (the same on every device) over a data set.

    Attributes:
        network: on ``device``; changed by training.
        optimizer: of all its parameters.
        options: how it is trained.
        device: where it is.

    Raises:
        UsageError: no such device, or the images are too small for the network.
    """

    def __init__(
        self, dataset: Dataset, n_classes: int, options: GradientOptions, seed: int
    ) -> None:
        self.options, self.device = options, resolve_device(options.device)
        height, width, n_channels = dataset.images.shape[1:]
        if min(height, width) < MIN_IMAGE_SIZE:
            raise UsageError(
                "the images are too small for the network",
                expected=f"at least {MIN_IMAGE_SIZE} pixels wide and high",
                found=f"{width}×{height}",
            )
        with seeded_torch(seed, "cpu"):
            self.network = ConvNet13(n_channels, n_classes, options.width)
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=options.learning_rate,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            nesterov=options.NESTEROV,
        )
        self._pixels = Pixels(dataset.images, dataset.mean, dataset.std, self.device)
        self._flip = dataset.mirrored_alike if options.flip is None else options.flip

    def epoch(
        self, batches: Batches, rates: Sequence[float] | np.ndarray, generator: np.random.Generator
    ) -> float:
        """Minimise the cross-entropy (3.2) on every batch in turn; returns its mean per image.

        Args:
            rates: learning rate of each batch.

        Raises:
            WorkFailed: the loss is not finite any more.
        """
        self.network.train()
        total = torch.zeros((), device=self.device)
        with seeded_torch(int(generator.integers(1 << 62)), self.device):
            for (ids, labels), rate in zip(batches, rates, strict=True):
                images = self._pixels.varied(ids, self.options.translate, self._flip, generator)
                total += self._step(images, labels, float(rate)) * len(ids)
        mean = float(total) / max(1, n_images_of(batches))
        if not np.isfinite(mean):
            what = "training diverged: the loss is not finite"
            raise WorkFailed(what, todo="lower --learning-rate")
        return mean

    def _step(self, images: torch.Tensor, labels: np.ndarray, rate: float) -> torch.Tensor:
        target = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(self.device)
        on_gpu = self.device.startswith("cuda")
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=on_gpu):
            logits, _ = self.network(images)
        loss = functional.cross_entropy(logits.float(), target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
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
        with torch.inference_mode():
            for start in range(0, n, size):
                rows = slice(start, min(start + size, n))
                logits, found = network(pixels.batch(rows.start, rows.stop))
                probabilities[rows] = torch.softmax(logits, dim=1).cpu().numpy()
                features[rows] = found.cpu().numpy()
        return Predictions(probabilities, features)
