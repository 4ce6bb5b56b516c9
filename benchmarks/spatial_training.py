"""What spatial training (T_SP, thesis §4.5.1) costs beside training without it (T_R).

    python benchmarks/spatial_training.py [--network squeezenet1_1 --weights FILE] [--tuples 4]

A tuple is a query, its positive and five negatives: forward, loss and backward of seven photos at
362 px, six pairs. Both sides in this process, alternating, on one thread; the CPU's time, whatever
else the machine does. Ratios are to T_R. Then what detection, matching and masks take of each pair.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timing import Timing, print_machine, report

from rrtool.core.matching import pair_masks
from rrtool.networks.network import Network
from rrtool.training.retrieval import masks
from rrtool.training.retrieval.encoder import Encoder
from rrtool.training.retrieval.losses import contrastive, squared_distances
from rrtool.training.retrieval.masks import PairMasks, levels_of, masks_of_pairs
from rrtool.training.retrieval.trainable import Trainable

SHARED = Path(os.environ.get("RRTOOL_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
IMAGE_SIZE, MARGIN, N_NEGATIVES = 362, 0.7, 5
PAIRS = [(0, place) for place in range(1, 2 + N_NEGATIVES)]
STEPS = {"detection": "locate", "matching": "matching_features", "masks": "region_mask"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default=str(SHARED / "retrieval" / "scenes" / "images"))
    parser.add_argument("--network", default="efficientnet_lite0")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--tuples", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    trainable = Trainable.load(arguments.network, arguments.weights, train_from=None)
    tuples = list(read_tuples(Path(arguments.images), trainable.network, arguments.tuples))
    photos = [photo for each in tuples for photo in each]
    images = ReadPhotos(photos)
    encoders = {name: Encoder(trainable, None, images, own)
                for name, own in {"T_R": None, "T_SP": PairMasks()}.items()}  # fmt: skip
    encoders["T_SP"].learn_levels(range(len(photos)))

    def descend(encoder: Encoder) -> None:
        for each in tuples:
            trainable.network.backbone.zero_grad()
            squared = squared_distances(*encoder.of_pairs(each, PAIRS))
            contrastive(squared, torch.arange(len(PAIRS)) == 0, MARGIN).backward()

    print_machine()
    with torch.no_grad():
        maps_of_tuples = [[trainable.body(photo)[0] for photo in each] for each in tuples]
    shape = tuple(maps_of_tuples[0][0].shape)
    print(f"{trainable.network.name}, maps {shape}, {len(tuples)} tuples")
    timings = measure(
        {name: partial(descend, each) for name, each in encoders.items()}, arguments.repeats
    )
    n_pairs = len(tuples) * len(PAIRS)
    more = timings["T_SP"].median - timings["T_R"].median
    print(f"T_SP takes {1e3 * more / n_pairs:.2f} ms more a pair")
    levels = levels_of(each for maps in maps_of_tuples for each in maps)
    with measured() as taken_by:
        for maps in maps_of_tuples:
            masks_of_pairs(maps, PAIRS, levels)
    for name, step in STEPS.items():
        print(f"{name:<10} {1e3 * taken_by[step] / n_pairs:.2f} ms a pair")


def measure(sides: dict[str, Callable[[], None]], repeats: int) -> dict[str, Timing]:
    """As ``timing.compare``, by the time of the CPU in this process."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(1 + repeats):  # the first warms up
        for name, call in sides.items():
            start = time.process_time()
            call()
            if repeat:
                seconds[name].append(time.process_time() - start)
    timings = {name: Timing(name, tuple(taken)) for name, taken in seconds.items()}
    report(timings)
    return timings


class ReadPhotos:
    """See ``training.retrieval.encoder.Images``."""

    def __init__(self, photos: list[torch.Tensor]) -> None:
        self._photos = photos

    def __call__(self, rows: Sequence[int], scale: float = 1.0) -> Iterator[torch.Tensor]:
        return (self._photos[row] for row in rows)


def read_tuples(folder: Path, network: Network, n: int) -> Iterator[list[torch.Tensor]]:
    """Photos ``(1, 3, h, w)``: two of one scene, five of others; the scene is in the name."""
    scenes: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        scenes.setdefault(path.name.rpartition("_")[0], []).append(path)
    names = [name for name, paths in scenes.items() if len(paths) > 1]
    for i in range(n):
        name, *others = np.roll(np.array(names), -i)[: 1 + N_NEGATIVES].tolist()
        paths = [*scenes[name][:2], *(scenes[other][i % len(scenes[other])] for other in others)]
        yield [read_photo(path, network) for path in paths]


def read_photo(path: Path, network: Network) -> torch.Tensor:
    image = Image.open(path).convert("RGB")
    image.thumbnail((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    mean, std = torch.tensor(network.mean), torch.tensor(network.std)
    return ((pixels - mean[:, None, None]) / std[:, None, None])[None]


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Seconds of the CPU by step of the masks, while the context is open."""
    seconds = dict.fromkeys(STEPS.values(), 0.0)

    def timed(name: str) -> Callable:
        step = getattr(pair_masks, name)

        def call(*arguments: object, **options: object) -> object:
            start = time.process_time()
            try:
                return step(*arguments, **options)
            finally:
                seconds[name] += time.process_time() - start

        return call

    before = {name: getattr(masks, name) for name in seconds}
    for name in seconds:
        setattr(masks, name, timed(name))
    try:
        yield seconds
    finally:
        for name, step in before.items():
            setattr(masks, name, step)


if __name__ == "__main__":
    main()
