"""Training and inference of ``Learner`` against the bare network on batches made in advance.

python benchmarks/training.py [--count 1000] [--size 28] [--channels 1] [--width 0.25]
    [--device cpu] [--threads 0] [--repeats 5]

The bare sides have batches normalised in memory and run forward, backward and the optimiser's
step, or the forward pass in evaluation mode, of the same network, in the same batch sizes and
number, with the same precision. The other sides draw, vary and normalise their images; SEMI also
runs all images through the network, asks for pseudo-labels (fixed ones here: label propagation is
not timed) and samples by their weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from timing import Timing, compare, print_machine, tell_goal
from torch.nn import functional

from rrtool.datasets.dataset import Dataset, channel_statistics
from rrtool.training.learner import Learner
from rrtool.training.network import ConvNet13
from rrtool.training.options import TrainingOptions

N_CLASSES = 10


@dataclass(frozen=True)
class Fixed:
    """Pseudo-labels that cost nothing."""

    labels: np.ndarray
    weights: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--labeled", type=int, default=100)
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as cores")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print_machine()
    print(f"{vars(arguments)}, {torch.get_num_threads()} threads")
    dataset = random_dataset(arguments.count, arguments.size, arguments.channels)
    options = TrainingOptions(
        epochs=1, semi_epochs=1, batch_size=10, semi_batch_size=64, semi_labeled=10,
        width=arguments.width, device=arguments.device, flip=False,
    )  # fmt: skip
    bare = Bare(arguments)
    learner = Learner(dataset, N_CLASSES, options, 0)
    ids, n = np.arange(arguments.labeled), arguments.count
    labels = dataset.labels[ids]
    guesses = Fixed(dataset.labels, np.ones(n))
    n_steps = int(np.ceil(0.5 * (n - len(ids)) / 54))
    sides: list[tuple[str, int, dict[str, Callable[[], object]]]] = [
        ("SUP, batches of 10", len(ids), {
            "bare": lambda: bare.train(10, len(ids) // 10),
            "fit_supervised": lambda: learner.fit_supervised(ids, labels),
        }),
        ("SEMI, batches of 64, all features first", 64 * n_steps, {
            "bare": lambda: (bare.infer(n), bare.train(64, n_steps)),
            "fit_semi_supervised": lambda: learner.fit_semi_supervised(
                ids, labels, lambda features: guesses
            ),
        }),
        ("inference", n, {
            "bare": lambda: bare.infer(n),
            "predict": learner.predict,
        }),
    ]  # fmt: skip
    for title, n_images, calls in sides:
        print(f"\n{title}: {n_images} images")
        _tell_rates(title, compare(calls, arguments.repeats), n_images)


def random_dataset(count: int, size: int, channels: int) -> Dataset:
    """Random images of a height and width of ``size`` pixels, with random labels."""
    generator = np.random.default_rng(0)
    shape = (count, size, size, channels)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    labels = generator.integers(0, N_CLASSES, len(images)).astype(np.int32)
    status = np.zeros(len(images), np.uint8)
    mean, std = channel_statistics(images, status)
    return Dataset(
        images, [str(i) for i in range(len(images))], labels, [], images[:0], labels[:0], mean, std,
        False, status, [""] * len(images), [], [],
    )  # fmt: skip


class Bare:
    """The network and torch, nothing else."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._device = arguments.device
        network = ConvNet13(arguments.channels, N_CLASSES, arguments.width)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)
        # A rate of zero costs the same; on one batch over and over the gradients would vanish, and
        # subnormal numbers take a CPU many times as long.
        self._optimizer = torch.optim.SGD(
            self._network.parameters(), lr=0.0, momentum=0.9, weight_decay=2e-4, nesterov=True
        )
        shape = (64, arguments.size, arguments.size, arguments.channels)
        self._images = torch.randn(shape, device=self._device).permute(0, 3, 1, 2)
        self._labels = torch.arange(64, device=self._device) % N_CLASSES

    def train(self, batch_size: int, n_steps: int) -> None:
        self._network.train()
        images, labels = self._images[:batch_size], self._labels[:batch_size]
        for _ in range(n_steps):
            on_gpu = self._device.startswith("cuda")
            with torch.autocast("cuda", dtype=torch.bfloat16, enabled=on_gpu):
                logits, _ = self._network(images)
            loss = functional.cross_entropy(logits.float(), labels)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
        self._wait()

    def infer(self, n_images: int) -> None:
        self._network.eval()
        with torch.inference_mode():
            for _ in range(-(-n_images // 64)):
                self._network(self._images)
        self._wait()

    def _wait(self) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize()


def _tell_rates(title: str, timings: dict[str, Timing], n_images: int) -> None:
    for timing in timings.values():
        print(f"{timing.name}: {n_images / timing.median:.0f} images/s")
    bare, ours = timings.values()
    tell_goal(
        f"training, {title}, of the bare throughput", 100 * bare.over(ours), least=90, unit="%"
    )


if __name__ == "__main__":
    main()
