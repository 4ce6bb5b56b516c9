"""From activation maps to the local features of one image (thesis §4.3.4, §4.3.5, §4.4.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.mser import Regions, detect_regions, quantize
from rrtool.core.matching.nms import suppress_non_maxima

Role = Literal["query", "database"]

# Thesis §4.4.1. Queries go without suppression, to allow matches from any channel.
MAX_PER_CHANNEL: dict[str, int] = {"query": 20, "database": 10}
NMS_IOU: dict[str, float | None] = {"query": None, "database": 0.2}


@dataclass(frozen=True)
class DetectionOptions:
    """Parameters of detection and selection; None stands for the default of the role.

    Attributes:
        role: ``query`` or ``database``.
        min_diversity: see :func:`rrtool.core.matching.mser.detect_regions`.
        max_variation: see :func:`rrtool.core.matching.mser.detect_regions`.
        max_per_channel: an activation map with more features is dropped whole; 20 for queries, 10
            for the database.
        nms_iou: boxes that overlap a stronger one by more are suppressed; 0.2 for the database,
            none for queries, 1 suppresses nothing.
        max_features: features kept of all scales together; the number of channels by default.

    Raises:
        ValueError: an option is out of its range.
    """

    role: Role = "database"
    min_diversity: float = 0.7
    max_variation: float = 0.5
    max_per_channel: int | None = None
    nms_iou: float | None = None
    max_features: int | None = None

    def __post_init__(self) -> None:
        _check_role(self.role)
        _check_range("min_diversity", self.min_diversity, 0, 1)
        _check_range("max_variation", self.max_variation, 0, np.inf)
        _check_range("max_per_channel", self.max_per_channel, 0, np.inf)
        _check_range("nms_iou", self.nms_iou, 0, 1)
        _check_range("max_features", self.max_features, 0, np.inf)


@dataclass(frozen=True)
class Detections:
    """All regions of one image at one scale, before selection.

    Attributes:
        regions: sorted by channel, then falling strength.
        n_channels: channels of the activation map.
    """

    regions: Regions
    n_channels: int

    def __len__(self) -> int:
        return len(self.regions)


def detect(
    activation_map: np.ndarray,
    *,
    scale: float,
    delta: int,
    options: DetectionOptions | None = None,
) -> Detections:
    """Detects the regions of one image at one scale; they serve either role.

    Args:
        activation_map: ``(k, h, w)`` float32, after ReLU.
        scale: levels per unit of activation, the same for the whole dataset.
        delta: levels, the same for the whole dataset.
        options: ``min_diversity`` and ``max_variation`` are read here.

    Raises:
        ValueError: the map has another shape, or holds NaN or infinite values.
    """
    options = options or DetectionOptions()
    activation_map = np.asarray(activation_map, np.float32)
    regions = detect_regions(
        quantize(activation_map, scale),
        activation_map,
        delta=delta,
        min_diversity=options.min_diversity,
        max_variation=options.max_variation,
    )
    return Detections(regions, n_channels=len(activation_map))


def select(
    detections_per_scale: Sequence[Detections],
    *,
    role: Role,
    max_features: int | None = None,
    max_per_channel: int | None = None,
    nms_iou: float | None = None,
) -> LocalFeatures:
    """Selects the local features of one image from its detections at every scale.

    In this order (thesis §4.4.1): activation maps with more than ``max_per_channel`` regions are
    dropped whole, each scale for itself; non-maxima are suppressed over all channels of a scale
    (database); of all scales together the ``max_features`` strongest stay, ties by earlier scale,
    lower channel, lower seed.

    Args:
        detections_per_scale: one entry a scale, at least one.
        role: gives the defaults, see :class:`DetectionOptions`.
        max_features: None keeps as many as the map has channels.
        max_per_channel: None is the role's default.
        nms_iou: None is the role's default.

    Returns:
        Local features of one image, grouped by scale.

    Raises:
        ValueError: no scale, scales of different numbers of channels, or an unknown role.
    """
    n_channels = _common_n_channels(detections_per_scale)
    _check_role(role)
    max_per_channel = MAX_PER_CHANNEL[role] if max_per_channel is None else max_per_channel
    nms_iou = NMS_IOU[role] if nms_iou is None else nms_iou
    max_features = n_channels if max_features is None else max_features
    regions = [detections.regions for detections in detections_per_scale]
    candidates = [_select_at_scale(r, n_channels, max_per_channel, nms_iou) for r in regions]
    kept = _strongest(
        [r.strengths[ids] for r, ids in zip(regions, candidates, strict=True)], max_features
    )
    ids = [c[k] for c, k in zip(candidates, kept, strict=True)]
    return _to_local_features(regions, ids)


def select_with(
    detections_per_scale: Sequence[Detections], options: DetectionOptions
) -> LocalFeatures:
    """:func:`select` with the parameters of ``options``."""
    return select(
        detections_per_scale,
        role=options.role,
        max_features=options.max_features,
        max_per_channel=options.max_per_channel,
        nms_iou=options.nms_iou,
    )


def concatenate(parts: Sequence[LocalFeatures], *, n_scales: int | None = None) -> LocalFeatures:
    """Joins the local features of sets of images, in their order.

    Args:
        parts: with one number of scales; none gives zero images.
        n_scales: needed only for an empty ``parts``, else checked.

    Raises:
        ValueError: the numbers of scales differ, or ``parts`` is empty and ``n_scales`` unknown.
    """
    found = sorted({part.n_scales for part in parts} | ({n_scales} if n_scales else set()))
    if len(found) != 1:
        raise ValueError(
            f"local features have {found or 'no known'} numbers of scales, expected one"
        )
    empty = _no_features(found[0])
    parts = [empty, *parts]
    shifts = np.cumsum([0, *(part.n_features for part in parts)])
    ends = [part.offsets[1:] + shift for part, shift in zip(parts, shifts, strict=False)]
    return LocalFeatures(
        means=np.concatenate([part.means for part in parts]),
        covariances=np.concatenate([part.covariances for part in parts]),
        strengths=np.concatenate([part.strengths for part in parts]),
        channels=np.concatenate([part.channels for part in parts]),
        offsets=np.concatenate([empty.offsets, *ends]),
        n_scales=found[0],
    )


def _no_features(n_scales: int) -> LocalFeatures:
    return LocalFeatures(
        means=np.empty((0, 2), np.float32),
        covariances=np.empty((0, 3), np.float32),
        strengths=np.empty(0, np.float32),
        channels=np.empty(0, np.int32),
        offsets=np.zeros(1, np.int64),
        n_scales=n_scales,
    )


def _check_role(role: str) -> None:
    if role not in get_args(Role):
        raise ValueError(f"the role is {role!r}, expected 'query' or 'database'")


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        limits = f"{low} to {high}" if math.isfinite(high) else f"at least {low}"
        raise ValueError(f"{name} is {value}, expected {limits}")


def _common_n_channels(detections_per_scale: Sequence[Detections]) -> int:
    found = sorted({detections.n_channels for detections in detections_per_scale})
    if len(found) != 1:
        raise ValueError(
            f"the scales have {found} channels, expected one number and a scale at least"
        )
    return found[0]


def _select_at_scale(
    regions: Regions, n_channels: int, max_per_channel: int, nms_iou: float | None
) -> np.ndarray:
    """Indices of the regions that survive at one scale, in rising order."""
    counts = np.bincount(regions.channels, minlength=n_channels)
    ids = np.flatnonzero(counts[regions.channels] <= max_per_channel)
    if nms_iou is None:
        return ids
    return ids[suppress_non_maxima(regions.boxes[ids], regions.strengths[ids], nms_iou)]


def _strongest(strengths: list[np.ndarray], max_features: int) -> list[np.ndarray]:
    """Per group, the sorted positions of those among the strongest of all groups together."""
    # The sort is stable, so ties fall to the earlier scale, then channel, then seed.
    best = np.sort(np.argsort(-np.concatenate(strengths), kind="stable")[:max_features])
    starts = np.cumsum([0, *map(len, strengths)])
    cuts = np.searchsorted(best, starts)
    return [best[cuts[i] : cuts[i + 1]] - starts[i] for i in range(len(strengths))]


def _to_local_features(regions: list[Regions], ids: list[np.ndarray]) -> LocalFeatures:
    """Regions come sorted by channel and falling strength already, which is the order wanted."""

    def gather(field: str, dtype: type) -> np.ndarray:
        pieces = [getattr(r, field)[i] for r, i in zip(regions, ids, strict=True)]
        return np.concatenate(pieces).astype(dtype)

    return LocalFeatures(
        means=gather("means", np.float32),
        covariances=gather("covariances", np.float32),
        strengths=gather("strengths", np.float32),
        channels=gather("channels", np.int32),
        offsets=np.cumsum([0, *map(len, ids)], dtype=np.int64),
        n_scales=len(regions),
    )
