"""Images that are looked at in advance, and go through the network once all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from rrtool.artifacts.sparse import Sparse
from rrtool.images.collection import Collection
from rrtool.stages.activations.sources import ActivationBatch, ActivationSource

# Of a sample of 64 photos of 1024 pixels SqueezeNet's maps take about 110 MB.
KEPT_BYTES = 512 << 20


@dataclass(frozen=True)
class _KeptMap:
    """A tensor without its zeros, to the last bit, and in the same order in memory: sums depend on
    it."""

    sparse: Sparse
    shape: tuple[int, ...]
    order: tuple[int, ...]
    device: torch.device

    @staticmethod
    def of(maps: torch.Tensor) -> _KeptMap:
        strides = maps.stride()
        order = tuple(sorted(range(maps.ndim), key=lambda axis: -strides[axis]))
        in_memory = maps.permute(order).cpu().contiguous()
        sparse = Sparse.of(in_memory.numpy().ravel())
        return _KeptMap(sparse, tuple(in_memory.shape), order, maps.device)

    def tensor(self) -> torch.Tensor:
        in_memory = torch.from_numpy(self.sparse.dense()).to(self.device).reshape(self.shape)
        return in_memory.permute(tuple(np.argsort(self.order).tolist()))


@dataclass(frozen=True)
class _KeptImage:
    batch: ActivationBatch  # without its maps
    maps: list[_KeptMap]

    def for_part(self, number: int) -> ActivationBatch:
        return replace(self.batch, part=number, maps=[each.tensor() for each in self.maps])


class SampledSource:
    """A source that keeps the maps of a sample until their rows come.

    Which rows are kept depends on the sample alone, so that a run that goes on forms the same
    batches of the others as one that was never interrupted.

    Args:
        source: of the activations.
        limit: bytes that may be kept; images beyond it go through the network again.
    """

    def __init__(self, source: ActivationSource, limit: int = KEPT_BYTES) -> None:
        self.source = source
        self._limit = limit
        self._kept: dict[int, _KeptImage] = {}

    def over(self, collection: Collection, first: int) -> ActivationSource:
        """See ``ActivationSource``; nothing is kept of these."""
        return self.source.over(collection, first)

    def sample(self, rows: Sequence[int]) -> Iterator[ActivationBatch]:
        """The batches of some rows, in advance."""
        n_bytes = 0
        for batch in self.source.batches([(0, rows)]):
            yield batch
            for image in _images_of(batch) if n_bytes < self._limit else ():
                n_bytes += sum(each.sparse.nbytes for each in image.maps)
                if n_bytes <= self._limit:
                    self._kept[image.batch.rows[0]] = image

    def batches(self, parts: Sequence[tuple[int, Sequence[int]]]) -> Iterator[ActivationBatch]:
        """See ``ActivationSource``; kept images come before the others of their part."""
        others = [
            (number, [row for row in rows if row not in self._kept]) for number, rows in parts
        ]
        waiting = iter(parts)
        reached = -1
        for batch in self.source.batches(others):
            while reached < batch.part:
                reached, rows = next(waiting)
                yield from self._released(reached, rows)
            yield batch
        for number, rows in waiting:
            yield from self._released(number, rows)

    def _released(self, number: int, rows: Sequence[int]) -> Iterator[ActivationBatch]:
        for row in rows:
            image = self._kept.pop(row, None)
            if image is not None:
                yield image.for_part(number)


def _images_of(batch: ActivationBatch) -> Iterator[_KeptImage]:
    for place, row in enumerate(batch.rows):
        one = slice(place, place + 1)
        alone = replace(
            batch, rows=[row], image_sizes=batch.image_sizes[one], boxes=batch.boxes[one], maps=[],
            digests=None if batch.digests is None else batch.digests[one],
        )  # fmt: skip
        yield _KeptImage(alone, [_KeptMap.of(scale[one]) for scale in batch.maps])
