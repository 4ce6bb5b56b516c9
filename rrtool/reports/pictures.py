"""The pictures of a page, found by the names that the artifacts carry."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial

import numpy as np
from PIL import Image

from rrtool.errors import UsageError, printable
from rrtool.images.decode import ImageError, decode_image
from rrtool.images.listing import list_images
from rrtool.progress import Progress

_THUMBNAIL = 160  # longer side in pixels


class Pictures:
    """Images by name, shrunk; thumbnails are kept, for they recur.

    Args:
        source: folder or list of the images, as for ``extract``; or their paths by name.
        names: those that will be asked for.

    Attributes:
        path: tells where an image is; None if it is not among these.
        missing: names of those that could not be shown.

    Raises:
        UsageError: none of ``names`` is among the images.
    """

    def __init__(self, source: str | Mapping[str, str], names: Sequence[str]) -> None:
        self.path = _finder(source)
        if not any(self.path(name) for name in names):
            known = list_images(source).names if isinstance(source, str) else list(source)
            raise UsageError(
                "none of the artifact's images is among these",
                where=source if isinstance(source, str) else None,
                expected=", ".join(names[:3]),
                found=", ".join(known[:3]),
            )
        self.missing: set[str] = set()
        self.thumbnail = lru_cache(maxsize=2000)(self._thumbnail)

    def _thumbnail(self, name: str) -> Image.Image | None:
        loaded = self.load(name, _THUMBNAIL)
        return None if loaded is None else loaded[0]

    def crop(self, name: str, box: np.ndarray, size: int, max_size: int) -> Image.Image | None:
        """A part of an image.

        Args:
            box: ``(x0, y0, x1, y1)`` in pixels of the whole image.
            size: the longer side of the image that is cut, before it is cut.
            max_size: the longer side of the part is shrunk to this.
        """
        loaded = self.load(name, size)
        if loaded is None:
            return None
        picture, shrunk = loaded
        edges = np.nan_to_num(box * shrunk).round().clip(0, picture.size * 2)
        x0, y0, x1, y1 = edges.astype(int).tolist()
        part = picture.crop((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))
        part.thumbnail((max_size, max_size), Image.Resampling.LANCZOS)
        return part

    def load(self, name: str, max_size: int) -> tuple[Image.Image, float] | None:
        """The upright image and by what factor it is shrunk; None if it cannot be read."""
        path = self.path(name)
        try:
            decoded = decode_image(path, max_size) if path is not None else None
        except ImageError:
            decoded = None
        if decoded is None:
            self.missing.add(printable(name))
            return None
        return Image.fromarray(decoded.pixels), decoded.pixels.shape[1] / decoded.full_size[0]


def _finder(source: str | Mapping[str, str]) -> Callable[[str], str | None]:
    if not isinstance(source, str):
        return source.get
    if os.path.isdir(source):
        return partial(_path_in, source)
    listed = list_images(source)
    return dict(zip(listed.names, listed.paths, strict=True)).get


def _path_in(folder: str, name: str) -> str | None:
    """Where an image of a folder is, which is not listed for the few of a million that are shown.

    As in ``list_images``, nothing outside the folder and nothing hidden is an image.
    """
    path = os.path.join(folder, name)
    is_inside = all(part and not part.startswith(".") for part in name.split("/"))
    return path if is_inside and os.path.isfile(path) else None


def tell_missing(progress: Progress, *all_pictures: Pictures) -> None:
    """Say how many images could not be shown, if any."""
    missing = set().union(*(pictures.missing for pictures in all_pictures))
    if missing:
        progress.message(f"{len(missing)} images cannot be shown, e.g. {min(missing)}")


def evenly_spaced(n: int, most: int) -> list[int]:
    """At most ``most`` of ``n`` rows, first and last among them."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).round()).astype(int).tolist()
