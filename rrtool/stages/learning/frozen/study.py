"""A study of frozen features: images may join and go, and their rows stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import rrtool
from rrtool.artifacts import AlState, Features, InputRecord, open_artifact
from rrtool.artifacts.compatibility import require_equal, require_same_network
from rrtool.core.learning.few_labels import directions
from rrtool.datasets import Dataset, is_standard
from rrtool.errors import UsageError, WorkFailed
from rrtool.images.collection import Collection, collect
from rrtool.progress import Progress
from rrtool.stages.learning.frozen.described import describe_as
from rrtool.stages.learning.frozen.model import Teller, center_of, learn, unlabeled_model
from rrtool.stages.learning.frozen.photos import Photos, paths_of
from rrtool.stages.learning.labels import labels_input, take_labels
from rrtool.stages.learning.model import Model
from rrtool.stages.learning.options import AlCycleOptions
from rrtool.stages.learning.study import Study
from rrtool.stages.learning.training_run import TrainingRun

GONE = "no longer among the images"
_FAILED = 1
_USUAL = 5  # stream of the seed


@dataclass(frozen=True)
class FrozenStudy(Study):
    """Images by their descriptors.

    Attributes:
        descriptors: ``(n, d)`` float32; zero where an image cannot be used.
        test_descriptors: ``(m, d)`` of the held-out images.
        described_by: the network.
        centred_on: digest of the mean that they were whitened about, where they were.
        came, gone: names of images that the state before had not, and that there are no more.
        photos: of the images, where the network is fine-tuned.
        test_paths: then of the photos held out.
    """

    descriptors: np.ndarray
    test_descriptors: np.ndarray
    described_by: Mapping[str, Any]
    centred_on: str | None = None
    came: Sequence[str] = ()
    gone: Sequence[str] = ()
    photos: Photos | None = None
    test_paths: Sequence[str | None] = ()

    @cached_property
    def center(self) -> np.ndarray:
        """The mean descriptor."""
        return center_of(self.descriptors, self.dataset.status == 0)

    @cached_property
    def vectors(self) -> np.ndarray:
        """``(n, d)`` float32, what is learnt on."""
        return directions(self.descriptors, self.center)

    def learn(
        self,
        known: tuple[np.ndarray, np.ndarray],
        class_names: Sequence[str],
        options: AlCycleOptions,
        training: TrainingRun,
        progress: Progress,
    ) -> Model:
        """SUP, LP and SEMI on frozen features; with --fine-tune, of the network's last stage then.

        Args:
            known: ids and labels.
        """
        model, _ = learn(self.vectors, *known, len(class_names), options, semi=options.semi)
        learnt = {**model.parameters, "center": self.center}
        teller = Teller(self.vectors, learnt, model.options.k or 1, options.gamma)
        usual = teller.usual_similarity(np.random.default_rng([options.seed, _USUAL]))
        parameters = {
            **teller.parameters,
            "usual_similarity": np.array([usual], np.float32),
            "k": np.array([teller.k], np.int32),
            "gamma": np.array([teller.gamma]),
        }
        model, test_labels = model.changed(parameters=parameters), self.test_labels(class_names)
        told = np.zeros((0, len(class_names)), np.float32)
        if len(test_labels):
            told = teller.probabilities(self.test_descriptors)
        if self.photos is not None:
            from rrtool.stages.learning.frozen.fine_tuning import fine_tune  # and torch

            facts = {"frozen_accuracy": _accuracy(told, test_labels)}
            tuned, model = fine_tune(model, self.photos, known, options, training, progress)
            model = model.changed(facts={**model.facts, **facts})
            told = tuned.told(self.test_paths, told, progress)
        return model.changed(accuracy=_accuracy(told, test_labels))

    def unlabeled(self, options: AlCycleOptions) -> Model:
        return unlabeled_model(self.vectors, options)

    def rows_of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.descriptors[ids], self.test_descriptors

    @property
    def network(self) -> Mapping[str, Any]:
        return self.described_by

    def facts(self) -> dict[str, Any]:
        """Of the state."""
        found: dict[str, Any] = {"came": list(self.came), "gone": list(self.gone)}
        return {**found, "centred_on": self.centred_on} if self.centred_on else found


def open_frozen_study(options: AlCycleOptions, progress: Progress) -> FrozenStudy:
    """Read the features, or extract them, and bring them into the order of the state before.

    Raises:
        RrtoolError: they cannot be read, are of another network than the state's, or not one image
            can be used.
    """
    path = options.features or _extracted(options.images, options, progress)
    asked: Mapping[str, Any] = {}
    if options.dry_run and options.frozen and not Path(path).exists():
        study = _listed(collect(options.images))
        if options.state is not None:
            with open_artifact(options.state, AlState) as previous:
                study = _in_order_of(previous, study)
    else:
        study, asked = _read(path, options)
    if study.came or study.gone:
        progress.message(
            f"since the state before, {len(study.came)} images have come and "
            f"{len(study.gone)} have gone"
        )
    if study.dataset.status.all():
        raise WorkFailed("not one image can be used", where=path, found=study.dataset.reasons[0])
    if options.fine_tune:
        collection = collect(options.images)
        photos = Photos(paths_of(study.dataset.names, collection), asked, study.described_by)
        study = replace(study, photos=photos, inputs=[*study.inputs, *collection.inputs])
    if options.subset is not None:
        raise UsageError("--subset is for a network that is trained", found="frozen features")
    return _with_test(study, path, options, progress)


def _read(path: str, options: AlCycleOptions) -> tuple[FrozenStudy, Mapping[str, Any]]:
    """The study of features in the order of the state before, and how they were asked for."""
    with open_artifact(path, Features) as features:
        study, asked = _study(features), features.asked.get("options", {})
        if options.state is None:
            return study, asked
        with open_artifact(options.state, AlState) as previous:
            require_same_network(previous, features)
            if AlState.features in previous:
                d = study.descriptors.shape[1]
                require_equal("dimensions", previous, previous.lengths["d"], features, d)
            return _in_order_of(previous, study), asked


def _listed(collection: Collection) -> FrozenStudy:
    """Of photos by their names alone: a dry run describes none."""
    n = len(collection)
    status, reasons, nothing = np.zeros(n, np.uint8), [""] * n, np.zeros((n, 1), np.float32)
    dataset = _without_pixels(collection.names, status, reasons, collection.inputs)
    return FrozenStudy(
        dataset, dataset.images[:0], [], [], dataset.inputs, nothing, nothing[:0], {}
    )


def _extracted(images: str, options: AlCycleOptions, progress: Progress) -> str:
    """Features of photos by the default network, kept beside the output."""
    if is_standard(images):
        raise UsageError(
            "frozen features of the default network are of photos", where=images,
            todo="leave out --frozen, or give --features",
        )  # fmt: skip
    path = _kept_beside(images, "features", options)
    rrtool.extract(
        images, path, update=path.exists(), max_pixels=options.max_pixels, progress=progress,
        device=options.device, workers=options.workers, dry_run=options.dry_run,
    )  # fmt: skip
    return str(path)


def _kept_beside(images: str, kind: str, options: AlCycleOptions) -> Path:
    return Path(options.output).with_name(f"{Path(images).resolve().stem}.{kind}.h5")


def _study(features: Features) -> FrozenStudy:
    """Of all images of features; a descriptor that is not finite is none."""
    descriptors = features.descriptors.astype(np.float32)
    status, reasons = features.status.copy(), list(features.reasons)
    for row in np.flatnonzero(~np.isfinite(descriptors).all(axis=1)):
        status[row], reasons[row] = _FAILED, "its descriptor is not finite"
    descriptors[status != 0] = 0
    names = features.names
    if len(set(names)) < len(names):
        raise UsageError(
            "an image has several rows", where=features.path,
            expected="features of whole images",
        )  # fmt: skip
    dataset = _without_pixels(names, status, reasons, [features.as_input("features")])
    return FrozenStudy(
        dataset, dataset.images[:0], [], dataset.all_skipped(), list(dataset.inputs), descriptors,
        descriptors[:0], features.network, features.extra.get("centred_on"),
    )  # fmt: skip


def _without_pixels(
    names: Sequence[str], status: np.ndarray, reasons: Sequence[str], inputs: list[InputRecord]
) -> Dataset:
    n, one = len(names), np.ones(1, np.float32)
    pixels, labels = np.zeros((n, 1, 1, 1), np.uint8), np.full(n, -1, np.int32)
    return Dataset(
        images=pixels, names=list(names), labels=labels, class_names=[], test_images=pixels[:0],
        test_labels=labels[:0], mean=0 * one, std=one, mirrored_alike=True, status=status,
        reasons=list(reasons), skipped=[], inputs=inputs,
    )  # fmt: skip


def _in_order_of(previous: AlState, study: FrozenStudy) -> FrozenStudy:
    """The rows of the state before, then those of images that have come."""
    before, dataset = previous.names, study.dataset
    place = {name: row for row, name in enumerate(dataset.names)}
    known = set(before)
    came = [name for name in dataset.names if name not in known]
    names = [*before, *came]
    rows = np.array([place.get(name, -1) for name in names], dtype=np.int64)
    is_gone = rows < 0
    status = np.where(is_gone, np.uint8(_FAILED), dataset.status[rows])
    reasons = [GONE if row < 0 else dataset.reasons[row] for row in rows.tolist()]
    descriptors = np.where(is_gone[:, None], np.float32(0), study.descriptors[rows])
    # What had gone before is no news.
    gone_before = {name for name, why in zip(before, previous.reasons, strict=True) if why == GONE}
    gone = [name for name in before if name not in place and name not in gone_before]
    came += [name for name in before if name in place and name in gone_before]
    return replace(
        study, dataset=_without_pixels(names, status, reasons, dataset.inputs),
        descriptors=descriptors, came=came, gone=gone,
    )  # fmt: skip


def _with_test(
    study: FrozenStudy, own: str, options: AlCycleOptions, progress: Progress
) -> FrozenStudy:
    """With the held-out images: features, or photos that are described as the others were.

    Args:
        own: features of the study.
    """
    if options.test is None or options.test_labels is None:
        return study
    path = options.test
    if options.dry_run and not path.endswith(".h5"):
        return study
    if not path.endswith(".h5"):
        path = describe_as(
            own, path, _kept_beside(path, "held-out.features", options), device=options.device,
            progress=progress, max_pixels=options.max_pixels, workers=options.workers,
        )  # fmt: skip
    with open_artifact(path, Features) as features:
        held_out = _study(features)
        if {**features.network} != {**study.network}:
            raise UsageError(
                "the held-out images are described by another network", where=path,
                expected=study.network.get("name"), found=features.network.get("name"),
            )  # fmt: skip
        inputs = [*study.inputs, features.as_input("test")]
    taken = take_labels(options.test_labels, held_out.dataset)
    taken.require_some("no usable label of the held-out set", options.test_labels)
    inputs.append(labels_input("test-labels", options.test_labels))
    names = [held_out.dataset.names[row] for row in taken.rows.tolist()]
    return replace(
        study, inputs=inputs, skipped=[*study.skipped, *taken.mistakes],
        test_descriptors=held_out.descriptors[taken.rows],
        test_classes=[taken.class_names[label] for label in taken.labels.tolist()],
        test_paths=paths_of(names, collect(options.test)) if options.fine_tune else (),
    )  # fmt: skip


def _accuracy(told: np.ndarray, labels: np.ndarray) -> float | None:
    """None of no images."""
    return float((told.argmax(axis=1) == labels).mean()) if len(labels) else None
