"""``rrtool detect-local``: images or activation maps → local features in activation maps (DSM)."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from rrtool.artifacts import InputRecord, LocalFeaturesFile, open_artifact
from rrtool.core.matching.detection import DetectionOptions, concatenate, detect, select
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.mser import ActivationHistogram
from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput, open_activations
from rrtool.stages.activations.run import Part, Task, describe_images
from rrtool.stages.driver import Datasets, Wanted
from rrtool.stages.matching.options import DetectLocalOptions

CALIBRATION_IMAGES = 64
# How activations become 8-bit levels, the same for a whole data set (§4.4.1): levels per unit of
# activation, and MSER's step in levels.
Levels = tuple[float, int]


def run(options: DetectLocalOptions, progress: Progress) -> Path:
    """Detect and select the local features of every image.

    Raises:
        RrtoolError: see ``open_activations`` and ``artifacts.create``.
    """
    with ExitStack() as stack:
        activations = open_activations(options, stack)
        inputs, levels = [], None
        if options.levels_from is not None:
            model = stack.enter_context(open_artifact(options.levels_from, LocalFeaturesFile))
            levels = model.levels()
            # Two models with the same levels are the same input.
            digest = f"{levels[0]!r}/{levels[1]}"
            inputs.append(InputRecord("levels-from", model.path, model.kind, model.uuid, digest))
        settings = {
            **options.settings(), **activations.options, "boxes": options.boxes is not None
        }  # fmt: skip
        return describe_images(
            options,
            activations,
            Wanted(options.output, LocalFeaturesFile, settings),
            lambda: _task(
                levels or _calibrated(activations, options.delta, progress), activations, options
            ),
            progress,
            inputs=inputs,
        )


def _task(levels: Levels, activations: ActivationInput, options: DetectLocalOptions) -> Task:
    scale, delta = levels
    detection = DetectionOptions(
        role=options.role,
        min_diversity=options.min_diversity,
        max_variation=options.max_variation,
        channel_rule=options.channel_rule,
        max_per_channel=options.max_per_channel,
        nms_iou=options.nms_iou,
        max_features=options.max_features,
    )

    def features_of(maps: Sequence[np.ndarray]) -> LocalFeatures:
        """Of one image, from its maps ``(k, h, w)`` at every scale."""
        found = [detect(each, scale=scale, delta=delta, options=detection) for each in maps]
        return select(found, len(maps[0]), detection)

    def describe(maps: list[torch.Tensor]) -> list[tuple[LocalFeatures, np.ndarray]]:
        per_scale = [each.cpu().numpy() for each in maps]
        sizes = np.array([(each.shape[3], each.shape[2]) for each in maps], dtype=np.int32)
        return [
            (features_of([each[i] for each in per_scale]), sizes) for i in range(len(per_scale[0]))
        ]

    n_scales = activations.n_scales
    facts = {"level_scale": scale, "delta": delta, "n_scales": n_scales}
    return Task(describe, lambda part: [_columns(part, n_scales)], facts)


def _calibrated(activations: ActivationInput, delta: int | None, progress: Progress) -> Levels:
    """Levels from an even sample of the images, so that a resumed run finds the same."""
    n_rows = len(activations.collection)
    sample = range(0, n_rows, max(1, -(-n_rows // CALIBRATION_IMAGES)))
    histogram = ActivationHistogram.empty()
    with progress.task("calibrate levels", len(sample), "images") as advance:
        for batch in activations.source.batches([(0, sample)]):
            for maps in batch.maps:
                histogram = histogram.update(maps.cpu().numpy())
            advance(len(batch.rows))
    scale, delta = histogram.level_scale(), delta or histogram.stability_delta()
    progress.message(f"{scale:.4g} levels per unit of activation, delta {delta}")
    return scale, delta


def _columns(part: Part, n_scales: int) -> Datasets:
    """Columns of a part: 24 bytes a feature (see ``LocalFeatures``; the scale is in the order)."""
    none = np.zeros(0)
    empty = LocalFeatures(
        np.zeros((0, 2)), np.zeros((0, 3)), none, none, np.zeros(n_scales + 1), n_scales
    )
    found = concatenate([part.results.get(row, (empty,))[0] for row in part.rows])
    return LocalFeaturesFile.columns(
        means=found.means.astype(np.float32),
        covariances=found.covariances.astype(np.float32),
        strengths=found.strengths.astype(np.float16),
        channels=found.channels.astype(np.uint16),
        offsets=found.offsets.astype(np.int64),
        map_sizes=part.dense(lambda result: result[1], (n_scales, 2), np.int32),
    )
