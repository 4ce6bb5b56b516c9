"""The images of a study and what is known about them outside of any cycle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rrtool.artifacts import InputRecord
from rrtool.datasets import Dataset, load_dataset
from rrtool.errors import UsageError, WorkFailed
from rrtool.progress import Progress
from rrtool.stages.learning.labels import labels_input, take_labels
from rrtool.stages.learning.options import AlCycleOptions

_SUBSET = 1  # stream of the seed


@dataclass(frozen=True)
class Study:
    """Images to learn from, and those held out.

    Attributes:
        dataset: the images; a subset of them with ``--subset``.
        test_images: ``(m, h, w, c)`` uint8.
        test_classes: class name of each.
        skipped: name and reason of images and test labels that cannot be used.
        inputs: records for the provenance.
    """

    dataset: Dataset
    test_images: np.ndarray
    test_classes: list[str]
    skipped: list[tuple[str, str]]
    inputs: list[InputRecord]

    @property
    def network(self) -> Mapping[str, Any]:
        """That describes the images; none where one is trained."""
        return {}

    def facts(self) -> dict[str, Any]:
        """More for the state, JSON-compatible."""
        return {}

    def rows_of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is learnt from of some images, and of those held out, a row each."""
        return self.dataset.images[ids], self.test_images

    def n_tested_twice(self, labeled_ids: np.ndarray) -> int:
        """Held-out images that are learnt from, too."""
        learnt, tested = self.rows_of(labeled_ids)
        known = {row.tobytes() for row in learnt}
        return sum(row.tobytes() in known for row in tested)

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
        RrtoolError: see ``load_dataset`` and ``take_labels``; a subset larger than the whole, or
            not one image that could be read.
    """
    dataset = _load(options.images, options, progress)
    inputs, skipped = list(dataset.inputs), list[tuple[str, str]]()
    test_images = dataset.test_images
    test_classes = [dataset.class_names[label] for label in dataset.test_labels.tolist()]
    if options.test is not None and options.test_labels is not None:
        held_out = _load(options.test, options, progress)
        inputs += [replace(record, role="test") for record in held_out.inputs]
        inputs.append(labels_input("test-labels", options.test_labels))
        _require_some(held_out)
        taken = take_labels(options.test_labels, held_out)
        taken.require_some("no usable label of the held-out set", options.test_labels)
        test_images = held_out.images[taken.rows]
        test_classes = [taken.class_names[label] for label in taken.labels.tolist()]
        skipped += taken.mistakes
    if options.subset is not None:
        dataset = _subset(dataset, options.subset, options.seed)
    _require_some(dataset)
    skipped += dataset.all_skipped()
    return Study(dataset, test_images, test_classes, skipped, inputs)


def _load(source: str, options: AlCycleOptions, progress: Progress) -> Dataset:
    return load_dataset(
        source,
        image_size=options.image_size,
        max_pixels=options.max_pixels,
        workers=options.workers,
        progress=progress,
    )


def _require_some(dataset: Dataset) -> None:
    if dataset.status.all():
        what = f"not one of {len(dataset)} images could be used"
        raise WorkFailed(what, found=dataset.reasons[0])


def _subset(dataset: Dataset, n: int, seed: int) -> Dataset:
    """``n`` rows in their order, drawn without regard to classes."""
    if n > len(dataset):
        raise UsageError("bad --subset", expected=f"at most {len(dataset)}", found=n)
    generator = np.random.default_rng([seed, _SUBSET])
    return dataset.only(np.sort(generator.choice(len(dataset), n, replace=False)))
