"""Activation maps kept on disk, for stages that read them in place of running the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import torch

from rrtool.artifacts import ActivationMaps, offsets_of
from rrtool.artifacts.sparse import Sparse, to_half
from rrtool.options import Options
from rrtool.stages.activations.input import ActivationInput
from rrtool.stages.activations.task import Job, Part, Task
from rrtool.stages.driver import Datasets, Wanted

_values, _bits = attrgetter("values"), attrgetter("bits")


@dataclass(frozen=True)
class _SavedMap:
    """One image at one scale."""

    size: tuple[int, int]  # width, height
    bits: np.ndarray
    values: np.ndarray  # float16
    unit: float


def maps_job(path: str, asks: Options, activations: ActivationInput) -> Job:
    """Store the maps of every image, in half precision and without their zeros."""
    wanted = Wanted(path, ActivationMaps, activations.options, asks)
    n_scales = activations.n_scales
    task = Task(
        _describe, lambda part: [_columns(part, n_scales)], {"n_channels": activations.n_channels}
    )
    return Job([wanted], lambda known: task)


def _describe(maps: Sequence[torch.Tensor]) -> list[list[_SavedMap]]:
    per_scale = [scale.cpu().numpy() for scale in maps]
    return [[_saved(scale[i]) for scale in per_scale] for i in range(len(per_scale[0]))]


def _saved(activations: np.ndarray) -> _SavedMap:
    sparse = Sparse.of(np.ascontiguousarray(activations).ravel())
    values, unit = to_half(sparse.values)
    height, width = activations.shape[1:]
    return _SavedMap((width, height), sparse.bits, values, unit)


def _columns(part: Part, n_scales: int) -> Datasets:
    """The maps of the rows of a part: flat, in the order row, scale, channel, y, x."""

    def counts(of: Callable[[_SavedMap], np.ndarray]) -> np.ndarray:
        return part.dense(lambda saved: [len(of(each)) for each in saved], (n_scales,), np.int64)

    def flat(of: Callable[[_SavedMap], np.ndarray], dtype: type) -> np.ndarray:
        return part.joined(lambda saved: np.concatenate([of(each) for each in saved]), dtype=dtype)

    return ActivationMaps.columns(
        map_sizes=part.dense(lambda saved: [each.size for each in saved], (n_scales, 2), np.int32),
        activations=flat(_values, np.float16),
        offsets=offsets_of(counts(_values)),
        units=part.dense(lambda saved: [each.unit for each in saved], (n_scales,)),
        bits=flat(_bits, np.uint8),
        bits_offsets=offsets_of(counts(_bits)),
    )
