"""``rrtool detect-local``: images or activation maps → local features in activation maps (DSM)."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rrtool.artifacts import InputRecord, LocalFeaturesFile, OutputFile, open_artifact
from rrtool.core.matching.detection import DetectionOptions, concatenate, detect, select
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.mser import ActivationHistogram
from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput, Given, open_activations
from rrtool.stages.activations.run import describe_images
from rrtool.stages.activations.task import Job, Part, Task
from rrtool.stages.compile_ahead import compile_meanwhile
from rrtool.stages.driver import Datasets, Wanted
from rrtool.stages.matching.options import DetectLocalOptions

CALIBRATION_IMAGES = 64
_SCALE, _DELTA = "level_scale", "delta"  # facts
# How activations become 8-bit levels, the same for a whole data set (§4.4.1): levels per unit of
# activation, and MSER's step in levels.
Levels = tuple[float, int]


def run(options: DetectLocalOptions, progress: Progress) -> Path:
    """Detect and select the local features of every image.

    Raises:
        RrtoolError: see ``open_activations`` and ``artifacts.create``.
    """
    return describe_images(options, opened, progress)


def opened(
    options: DetectLocalOptions, stack: ExitStack, progress: Progress, given: Given | None
) -> tuple[ActivationInput, list[Job]]:
    """See ``describe_images``."""
    activations = open_activations(options, stack, given)
    return activations, [local_job([options], activations, progress)]


def local_job(
    selections: Sequence[DetectLocalOptions], activations: ActivationInput, progress: Progress
) -> Job:
    """Detect once, and select for each of the outputs.

    Args:
        selections: they differ in role and output alone; where the first names no levels, the
            others name it.

    Raises:
        RrtoolError: the file of the levels cannot be read.
    """
    first, *others = selections
    levels = _CommonLevels(first, activations, progress)
    wanted = [_wanted(first, activations, levels.given)]
    made_with = ("levels_from",) if first.levels_from is None else ()
    wanted += [_wanted(each, activations, levels.of_first, made_with) for each in others]

    def task(known: Mapping[str, Any] | None) -> Task:
        if first.detector == "numba":
            compile_meanwhile("local features")
        else:
            from rrtool.core.matching import vlfeat

            vlfeat.library()  # before a network runs for nothing
        return _task(levels.find(known), activations, selections)

    return Job(wanted, task)


def _wanted(
    options: DetectLocalOptions,
    activations: ActivationInput,
    inputs: Callable[[Sequence[OutputFile]], Sequence[InputRecord]],
    made_with: tuple[str, ...] = (),
) -> Wanted:
    settings = {**options.settings(), **activations.options, "boxes": options.boxes is not None}
    return Wanted(options.output, LocalFeaturesFile, settings, options, inputs, made_with)


class _CommonLevels:
    """The levels of several outputs: of the file that is named, or those that the first one has.

    Raises:
        RrtoolError: the file cannot be read.
    """

    def __init__(
        self, first: DetectLocalOptions, activations: ActivationInput, progress: Progress
    ) -> None:
        self._first, self._activations, self._progress = first, activations, progress
        self._levels: Levels | None = None
        self._record: list[InputRecord] = []
        if first.levels_from is not None:
            self._read(first.levels_from)
        elif first.update and os.path.exists(first.output):
            self._levels = _levels_of(first.output)

    def given(self, opened: Sequence[OutputFile]) -> list[InputRecord]:
        """The input of the first output: the file that is named, if one is."""
        return self._record

    def of_first(self, opened: Sequence[OutputFile]) -> list[InputRecord]:
        """The input of the others: that file, or else the first output, which was opened last."""
        if not self._record and opened[-1].is_current:
            self._read(self._first.output)
        elif not self._record:
            self._record = [_record_of(self.find(), opened[-1])]
        return self._record

    def find(self, known: Mapping[str, Any] | None = None) -> Levels:
        """Read or calibrated; to a worker they are known."""
        if known is not None:
            return known[_SCALE], known[_DELTA]
        if self._levels is None:
            self._levels = _calibrated(self._activations, self._first.delta, self._progress)
        return self._levels

    def _read(self, path: str) -> None:
        with open_artifact(path, LocalFeaturesFile) as model:
            self._levels = model.levels()
            self._record = [_record_of(self._levels, model)]


def _levels_of(path: str) -> Levels:
    """Those that stay, for the rows of these local features that are kept."""
    with open_artifact(path, LocalFeaturesFile) as kept:
        return kept.levels()


def _record_of(levels: Levels, file: LocalFeaturesFile | OutputFile) -> InputRecord:
    """Two files with the same levels are the same input."""
    digest = f"{levels[0]!r}/{levels[1]}"
    kind = LocalFeaturesFile.KIND
    return InputRecord("levels-from", str(file.path), kind, file.uuid, digest)


def _task(
    levels: Levels, activations: ActivationInput, selections: Sequence[DetectLocalOptions]
) -> Task:
    scale, delta = levels
    rules = [_detection(each) for each in selections]

    def features_of(maps: Sequence[np.ndarray]) -> list[LocalFeatures]:
        """Of one image, for each output, from its maps ``(k, h, w)`` at every scale."""
        found = [detect(each, scale=scale, delta=delta, options=rules[0]) for each in maps]
        return [select(found, len(maps[0]), each) for each in rules]

    def describe(maps: list[torch.Tensor]) -> list[tuple[list[LocalFeatures], np.ndarray]]:
        # Networks give channels last, which every step would copy for itself.
        per_scale = [each.cpu().contiguous().numpy() for each in maps]
        sizes = np.array([(each.shape[3], each.shape[2]) for each in maps], dtype=np.int32)
        return [
            (features_of([each[i] for each in per_scale]), sizes) for i in range(len(per_scale[0]))
        ]

    def columns(part: Part) -> list[Datasets]:
        return [_columns(part, place, n_scales) for place in range(len(rules))]

    n_scales = activations.n_scales
    return Task(describe, columns, {_SCALE: scale, _DELTA: delta, "n_scales": n_scales})


def _detection(options: DetectLocalOptions) -> DetectionOptions:
    return DetectionOptions(
        role=options.role,
        min_diversity=options.min_diversity,
        max_variation=options.max_variation,
        channel_rule=options.channel_rule,
        max_per_channel=options.max_per_channel,
        nms_iou=options.nms_iou,
        max_features=options.max_features,
        detector=options.detector,
    )


def _calibrated(activations: ActivationInput, delta: int | None, progress: Progress) -> Levels:
    """Levels from an even sample of the images, so that a resumed run finds the same.

    Its maps are used again when the images come: the engine of the others makes them, too.
    """
    activations.choose_engine([LocalFeaturesFile], progress)
    n_rows = len(activations.collection)
    sample = range(0, n_rows, max(1, -(-n_rows // CALIBRATION_IMAGES)))
    histogram = ActivationHistogram.empty()
    with progress.task("calibrate levels", len(sample), "images") as advance:
        for batch in activations.source.sample(sample):
            for maps in batch.maps:
                histogram = histogram.update(maps.cpu().numpy())
            advance(len(batch.rows))
    scale, delta = histogram.level_scale(), delta or histogram.stability_delta()
    progress.message(f"{scale:.4g} levels per unit of activation, delta {delta}")
    return scale, delta


def _columns(part: Part, place: int, n_scales: int) -> Datasets:
    """Columns of a part for one of the outputs: 24 bytes a feature (see ``LocalFeatures``)."""
    none = np.zeros(0)
    empty = LocalFeatures(
        np.zeros((0, 2)), np.zeros((0, 3)), none, none, np.zeros(n_scales + 1), n_scales
    )
    of_rows = [part.results[row][0][place] if row in part.results else empty for row in part.rows]
    found = concatenate(of_rows)
    return LocalFeaturesFile.columns(
        means=found.means.astype(np.float32),
        covariances=found.covariances.astype(np.float32),
        strengths=found.strengths.astype(np.float16),
        channels=found.channels.astype(np.uint16),
        offsets=found.offsets.astype(np.int64),
        map_sizes=part.dense(lambda result: result[1], (n_scales, 2), np.int32),
    )
