"""How what a model of timm gives becomes a map ``(b, k, h, w)``, found out by trying sizes.

Trying costs next to nothing: models without values (on the device ``meta``) compute shapes alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

_LARGEST_SIDE = 512  # that a smallest image may have
# Sides of images must be multiples of the patch, or of what later layers take apart or halve.
_MULTIPLES = (8, 16, 32, 64)
_ODD_SIZE = (229, 331)


@dataclass(frozen=True)
class Layout:
    """Where the map stands in what a model gives.

    Attributes:
        form: channels first, channels last, or tokens ``(b, p + h · w, k)``.
        n_channels: k.
        multiple: sides of images are resized to the nearest multiple of it, in pixels.
        stride: of tokens, in pixels.
        n_prefix: p, class token and registers.
        min_size: smallest side of an image, in pixels.
    """

    form: Literal["channels first", "channels last", "tokens"]
    n_channels: int
    multiple: int = 1
    stride: int = 1
    n_prefix: int = 0
    min_size: int = 1

    def fitted(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(b, 3, H, W)`` of the nearest size that the model takes, bilinear.

        They are not padded: a dark border would have tokens of its own, and a part of what is
        pooled. Sides change by half of a multiple at most.
        """
        size = [
            max(1, (side + self.multiple // 2) // self.multiple) * self.multiple
            for side in images.shape[-2:]
        ]
        if size == list(images.shape[-2:]):
            return images
        return functional.interpolate(images, size, mode="bilinear", align_corners=False)

    def map_of(self, found: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """``(b, k, h, w)`` from what the model gives of images of this size."""
        if self.form == "tokens":
            h, w = -(-height // self.stride), -(-width // self.stride)
            return found[:, self.n_prefix :].transpose(1, 2).unflatten(2, (h, w))
        return found if self.form == "channels first" else found.permute(0, 3, 1, 2)


def find_layout(model: Any) -> Layout | None:
    """The layout of a model of timm on the device ``meta``; None where it gives no map.

    A model whose images must have one size alone, such as the one that it was trained at, gives
    none either.
    """
    for multiple in _multiples(model):
        height, width = _ODD_SIZE if multiple == 1 else (
            multiple * (256 // multiple + 1), multiple * (320 // multiple + 2),
        )  # fmt: skip
        found = _tried(model, height, width)
        if found is not None:
            layout = _layout_of(model, found, height, width, multiple)
            return None if layout is None else _with_smallest_side(model, layout)
    return None


def _multiples(model: Any) -> Iterator[int]:
    yield 1
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    patch = max(patch) if isinstance(patch, (tuple, list)) else patch
    if isinstance(patch, int):
        yield patch
    yield from (each for each in _MULTIPLES if each != patch)


def _tried(model: Any, height: int, width: int) -> tuple[int, ...] | None:
    """The shape of what the model gives of an image of this size, if it takes it.

    Empty where it gives several things.
    """
    try:
        with torch.inference_mode():
            found = model.forward_features(torch.zeros(1, 3, height, width, device="meta"))
    except Exception:  # noqa: BLE001 - each family refuses a size by an error of its own
        return None
    return tuple(found.shape) if torch.is_tensor(found) else ()


def _layout_of(
    model: Any, shape: tuple[int, ...], height: int, width: int, multiple: int
) -> Layout | None:
    if len(shape) == 4:
        for form, axis in (("channels first", 1), ("channels last", 3)):
            if shape[axis] == model.num_features and max(shape[2 if axis == 1 else 1 :][:2]) > 1:
                return Layout(form, shape[axis], multiple)  # type: ignore[arg-type]
        return None
    n_prefix = getattr(model, "num_prefix_tokens", None) or 0
    infos = getattr(model, "feature_info", None)
    for stride in (multiple, infos[-1]["reduction"] if infos else 1):
        n_cells = -(-height // stride) * -(-width // stride)
        if stride > 1 and len(shape) == 3 and shape[1] == n_prefix + n_cells:
            return Layout("tokens", shape[2], multiple, stride, n_prefix)
    return None


def _with_smallest_side(model: Any, layout: Layout) -> Layout:
    def works(side: int) -> bool:
        found = _tried(model, side, side)
        return min(found or (0,)) > 0

    step = layout.multiple
    return replace(layout, min_size=step * smallest_side(lambda n: works(n * step)))


def smallest_side(works: Callable[[int], bool]) -> int:
    """The smallest side of an image that works, if all larger ones do."""
    if works(1):
        return 1
    low, high = 1, _LARGEST_SIDE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


class MapsOf(nn.Module):
    """The positive part of a model's map (docs/networks.md says why)."""

    def __init__(self, model: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.model, self.layout = model, layout

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(b, 3, H, W)`` → ``(b, k, h, w)``, not negative."""
        images = self.layout.fitted(images)
        found = self.model.forward_features(images)  # type: ignore[operator]
        return self.layout.map_of(found, *images.shape[-2:]).relu()


class ClassTokenOf(nn.Module):
    """A model's class token in the place of a map of one cell."""

    def __init__(self, model: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.model, self.layout = model, layout

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(b, 3, H, W)`` → ``(b, k, 1, 1)``, of any sign."""
        found = self.model.forward_features(self.layout.fitted(images))  # type: ignore[operator]
        return found[:, 0, :, None, None]
