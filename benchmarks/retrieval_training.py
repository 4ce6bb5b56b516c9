"""Training for retrieval against the bare forward and backward of the same batches.

python benchmarks/retrieval_training.py PHOTOS --groups RULE [--network squeezenet1_1]
    [--weights FILE] [--train-from LAYER] [--tuples 20] [--size 362] [--device cpu] [--repeats 5]

All sides take the same tuples. The bare side has the tensors of each in memory, and runs forward,
the sum of the maps backward, and a step of Adam after each batch. ``steps`` are those of ``rrtool
train`` with photos in memory, ``decoding`` the same with photos from their files. Mining, which
describes the pool without gradients, is timed beside them, a photo.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from extract import SHARED
from timing import compare, print_machine, tell_goal

from rrtool.devices import resolve_device
from rrtool.progress import Silent
from rrtool.stages.training.given import examples_of, read_given
from rrtool.stages.training.photos import KeptPhotos
from rrtool.stages.training.train import exponent_of
from rrtool.stages.training.train_options import TrainOptions
from rrtool.training.retrieval.encoder import Encoder
from rrtool.training.retrieval.learner import RetrievalLearner
from rrtool.training.retrieval.trainable import Trainable

ALL = 1 << 40  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="?", default=str(SHARED / "retrieval/grocery/images"))
    parser.add_argument("--groups", default="prefix:(.*)_")
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--train-from")
    parser.add_argument("--tuples", type=int, default=20)
    parser.add_argument("--size", type=int, default=362)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print_machine()
    print(f"{vars(arguments)}, {torch.get_num_threads()} threads")
    options = TrainOptions(
        examples=arguments.photos, groups=arguments.groups, output="unused.safetensors",
        network=arguments.network, weights=arguments.weights, image_size=arguments.size,
        train_from=arguments.train_from, device=resolve_device(arguments.device),
        queries=arguments.tuples,
    )  # fmt: skip
    sides = Sides(options)
    timings = compare(
        {"bare": sides.bare, "steps": sides.steps, "decoding": sides.decoding,
         "mining": sides.mining}, arguments.repeats,
    )  # fmt: skip
    for name in ("steps", "decoding"):
        shares = 100 * timings["bare"].over(timings[name])
        what = f"training for retrieval, {name}, of the bare throughput"
        tell_goal(what, shares, least=90, unit="%")
    n_photos = sum(map(len, sides.tuples))
    print(f"bare: {1e3 * timings['bare'].median / n_photos:.1f} ms a photo of a tuple; mining:"
          f" {1e3 * timings['mining'].median / len(sides.pool):.1f} ms a photo")  # fmt: skip


class Sides:
    """What is timed, each on the same tuples."""

    def __init__(self, options: TrainOptions) -> None:
        given = read_given(options, Silent())
        examples = examples_of(given, options)
        trainable = Trainable.load(
            options.network, options.weights, device=options.device, train_from=options.train_from
        )
        exponent = exponent_of(trainable.network, options)

        def learner(limit: int) -> RetrievalLearner:
            photos = KeptPhotos(given.paths, trainable, options, limit)
            return RetrievalLearner(Encoder(trainable, exponent, photos), examples, options)

        self._kept, self._from_files = learner(ALL), learner(0)
        self._encoder, self._options = self._kept._encoder, options
        pairs = examples.pairs_of_epoch(options.queries, np.random.default_rng(0))
        # Which negatives they are costs nothing either way.
        others = np.random.default_rng(1).permutation(len(given.names))
        self.tuples = [
            [*pair, *np.resize(np.roll(others, 5 * i), options.negatives).tolist()]
            for i, pair in enumerate(pairs.tolist())
        ]
        self.pool = np.unique(np.concatenate(self.tuples))
        self._optimizer = torch.optim.Adam(list(trainable.trained.values()), lr=1e-12)
        self._body = trainable.body
        self._images = [[*self._encoder.images(rows)] for rows in self.tuples]

    def _batches(self) -> list[range]:
        size, n = self._options.batch_size, len(self.tuples)
        return [range(start, min(start + size, n)) for start in range(0, n, size)]

    def bare(self) -> None:
        for batch in self._batches():
            self._optimizer.zero_grad(set_to_none=True)
            for i in batch:
                by_size: dict[torch.Size, list[torch.Tensor]] = {}
                for image in self._images[i]:
                    by_size.setdefault(image.shape, []).append(image)
                maps = [self._body(torch.cat(images)).sum() for images in by_size.values()]
                torch.stack(maps).sum().backward()
            self._optimizer.step()
        self._wait()

    def steps(self) -> None:
        self._run(self._kept)

    def decoding(self) -> None:
        self._run(self._from_files)

    def mining(self) -> None:
        self._encoder.describe(self.pool)
        self._wait()

    def _run(self, learner: RetrievalLearner) -> None:
        images = learner._encoder.images([row for rows in self.tuples for row in rows])
        for batch in self._batches():
            learner._step([self.tuples[i] for i in batch], images)
        self._wait()

    def _wait(self) -> None:
        if self._options.device != "cpu":
            torch.cuda.synchronize()


if __name__ == "__main__":
    main()
