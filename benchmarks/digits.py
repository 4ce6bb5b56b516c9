"""Accuracy on digits by number of labels and strategy, on descriptors of several networks.

python benchmarks/digits.py --images mnist:FOLDER [--pretrained PRE.h5]
    [--network squeezenet1_1 --weights FILE]

Labels are acquired among the first images of the training set (``--train``, 5,000); what is told
are the first 2,000 of the test set. Descriptors: the pixels; the thesis's network, untrained and,
by al-pretrain on the same images, after PRE; a network of photos, untrained and as it comes, on
the digits four times as large.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from few_labels import print_table
from PIL import Image

import rrtool
from rrtool.artifacts import AlPretraining, Features, open_artifact
from rrtool.datasets import Dataset, load_dataset
from rrtool.training.learner import Learner
from rrtool.training.options import TrainingOptions

N_TEST = 2000
_LARGER = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True, help="mnist:FOLDER")
    parser.add_argument("--pretrained", help="from al-pretrain")
    parser.add_argument("--width", type=float, default=0.25, help="of the thesis's network")
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument("--weights", help="of the network; without it that is left out")
    parser.add_argument("--train", type=int, default=5000)
    parser.add_argument("--labels", default="20,50,100")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--strategies", default="random,typiclust,coreset,margin")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.images)
    n = arguments.train
    images = np.concatenate([dataset.images[:n], dataset.test_images[:N_TEST]])
    truth = np.concatenate([dataset.labels[:n], dataset.test_labels[:N_TEST]])
    split = np.arange(n), np.arange(n, n + N_TEST)
    counts = [int(number) for number in arguments.labels.split(",")]
    strategies = arguments.strategies.split(",")
    for name, descriptors in described(dataset, images, arguments):
        print(f"\n{name}, {descriptors.shape[1]} dimensions")
        print_table(descriptors, truth, counts, strategies, [split] * arguments.draws)


def described(
    dataset: Dataset, images: np.ndarray, arguments: argparse.Namespace
) -> Iterator[tuple[str, np.ndarray]]:
    yield "pixels", images.reshape(len(images), -1).astype(np.float32)
    options = TrainingOptions(width=arguments.width, device="cpu")
    learner = Learner(dataset, 10, options, 0)
    yield "thesis's network, untrained", learner.predict(images).features
    if arguments.pretrained:
        with open_artifact(arguments.pretrained, AlPretraining) as pretrained:
            learner = Learner(dataset, 10, options, 0, initial=pretrained.parameters)
        yield "thesis's network, PRE", learner.predict(images).features
    if arguments.weights:
        for name, weights in (("untrained", "none"), ("of photos", arguments.weights)):
            yield f"{arguments.network}, {name}", extracted(images, arguments.network, weights)


def extracted(images: np.ndarray, network: str, weights: str) -> np.ndarray:
    """GeM at one scale."""
    with TemporaryDirectory() as folder:
        for number, image in enumerate(images[..., 0]):
            large = Image.fromarray(image).resize(
                (_LARGER * 28, _LARGER * 28), Image.Resampling.BICUBIC
            )
            large.save(Path(folder, f"{number:05}.png"))
        path = Path(folder, "f.h5")
        rrtool.extract(
            folder, path, network=network, weights=weights, scales=(1.0,), whitening="none"
        )
        with open_artifact(path, Features) as features:
            return features.descriptors


if __name__ == "__main__":
    main()
