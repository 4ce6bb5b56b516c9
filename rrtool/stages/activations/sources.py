"""Activation maps of a collection, one batch of images at a time, from a network or an artifact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional

from rrtool.artifacts import ActivationMaps
from rrtool.cores import Threads
from rrtool.errors import WorkFailed, printable
from rrtool.images.collection import Collection
from rrtool.images.content import as_row, digest_of_photo
from rrtool.images.decode import Box, DecodedImage, ImageError, decode_image
from rrtool.images.prefetch import default_workers, prefetch
from rrtool.networks import Network
from rrtool.stages.activations.options import InferenceOptions
from rrtool.stages.activations.zoom import Zoom


@dataclass(frozen=True)
class ActivationBatch:
    """Activations of images of equal size, or the reason why there are none of one image.

    Attributes:
        part: number of the part of the output that these rows belong to.
        rows: row ids.
        image_sizes: ``(b, 2)`` full ``(width, height)`` in pixels; zero where unknown.
        boxes: ``(b, 4)`` region of the full image that was described, in pixels.
        maps: one ``(b, k, h, w)`` float32 tensor per scale; a scale at which the image is too
            small for the network has ``h = w = 0``. Of a ``Zoom`` one a region, and last their
            places, see ``Zoom.shares``.
        failure: reason, for a single row without maps.
        digests: ``(b, 16)`` uint8, of the files; None where unknown.
    """

    part: int
    rows: list[int]
    image_sizes: np.ndarray
    boxes: np.ndarray
    maps: list[torch.Tensor]
    failure: str | None = None
    digests: np.ndarray | None = None

    @staticmethod
    def failed(
        part: int, row: int, reason: str, digests: np.ndarray | None = None
    ) -> ActivationBatch:
        nothing = np.zeros((1, 2)), np.zeros((1, 4)), list[torch.Tensor]()
        return ActivationBatch(part, [row], *nothing, reason, digests)


@dataclass(frozen=True)
class _Decoded:
    """A photo, or the reason why there is none.

    Attributes:
        digest: ``(1, 16)`` uint8, of its file.
    """

    part: int
    row: int
    image: DecodedImage | str
    digest: np.ndarray


class ActivationSource(Protocol):
    """Where activations come from."""

    def over(self, collection: Collection, first: int) -> ActivationSource:
        """The same of some rows alone, which count from zero.

        Args:
            collection: of these rows.
            first: the row that it begins with.
        """
        ...

    def batches(self, parts: Sequence[tuple[int, Sequence[int]]]) -> Iterator[ActivationBatch]:
        """All rows of all ``(part number, rows)``, part by part."""
        ...


def activation_maps(
    network: Network, pixels: torch.Tensor, scales: Sequence[float]
) -> list[torch.Tensor]:
    """The last activation maps of a batch at several scales (thesis §4.3.6, §4.4.1).

    Args:
        pixels: ``(b, H, W, 3)`` uint8 RGB on the network's device.
        scales: factors of the image size; bilinear resizing as in the released code.

    Returns:
        One ``(b, k, h, w)`` float32 tensor per scale, empty where the image is too small for
        the network. On a GPU the network runs in half precision.
    """
    device, images, maps = pixels.device, normalized(network, pixels), []
    for scale in scales:
        scaled = resized(images, scale)
        if min(scaled.shape[-2:]) < network.min_size:
            maps.append(torch.zeros(len(pixels), network.n_channels, 0, 0, device=device))
            continue
        with torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
            maps.append(network.backbone(scaled).float())
    return maps


def normalized(network: Network, pixels: torch.Tensor) -> torch.Tensor:
    """``(b, H, W, 3)`` uint8 RGB → ``(b, 3, H, W)`` float32, channels-last, which is fastest.

    The factors are repeated along whole rows: three at a time would take three times as long.
    """
    b, height, width, _ = pixels.shape
    std = torch.tensor(network.std, device=pixels.device)
    mean = torch.tensor(network.mean, device=pixels.device)
    factors, shifts = (1 / (255 * std)).repeat(width), (mean / std).repeat(width)
    rows = pixels.reshape(b, height, 3 * width).float().mul_(factors).sub_(shifts)
    return rows.view(b, height, width, 3).permute(0, 3, 1, 2)


def _scaled(side: int, scale: float) -> int:
    return max(1, int(side * scale))


def resized(images: torch.Tensor, scale: float) -> torch.Tensor:
    """Images ``(b, 3, H, W)`` with their sides multiplied by a factor, bilinear."""
    height, width = (_scaled(side, scale) for side in images.shape[-2:])
    if (height, width) == tuple(images.shape[-2:]):
        return images
    return functional.interpolate(images, (height, width), mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class NetworkSource:
    """Runs a network over image files; decoding runs ahead in threads."""

    network: Network
    collection: Collection
    options: InferenceOptions
    device: str
    threads: Threads = field(default_factory=Threads)
    zoom: Zoom | None = None

    def over(self, collection: Collection, first: int) -> NetworkSource:
        """See ``ActivationSource``."""
        return replace(self, collection=collection)

    def batches(self, parts: Sequence[tuple[int, Sequence[int]]]) -> Iterator[ActivationBatch]:
        """See ``ActivationSource``. Batches never span parts, so that a resumed run forms the
        same ones as an uninterrupted run does."""
        try:
            yield from self._batches(parts)
        finally:
            self.threads.restore()

    def _batches(self, parts: Sequence[tuple[int, Sequence[int]]]) -> Iterator[ActivationBatch]:
        batch_size = self.options.batch_size or (1 if self.device == "cpu" else 16)
        workers = self.options.workers or default_workers(self.device)
        rows = [(part, row) for part, members in parts for row in members]
        decoded = prefetch(self._decode, rows, workers, ahead=2 * max(workers, batch_size))
        for _, members in groupby(decoded, key=lambda photo: photo.part):
            waiting: dict[tuple[int, ...], list[_Decoded]] = {}
            for photo in members:
                if isinstance(photo.image, str):
                    yield _failed(photo, photo.image)
                    continue
                group = waiting.setdefault(photo.image.pixels.shape, [])
                group.append(photo)
                if len(group) == batch_size:
                    yield from self._run(waiting.pop(photo.image.pixels.shape))
            for group in waiting.values():
                yield from self._run(group)

    def photo(self, row: int) -> np.ndarray | None:
        """``(h, w, 3)`` uint8: the pixels of a row; None if it cannot be used."""
        image = self._decode((0, row)).image
        return None if isinstance(image, str) else image.pixels

    def _decode(self, item: tuple[int, int]) -> _Decoded:
        part, row = item
        path = self.collection.paths[row]
        digest = as_row(digest_of_photo(path, self.options.max_pixels))[None]
        return _Decoded(part, row, self._image(path, self.collection.boxes[row]), digest)

    def _image(self, path: str, box: Box | None) -> DecodedImage | str:
        try:
            image = decode_image(path, self.options.working_size, box, self.options.max_pixels)
        except ImageError as error:
            return str(error)
        height, width = image.pixels.shape[:2]
        least, largest = self.network.min_size, max(self.options.working_scales)
        if min(_scaled(height, largest), _scaled(width, largest)) < least:
            size = f"{width}×{height} pixels" + (f" × {largest:g}" if largest != 1 else "")
            return f"{size} are too few for the network ({least})"
        return image

    def _run(self, group: list[_Decoded]) -> Iterator[ActivationBatch]:
        part = group[0].part
        images = [photo.image for photo in group if isinstance(photo.image, DecodedImage)]
        self.threads.adjust()
        try:
            maps = self._maps(images)
        except RuntimeError as error:
            if self.device != "cpu":  # a GPU that failed once fails for all that follow
                raise
            yield from self._one_by_one(group, error)
            return
        # Summed in the order of memory, which takes a tenth of the time of any other.
        flat = [scale.permute(0, 2, 3, 1).flatten(1) for scale in maps]
        sums = torch.stack([scale.sum(dim=1) for scale in flat]).sum(dim=0)
        good = torch.isfinite(sums).cpu()
        for broken in torch.nonzero(~good).flatten().tolist():
            yield _failed(group[broken], "the network gave NaN or infinite activations")
        if not good.any():
            return
        kept = torch.nonzero(good).flatten().tolist()
        if self.zoom is not None:
            maps.append(self.zoom.shares(torch.from_numpy(np.stack([i.pixels for i in images]))))
        yield ActivationBatch(
            part,
            [group[place].row for place in kept],
            np.array([images[place].full_size for place in kept]),
            np.array([images[place].box for place in kept]),
            maps if good.all() else [scale[good.to(scale.device)] for scale in maps],
            digests=np.concatenate([group[place].digest for place in kept]),
        )

    def maps_of(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """See ``activation_maps``; of images on the CPU."""
        with torch.inference_mode():
            placed = pixels.to(self.device)
            if self.zoom is not None:
                return self.zoom.maps(self.network, normalized(self.network, placed))
            return activation_maps(self.network, placed, self.options.working_scales)

    def _one_by_one(self, group: list[_Decoded], error: RuntimeError) -> Iterator[ActivationBatch]:
        """A batch that failed again, so that the image at fault fails alone."""
        if len(group) > 1:
            for member in group:
                yield from self._run([member])
            return
        reason = printable(f"the network failed: {error}".splitlines()[0])
        yield _failed(group[0], reason)

    def _maps(self, images: list[DecodedImage]) -> list[torch.Tensor]:
        pixels = torch.from_numpy(np.stack([image.pixels for image in images]))
        try:
            return self.maps_of(pixels)
        except torch.OutOfMemoryError:
            raise WorkFailed(
                f"the GPU's memory does not hold a batch of {len(images)} images",
                todo="use a smaller --batch-size or --max-size",
            ) from None


def _failed(photo: _Decoded, reason: str) -> ActivationBatch:
    return ActivationBatch.failed(photo.part, photo.row, reason, photo.digest)


@dataclass(frozen=True)
class MapsSource:
    """Reads the maps of an ``activation-maps`` artifact, one image at a time.

    Attributes:
        maps: the artifact.
        first: its row that rows count from.
    """

    maps: ActivationMaps
    first: int = 0

    def over(self, collection: Collection, first: int) -> MapsSource:
        """See ``ActivationSource``."""
        return MapsSource(self.maps, first)

    def batches(self, parts: Sequence[tuple[int, Sequence[int]]]) -> Iterator[ActivationBatch]:
        """See ``ActivationSource``."""
        maps = self.maps
        status, reasons, sizes, boxes = maps.status, maps.reasons, maps.image_sizes, maps.boxes
        digests = maps.file_digests if ActivationMaps.file_digests in maps else None
        for part, rows in parts:
            for row in rows:
                own = self.first + row
                one = slice(own, own + 1)
                digest = None if digests is None else digests[one]
                if status[own]:
                    yield ActivationBatch.failed(part, row, reasons[own], digest)
                    continue
                tensors = [torch.from_numpy(m[None]) for m in maps.of(own)]
                yield ActivationBatch(part, [row], sizes[one], boxes[one], tensors, digests=digest)
