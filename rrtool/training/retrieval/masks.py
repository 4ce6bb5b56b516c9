"""Masks of spatial training: where the two images of a pair match, channel by channel (§4.5.1)."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numba
import numpy as np
import torch

from rrtool.core.matching.detection import DetectionOptions
from rrtool.core.matching.mser import ActivationHistogram
from rrtool.core.matching.pair_masks import (
    LocatedFeatures,
    locate,
    matching_features,
    region_mask,
)
from rrtool.core.matching.spatial_matching import MatchingOptions

# Both images of a pair are treated as queries are. Suppression of non-maxima, as in a database,
# would spare storage; a fifth as many channels would be masked.
_DETECTION = DetectionOptions(role="query")
_MATCHING = MatchingOptions()


class Levels(NamedTuple):
    """How activations become 8-bit levels, the same for all images (§4.4.1).

    Attributes:
        scale: levels per unit of activation.
        delta: MSER's step in levels.
    """

    scale: float
    delta: int


def levels_of(maps: Iterable[torch.Tensor]) -> Levels:
    """Levels for a network, from the maps ``(…, h, w)`` that it gives of some images.

    Maps that are not finite are passed over.
    """
    histogram = ActivationHistogram.empty()
    for each in filter(_is_finite, maps):
        histogram = histogram.update(_array(each))
    return Levels(histogram.level_scale(), histogram.stability_delta())


def masks_of_pairs(
    maps: Sequence[torch.Tensor], pairs: Iterable[tuple[int, int]], levels: Levels
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """For each pair, where the local features of either image match those of the other.

    Local features of both are detected and spatially matched, from the first to the second; a mask
    is true in the regions of the inliers, in the channel of each, and nowhere in a channel that
    has none. Nothing is drawn, so equal maps give equal masks.

    Args:
        maps: of each image, ``(k, h, w)`` float, after ReLU. No gradient goes through what is
            done here.
        pairs: ``(first, second)``, places in ``maps``. Images are detected once; pairs that
            follow one another with one first image are matched together.
        levels: see :func:`levels_of`.

    Returns:
        Masks of the first and of the second, bool, of the shapes of their maps, on their device.
        Maps that are not finite match nothing, so that all of them is pooled, and the loss tells.
    """
    pairs = list(pairs)
    located = {
        place: _located(maps[place], levels)
        for place in sorted({place for pair in pairs for place in pair})
    }
    found = _masks(located, pairs)
    return [
        (_tensor(mask, maps[first]), _tensor(other_mask, maps[second]))
        for (first, second), (mask, other_mask) in zip(pairs, found, strict=True)
    ]


class PairMasks:
    """See ``training.retrieval.encoder.Masks``; to be made before training begins."""

    def __init__(self) -> None:
        self._levels: Levels | None = None
        # As numba starts its threads it changes torch's number of them. That must not happen in
        # the middle of an epoch: rounding would depend on where a run was interrupted.
        numba.get_num_threads()

    def learn_levels(self, maps: Iterable[torch.Tensor]) -> None:
        """See :func:`levels_of`."""
        self._levels = levels_of(maps)

    def __call__(
        self, maps: Sequence[torch.Tensor], pairs: Iterable[tuple[int, int]]
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """See :func:`masks_of_pairs`."""
        if self._levels is None:
            raise ValueError("masks need levels, which are learnt first")
        return masks_of_pairs(maps, pairs, self._levels)


def _masks(
    located: dict[int, LocatedFeatures], pairs: list[tuple[int, int]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first, group in groupby(pairs, key=itemgetter(0)):
        others = [located[second] for _, second in group]
        matches = matching_features(located[first], others, _MATCHING)
        for other, (rows, other_rows) in zip(others, matches, strict=True):
            yield region_mask(located[first], rows), region_mask(other, other_rows)


def _located(maps: torch.Tensor, levels: Levels) -> LocatedFeatures:
    array = _array(maps if _is_finite(maps) else torch.zeros_like(maps))
    return locate(array, scale=levels.scale, delta=levels.delta, options=_DETECTION)


def _is_finite(maps: torch.Tensor) -> bool:
    return bool(maps.isfinite().all())


def _array(maps: torch.Tensor) -> np.ndarray:
    return maps.detach().float().cpu().contiguous().numpy()


def _tensor(mask: np.ndarray, maps: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(mask).to(maps.device)
