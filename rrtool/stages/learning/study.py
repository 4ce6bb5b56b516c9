"""The images of a study and what is known about them outside of any cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rrtool.artifacts import InputRecord, file_input
from rrtool.datasets import load_dataset
from rrtool.datasets.dataset import Dataset, channel_statistics
from rrtool.errors import UsageError, WorkFailed
from rrtool.progress import Progress
from rrtool.stages.learning.labels import UNLABELED, KnownImages, Mistake, take_labels
from rrtool.stages.learning.options import AlCycleOptions

_SUBSET = 1  # stream of the seed


@dataclass(frozen=True)
class Study:
    """Images to learn from, and those held out.

    Attributes:
        dataset: the images; a subset of them with ``--subset``.
        failures: why an image cannot be used, by row.
        test_images: ``(m, h, w, c)`` uint8.
        test_classes: class name of each.
        mistakes: images and test labels that cannot be used.
        inputs: records for the provenance.
    """

    dataset: Dataset
    failures: dict[int, str]
    test_images: np.ndarray
    test_classes: list[str]
    mistakes: list[Mistake]
    inputs: list[InputRecord]

    @property
    def usable(self) -> np.ndarray:
        """``(n,)`` bool."""
        return self.dataset.status == 0

    def test_labels(self, class_names: Sequence[str]) -> np.ndarray:
        """``(m,)`` int32, labels of the held-out images.

        Raises:
            UsageError: one is of none of these classes.
        """
        index = {name: label for label, name in enumerate(class_names)}
        unknown = sorted(set(self.test_classes) - set(index))
        if unknown:
            raise UsageError(
                "the held-out set has a class that is not known",
                expected=", ".join(class_names),
                found=unknown[0],
                todo="name it with --classes",
            )
        return np.array([index[name] for name in self.test_classes], dtype=np.int32)


def open_study(options: AlCycleOptions, progress: Progress) -> Study:
    """Load the images and the held-out set.

    Both come from ``load_dataset`` as it stands in this module: a test can put another there.

    Raises:
        RrtoolError: see ``load_dataset`` and ``take_labels``; or a subset larger than the whole.
    """
    dataset = _load(options.images, options, progress)
    inputs = list(dataset.inputs)
    test_images = dataset.test_images
    test_classes = [dataset.class_names[label] for label in dataset.test_labels.tolist()]
    mistakes: list[Mistake] = []
    if options.test is not None and options.test_labels is not None:
        held_out = _load(options.test, options, progress)
        inputs += [replace(record, role="test") for record in held_out.inputs]
        inputs.append(file_input("test-labels", options.test_labels))
        test_images, test_classes, mistakes = _labeled(held_out, options.test_labels)
    if options.subset is not None:
        dataset = _subset(dataset, options.subset, options.seed)
    failures = _failures(dataset)
    mistakes += [Mistake(name, reason) for name, reason in dataset.all_skipped()]
    return Study(dataset, failures, test_images, test_classes, mistakes, inputs)


def _load(source: str, options: AlCycleOptions, progress: Progress) -> Dataset:
    return load_dataset(
        source,
        image_size=options.image_size,
        max_pixels=options.max_pixels,
        workers=options.workers,
        progress=progress,
    )


def _failures(dataset: Dataset) -> dict[int, str]:
    """Why images could not be read, by row.

    Raises:
        WorkFailed: not one could be read.
    """
    if dataset.status.all():
        raise WorkFailed(
            f"not one of {len(dataset)} images could be used", found=dataset.reasons[0]
        )
    return {row: dataset.reasons[row] for row in np.flatnonzero(dataset.status).tolist()}


def _labeled(held_out: Dataset, labels: str) -> tuple[np.ndarray, list[str], list[Mistake]]:
    nothing = np.full(len(held_out.names), UNLABELED, dtype=np.int32)
    taken = take_labels(labels, KnownImages(held_out.names, nothing, (), _failures(held_out)))
    if not len(taken.rows):
        raise UsageError(
            "no usable label of the held-out set",
            where=labels,
            found=taken.mistakes[0].reason if taken.mistakes else "no rows",
        )
    classes = [taken.class_names[label] for label in taken.labels.tolist()]
    return held_out.images[taken.rows], classes, taken.mistakes


def _subset(dataset: Dataset, n: int, seed: int) -> Dataset:
    """``n`` rows in their order, drawn without regard to classes."""
    if n > len(dataset.names):
        raise UsageError("bad --subset", expected=f"at most {len(dataset.names)}", found=n)
    generator = np.random.default_rng([seed, _SUBSET])
    rows = np.sort(generator.choice(len(dataset.names), n, replace=False))
    images, status = dataset.images[rows], dataset.status[rows]
    mean, std = channel_statistics(images, status)
    return replace(
        dataset,
        images=images,
        names=[dataset.names[row] for row in rows],
        labels=dataset.labels[rows],
        status=status,
        reasons=[dataset.reasons[row] for row in rows],
        mean=mean,
        std=std,
    )
