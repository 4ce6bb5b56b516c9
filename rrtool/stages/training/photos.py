"""The photos of a training run, as the layers that learn take them; kept as far as they fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from rrtool.errors import WorkFailed
from rrtool.images.decode import DecodedImage, ImageError, decode_image
from rrtool.images.prefetch import default_workers, prefetch
from rrtool.stages.activations.sources import normalized, resized
from rrtool.stages.training.train_options import TrainOptions
from rrtool.training.retrieval.trainable import Trainable

_AHEAD = 8
_MISSING = "it is not there"


class KeptPhotos:
    """See ``training.retrieval.encoder.Images``.

    A photo is decoded at ``--image-size`` at its own aspect ratio, and is never varied: so what is
    kept is what a second decoding would give. Where the first layers are frozen, their maps are
    kept in the place of pixels.

    Args:
        paths: of all photos; None where one is not there.
        limit: bytes that may be kept.

    Attributes:
        failures: why a photo cannot be used, by row, of those that were asked for.
        n_bytes: that are kept.
    """

    def __init__(
        self,
        paths: Sequence[str | None],
        trainable: Trainable,
        options: TrainOptions,
        limit: int,
    ) -> None:
        self._paths, self._trainable, self._options = paths, trainable, options
        self._device, self._limit = options.device, limit
        self._kept: dict[tuple[int, float], torch.Tensor] = {}
        self.failures: dict[int, str] = {}
        self.n_bytes = 0

    def __call__(
        self, rows: Sequence[int] | np.ndarray, scale: float = 1.0
    ) -> Iterator[torch.Tensor | None]:
        """See ``Images``."""
        wanted = [int(row) for row in rows]
        workers = self._options.workers or default_workers(self._device)
        decoded = prefetch(lambda row: self._found(row, scale), wanted, workers, _AHEAD)
        for row, found in zip(wanted, decoded, strict=True):
            yield self._given(row, scale, found)

    def _found(self, row: int, scale: float) -> torch.Tensor | DecodedImage | str:
        """What is kept, or the photo, or why there is none."""
        kept, path = self._kept.get((row, scale)), self._paths[row]
        if kept is not None:
            return kept
        if path is None or row in self.failures:
            return self.failures.get(row, _MISSING)
        try:
            options = self._options
            return decode_image(path, options.image_size, max_pixels=options.max_pixels)
        except ImageError as error:
            return str(error)

    def _given(
        self, row: int, scale: float, found: torch.Tensor | DecodedImage | str
    ) -> torch.Tensor | None:
        if isinstance(found, DecodedImage):
            pixels = torch.from_numpy(found.pixels.copy())[None]
            found = self._prepared(pixels, scale)
            if isinstance(found, torch.Tensor):
                self._keep(row, scale, found)
            elif scale != 1.0:
                return None  # too small at this scale alone
        if isinstance(found, str):
            self.failures[row] = found
            return None
        if found.dtype == torch.uint8:  # pixels
            return self._normalized(found, scale)
        return found.to(self._device)

    def _prepared(self, pixels: torch.Tensor, scale: float) -> torch.Tensor | str:
        """What is kept of ``(1, h, w, 3)`` uint8: these, or the maps of the frozen layers."""
        height, width = (int(scale * side) for side in pixels.shape[1:3])
        if min(height, width) < self._trainable.network.min_size:
            least = self._trainable.network.min_size
            return f"{width}×{height} pixels are too few for the network ({least})"
        if not len(self._trainable.before):
            return pixels
        with torch.no_grad():
            return self._trainable.before(self._normalized(pixels, scale)).cpu()

    def _normalized(self, pixels: torch.Tensor, scale: float) -> torch.Tensor:
        images = normalized(self._trainable.network, pixels.to(self._device))
        return resized(images, scale)

    def _keep(self, row: int, scale: float, found: torch.Tensor) -> None:
        size = found.element_size() * found.nelement()
        if self.n_bytes + size <= self._limit:
            self._kept[row, scale] = found
            self.n_bytes += size


def bytes_of_photo(trainable: Trainable, side: int) -> int:
    """Memory that a photo of 4 : 3 takes while it is kept."""
    height = max(trainable.network.min_size, 3 * side // 4)
    if not len(trainable.before):
        return 3 * side * height
    device = next(trainable.before.parameters()).device
    with torch.no_grad():
        return 4 * trainable.before(torch.zeros(1, 3, height, side, device=device)).nelement()


def out_of_memory(error: torch.OutOfMemoryError) -> WorkFailed:
    """The error for a GPU that is too small for a tuple."""
    return WorkFailed(
        "the GPU's memory does not hold the images of a tuple", found=str(error).splitlines()[0],
        todo="use a smaller --image-size or fewer --negatives",
    )  # fmt: skip
