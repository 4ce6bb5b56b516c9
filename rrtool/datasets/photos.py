"""Photos of any size as small squares."""

import numpy as np
from PIL import Image

from rrtool.datasets.dataset import Dataset, channel_statistics
from rrtool.images.collection import Collection, collect
from rrtool.images.decode import ImageError, decode_image
from rrtool.images.prefetch import default_workers, prefetch
from rrtool.progress import Progress

# Decoded larger than needed, so that the last reduction sees all pixels that matter.
_OVERSIZE = 8
_AHEAD = 64


def load_photos(
    source: str, image_size: int, max_pixels: int, workers: int, progress: Progress
) -> Dataset:
    """A folder or list of images, as ``extract`` takes it, without labels.

    Each is cropped to the square in its middle, which becomes ``image_size`` pixels wide.

    Raises:
        UsageError: see ``list_images``.
    """
    collection = collect(source)
    images, reasons = _decoded(collection, image_size, max_pixels, workers, progress)
    status = np.array([bool(reason) for reason in reasons], np.uint8)
    mean, std = channel_statistics(images, status)
    return Dataset(
        images=images,
        names=collection.names,
        labels=np.full(len(images), -1, np.int32),
        class_names=[],
        test_images=images[:0],
        test_labels=np.zeros(0, np.int32),
        mean=mean,
        std=std,
        mirrored_alike=True,
        status=status,
        reasons=reasons,
        skipped=collection.skipped,
        inputs=collection.inputs,
        passed_over=collection.passed_over,
    )


def _decoded(
    collection: Collection, image_size: int, max_pixels: int, workers: int, progress: Progress
) -> tuple[np.ndarray, list[str]]:
    """Squares of all images, and why some could not be read."""

    def decode(path: str) -> np.ndarray | str:
        try:
            decoded = decode_image(path, _OVERSIZE * image_size, max_pixels=max_pixels)
            return square(decoded.pixels, image_size)
        except ImageError as error:
            return str(error)

    images = np.zeros((len(collection), image_size, image_size, 3), np.uint8)
    reasons = [""] * len(collection)
    found = prefetch(decode, collection.paths, workers or default_workers(), _AHEAD)
    with progress.task("decode", len(collection), "images") as advance:
        for row, result in enumerate(found):
            if isinstance(result, str):
                reasons[row] = result
            else:
                images[row] = result
            advance(1)
    return images, reasons


def square(pixels: np.ndarray, size: int) -> np.ndarray:
    """The square in the middle of an image, resized.

    Args:
        pixels: ``(h, w, 3)`` uint8.

    Returns:
        ``(size, size, 3)`` uint8; small images are enlarged.
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box))
