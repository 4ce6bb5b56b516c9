"""From activation maps to the local features of one image (thesis §4.3.4, §4.3.5, §4.4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.mser import Regions, Stability, detect_regions, quantize
from rrtool.core.matching.nms import suppress_non_maxima

# Thesis §4.4.1. Queries go without suppression, to allow matches from any channel.
MAX_PER_CHANNEL: dict[str, int] = {"query": 20, "database": 10}
NMS_IOU: dict[str, float | None] = {"query": None, "database": 0.2}
# The authors' released code leaves an activation map of more regions out as cluttered.
CLUTTERED = 36


@dataclass(frozen=True)
class DetectionOptions:
    """Parameters of detection and selection; None stands for the default of the role.

    Attributes:
        role: ``query`` or ``database``.
        min_diversity, max_variation: see :class:`rrtool.core.matching.mser.Stability`.
        channel_rule: what ``max_per_channel`` does; see :func:`select`.
        max_per_channel: features of an activation map at one scale; 20 for queries, 10 for the
            database.
        nms_iou: boxes that overlap a stronger one by more are suppressed; 0.2 for the database,
            none for queries, 1 suppresses nothing.
        max_features: features kept of all scales together; the number of channels by default.
        detector: ``numba``, or ``vlfeat``, the thesis's own, which finds the same regions.
    """

    role: str = "database"
    min_diversity: float = 0.7
    max_variation: float = 0.5
    channel_rule: str = "drop"
    max_per_channel: int | None = None
    nms_iou: float | None = None
    max_features: int | None = None
    detector: str = "numba"


def detect(
    activation_map: np.ndarray,
    *,
    scale: float,
    delta: int,
    options: DetectionOptions = DetectionOptions(),
) -> Regions:
    """Detects the regions of one image at one scale, before selection; they serve either role.

    Args:
        activation_map: ``(k, h, w)`` float32, after ReLU.
        scale: levels per unit of activation, the same for the whole dataset.
        delta: levels, the same for the whole dataset.
        options: ``detector``, ``min_diversity`` and ``max_variation`` are read here.

    Raises:
        ValueError: the map has another shape, or holds NaN or infinite values.
        WorkFailed: the detector is not installed.
    """
    activation_map = np.asarray(activation_map, np.float32)
    find = detect_regions
    if options.detector == "vlfeat":
        from rrtool.core.matching import vlfeat

        find = vlfeat.detect_regions
    return find(
        quantize(activation_map, scale),
        activation_map,
        Stability(
            delta=delta,
            min_diversity=options.min_diversity,
            max_variation=options.max_variation,
        ),
    )


def select(
    regions: Sequence[Regions], n_channels: int, options: DetectionOptions = DetectionOptions()
) -> LocalFeatures:
    """Selects the local features of one image from its detections at every scale.

    In this order:

    1. Activation maps with too many regions are dropped whole, each scale for itself: more than
       ``max_per_channel`` by the rule ``drop`` (thesis §4.4.1), more than ``CLUTTERED``, or
       ``max_per_channel`` if that is larger, by the rule ``strongest`` (the released code).
    2. Non-maxima are suppressed over all channels of a scale (database).
    3. By the rule ``strongest`` each activation map keeps the ``max_per_channel`` strongest.
    4. Of all scales together the ``max_features`` strongest stay.

    Ties go to the earlier scale, lower channel, lower seed.

    Args:
        regions: those of each scale, at least one; by channel, then falling strength.
        n_channels: of the activation maps.

    Returns:
        Local features of one image, grouped by scale.
    """
    return features_of(regions, selected_rows(regions, n_channels, options))


def selected_rows(
    regions: Sequence[Regions], n_channels: int, options: DetectionOptions = DetectionOptions()
) -> list[np.ndarray]:
    """The rows of the regions that :func:`select` keeps, of each scale, in rising order."""
    max_features = n_channels if options.max_features is None else options.max_features
    candidates = [_select_at_scale(each, n_channels, options) for each in regions]
    kept = _strongest(
        [r.strengths[ids] for r, ids in zip(regions, candidates, strict=True)], max_features
    )
    return [c[k] for c, k in zip(candidates, kept, strict=True)]


def concatenate(parts: Sequence[LocalFeatures]) -> LocalFeatures:
    """Joins the local features of sets of images, one or more, in their order.

    Raises:
        ValueError: there is none, or they differ in their numbers of scales.
    """
    found = sorted({part.n_scales for part in parts})
    if len(found) != 1:
        raise ValueError(f"local features have {found or 'no'} numbers of scales, expected one")
    shifts = np.cumsum([0, *(part.n_features for part in parts)])
    ends = [part.offsets[1:] + shift for part, shift in zip(parts, shifts, strict=False)]
    return LocalFeatures(
        means=np.concatenate([part.means for part in parts]),
        covariances=np.concatenate([part.covariances for part in parts]),
        strengths=np.concatenate([part.strengths for part in parts]),
        channels=np.concatenate([part.channels for part in parts]),
        offsets=np.concatenate([np.zeros(1, np.int64), *ends]),
        n_scales=found[0],
    )


def _select_at_scale(regions: Regions, n_channels: int, options: DetectionOptions) -> np.ndarray:
    """Indices of the regions that survive at one scale, in rising order."""
    role, most, nms_iou = options.role, options.max_per_channel, options.nms_iou
    most = MAX_PER_CHANNEL[role] if most is None else most
    nms_iou = NMS_IOU[role] if nms_iou is None else nms_iou
    limit = most if options.channel_rule == "drop" else max(most, CLUTTERED)
    counts = np.bincount(regions.channels, minlength=n_channels)
    ids = np.flatnonzero(counts[regions.channels] <= limit)
    if nms_iou is not None:
        ids = ids[suppress_non_maxima(regions.boxes[ids], regions.strengths[ids], nms_iou)]
    if options.channel_rule == "strongest":
        ids = _first_of_channels(ids, regions.channels[ids], most)
    return ids


def _first_of_channels(ids: np.ndarray, channels: np.ndarray, most: int) -> np.ndarray:
    """The first ``most`` ids of each channel, the strongest: channels rise, strengths fall."""
    firsts = np.searchsorted(channels, channels)
    return ids[np.arange(len(ids)) - firsts < most]


def _strongest(strengths: list[np.ndarray], max_features: int) -> list[np.ndarray]:
    """Per group, the sorted positions of those among the strongest of all groups together."""
    # The sort is stable, so ties fall to the earlier scale, then channel, then seed.
    best = np.sort(np.argsort(-np.concatenate(strengths), kind="stable")[:max_features])
    starts = np.cumsum([0, *map(len, strengths)])
    cuts = np.searchsorted(best, starts)
    return [best[cuts[i] : cuts[i + 1]] - starts[i] for i in range(len(strengths))]


def features_of(regions: Sequence[Regions], rows: Sequence[np.ndarray]) -> LocalFeatures:
    """Local features of one image: some of its regions at each scale.

    Args:
        regions: those of each scale; by channel, then falling strength.
        rows: which of them, of each scale, in rising order.
    """

    def gather(field: str, dtype: type) -> np.ndarray:
        pieces = [getattr(r, field)[i] for r, i in zip(regions, rows, strict=True)]
        return np.concatenate(pieces).astype(dtype)

    return LocalFeatures(
        means=gather("means", np.float32),
        covariances=gather("covariances", np.float32),
        strengths=gather("strengths", np.float32),
        channels=gather("channels", np.int32),
        offsets=np.cumsum([0, *map(len, rows)], dtype=np.int64),
        n_scales=len(regions),
    )
