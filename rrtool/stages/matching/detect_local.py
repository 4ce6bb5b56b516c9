"""``rrtool detect-local``: images or activation maps → local features in activation maps (DSM)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rrtool.artifacts import Artifact, InputRecord, OutputFile, Provenance, create, open_artifact
from rrtool.core.matching.detection import (
    DetectionOptions,
    concatenate,
    detect,
    select_with,
)
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.mser import ActivationHistogram
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput, open_activations
from rrtool.stages.activations.run import NetworkOptions, publish_rows, run_parts
from rrtool.stages.activations.sources import ActivationSource
from rrtool.stages.parts import parts_of

CALIBRATION_IMAGES = 64


@dataclass(frozen=True)
class DetectLocalOptions:
    """Options of ``detect-local`` (METHODS §2).

    Attributes:
        inference: how images go through the network.
        detection: detection and selection.
        delta: MSER's step in levels; None takes it from the calibration.
    """

    inference: NetworkOptions
    detection: DetectionOptions
    delta: int | None = None

    def __post_init__(self) -> None:
        if self.delta is not None and not 1 <= self.delta <= 255:
            raise UsageError("bad --delta", expected="1 to 255 levels", found=self.delta)

    @staticmethod
    def of(inference: NetworkOptions, delta: int | None, *detection: Any) -> DetectLocalOptions:
        """From the values of ``DetectionOptions`` in their order.

        Raises:
            UsageError: one of them is out of its range.
        """
        try:
            return DetectLocalOptions(inference, DetectionOptions(*detection), delta)
        except ValueError as error:
            raise UsageError.of_options(error) from None


@dataclass(frozen=True)
class Levels:
    """How activations become 8-bit levels, the same for a whole data set (§4.4.1).

    Attributes:
        scale: levels per unit of activation.
        delta: MSER's step, in levels.
    """

    scale: float
    delta: int


def run(
    images: str,
    output: str | Path,
    options: DetectLocalOptions,
    *,
    boxes: str | None = None,
    gallery: str | None = None,
    maps: str | None = None,
    levels_from: str | None = None,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Detect and select the local features of every image.

    Args:
        maps: an ``activation-maps`` artifact of the same images, read in place of the network.
        levels_from: a ``local-features`` artifact whose levels are taken over, so that queries
            and database share them; otherwise they are calibrated on a sample of the images.

    Returns:
        The path of the ``local-features`` artifact.

    Raises:
        RrtoolError: see ``collect``, ``load_network`` and ``artifacts.create``.
    """
    with ExitStack() as stack:
        activations = open_activations(
            images, options.inference, stack, boxes=boxes, gallery=gallery, maps=maps
        )
        inputs = list(activations.collection.inputs)
        levels = None
        if levels_from is not None:
            model = stack.enter_context(open_artifact(levels_from, "local-features"))
            inputs.append(_levels_input(model))
            levels = Levels(model.extra["level_scale"], model.extra["delta"])
        provenance = Provenance(
            "local-features",
            {
                **activations.options,
                **asdict(options.detection),
                "delta": options.delta,
                "boxes": boxes is not None,
            },
            inputs,
            activations.network,
            activations.device,
        )
        target = stack.enter_context(create(output, provenance, overwrite=overwrite))
        if target.is_current:
            progress.message(f"{target.path} is up to date")
            return target.path
        activations.mention_untrained(progress)
        return _detect_all(activations, levels, options, target, progress)


def _levels_input(model: Artifact) -> InputRecord:
    """Two models with the same levels are the same input."""
    digest = f"{model.extra['level_scale']!r}/{model.extra['delta']}"
    return InputRecord("levels", model.path, model.kind, model.uuid, digest)


def _detect_all(
    activations: ActivationInput,
    levels: Levels | None,
    options: DetectLocalOptions,
    target: OutputFile,
    progress: Progress,
) -> Path:
    collection, source = activations.collection, activations.source
    parts = parts_of(len(collection))
    missing = target.missing_parts(len(parts))
    levels = levels or _calibrated(len(collection), source, options, progress)
    batches = source.batches([(number, parts[number]) for number in missing])

    def work(maps: list[torch.Tensor]) -> list[tuple[LocalFeatures, np.ndarray]]:
        per_scale = [scale.cpu().numpy() for scale in maps]
        sizes = np.array([(scale.shape[3], scale.shape[2]) for scale in maps], dtype=np.int32)
        return [
            (_features_of([scale[i] for scale in per_scale], levels, options), sizes)
            for i in range(len(per_scale[0]))
        ]

    finished = run_parts(batches, parts, missing, work, progress, "detect-local")
    for number, common, results in finished:
        columns = _feature_datasets(parts[number], results, activations.n_scales)
        target.write_part(number, common | columns)
    facts = {"level_scale": levels.scale, "delta": levels.delta, "n_scales": activations.n_scales}
    return publish_rows(target, collection, len(parts), facts)


def _calibrated(
    n_rows: int, source: ActivationSource, options: DetectLocalOptions, progress: Progress
) -> Levels:
    """Levels from an even sample of the images, so that a resumed run finds the same."""
    step = max(1, -(-n_rows // CALIBRATION_IMAGES))
    sample = range(0, n_rows, step)
    histogram = ActivationHistogram.empty()
    with progress.task("calibrate levels", len(sample), "images") as advance:
        for batch in source.batches([(0, sample)]):
            for maps in batch.maps:
                histogram = histogram.update(maps.cpu().numpy())
            advance(len(batch.rows))
    delta = options.delta or histogram.stability_delta()
    levels = Levels(histogram.level_scale(), delta)
    progress.message(f"{levels.scale:.4g} levels per unit of activation, delta {levels.delta}")
    return levels


def _features_of(
    maps: list[np.ndarray], levels: Levels, options: DetectLocalOptions
) -> LocalFeatures:
    """Features of one image from its maps ``(k, h, w)`` at every scale."""
    detections = [
        detect(scale, scale=levels.scale, delta=levels.delta, options=options.detection)
        for scale in maps
    ]
    return select_with(detections, options.detection)


def _feature_datasets(
    rows: range, results: Mapping[int, tuple[LocalFeatures, np.ndarray]], n_scales: int
) -> dict[str, np.ndarray]:
    """Columns of a part: 24 bytes a feature (see ``LocalFeatures``; the scale is in the order)."""
    empty = LocalFeatures(
        np.zeros((0, 2)),
        np.zeros((0, 3)),
        np.zeros(0),
        np.zeros(0),
        np.zeros(n_scales + 1),
        n_scales,
    )
    map_sizes = np.zeros((len(rows), n_scales, 2), dtype=np.int32)
    for row, (_, sizes) in results.items():
        map_sizes[row - rows.start] = sizes
    found = concatenate([results[row][0] if row in results else empty for row in rows])
    return {
        "means": found.means.astype(np.float32),
        "covariances": found.covariances.astype(np.float32),
        "strengths": found.strengths.astype(np.float16),
        "channels": found.channels.astype(np.uint16),
        "offsets": found.offsets.astype(np.int64),
        "map_sizes": map_sizes,
    }


def read_local_features(artifact: Artifact) -> LocalFeatures:
    """All features of a ``local-features`` artifact."""
    return LocalFeatures(
        artifact.read("means"),
        artifact.read("covariances"),
        artifact.read("strengths").astype(np.float32),
        artifact.read("channels").astype(np.int32),
        artifact.read("offsets"),
        int(artifact.extra["n_scales"]),
    )
