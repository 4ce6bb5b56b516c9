"""``onnx:FILE``: an ONNX graph from one image to one map, run by onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rrtool.artifacts.digests import digest_of_file
from rrtool.errors import UsageError
from rrtool.files import read_regular
from rrtool.networks.engines.onnx_session import onnx_session
from rrtool.networks.foreign.layout import smallest_side
from rrtool.networks.names import ONNX
from rrtool.networks.network import Network

_TRIED = (224, 320)
_FLOAT = "tensor(float)"


def load_onnx(name: str, *, upsample: bool) -> Network:
    """The graph of a file; its colours are ImageNet's.

    Raises:
        UsageError: onnxruntime is not installed; or the file is no graph with one input
            ``(b, 3, H, W)`` of any size and one output ``(b, k, h, w)``.
    """
    path = name.removeprefix(ONNX)
    if upsample:
        raise UsageError(
            "no up-sampled form of a graph is defined", where=path, todo="leave --upsample out"
        )
    session = _opened(path)
    batch = _require_image(session.get_inputs(), path)
    backbone = OnnxBackbone(session, one_by_one=isinstance(batch, int))
    n_channels = _require_map(backbone, session.get_outputs(), path)

    def works(side: int) -> bool:
        try:
            return min(backbone(torch.zeros(1, 3, side, side)).shape) > 0
        except RuntimeError:
            return False

    return Network(
        backbone, f"{ONNX}{Path(path).name}", n_channels, smallest_side(works),
        weights=Path(path).name, weights_digest=digest_of_file(path), trained=True,
    )  # fmt: skip


class OnnxBackbone(nn.Module):
    """The positive part of the map that a graph gives.

    Args:
        session: of onnxruntime.
        one_by_one: whether the graph takes one image at a time.
    """

    def __init__(self, session: Any, *, one_by_one: bool) -> None:
        super().__init__()
        self._session, self._one_by_one = session, one_by_one
        self._input = session.get_inputs()[0].name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(b, 3, H, W)`` → ``(b, k, h, w)`` on the same device, not negative.

        Raises:
            RuntimeError: the graph does not take images of this size; or an engine wants to trace
                what torch computes here, which is nothing.
        """
        if torch.jit.is_tracing():
            raise RuntimeError("an ONNX graph is run by onnxruntime alone")
        pixels = images.float().cpu().numpy()
        groups = np.split(pixels, len(pixels)) if self._one_by_one else [pixels]
        try:
            found = [self._session.run(None, {self._input: group})[0] for group in groups]
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no other base
            raise RuntimeError(str(error)) from None
        return torch.from_numpy(np.concatenate(found)).to(images.device).relu()


def _opened(path: str) -> Any:
    """A session of onnxruntime over a file, with as many threads as torch has."""
    try:
        # From bytes, so that it is all in this file, whose digest says what ran.
        return onnx_session(read_regular(path), torch.get_num_threads())
    except ImportError:
        raise UsageError(
            "a network of --network onnx: needs onnxruntime, which is not installed",
            todo="pip install 'rrtool[onnxruntime]'",
        ) from None
    except OSError as error:
        found = error.strerror or str(error)
        raise UsageError("cannot read the ONNX file", where=path, found=found) from None
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no other base
        raise _unusable(
            path, "an ONNX graph with its weights", _first_line(error),
            "export it again with its weights in the one file",
        ) from None  # fmt: skip


def _unusable(path: str, expected: str, found: str, todo: str | None = None) -> UsageError:
    return UsageError("not an ONNX file of a backbone", where=path, expected=expected, found=found,
                      todo=todo)  # fmt: skip


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _require_image(inputs: list[Any], path: str) -> object:
    """One input of any height and width; returns its first dimension, a number if it is fixed."""
    expected = "one input (b, 3, height, width) of any size, float32"
    if len(inputs) != 1:
        raise _unusable(path, expected, f"{len(inputs)} inputs")
    shape, kind = inputs[0].shape, inputs[0].type
    is_image = len(shape) == 4 and (shape[1] == 3 or not isinstance(shape[1], int))
    if not is_image or kind != _FLOAT or shape[0] not in (1, *_names(shape[:1])):
        raise _unusable(path, expected, f"{tuple(shape)} {kind}")
    if len(_names(shape[2:])) < 2:
        todo = "export it again with dynamic height and width"
        raise _unusable(path, expected, f"{tuple(shape)}", todo)
    return shape[0]


def _names(shape: list[Any]) -> list[Any]:
    """Dimensions that are not fixed."""
    return [each for each in shape if not isinstance(each, int)]


def _require_map(backbone: OnnxBackbone, outputs: list[Any], path: str) -> int:
    """One output that is a map; returns its channels."""
    expected = "one output (b, k, h, w), float32"
    if len(outputs) != 1:
        raise _unusable(path, expected, f"{len(outputs)} outputs")
    if outputs[0].type != _FLOAT:
        raise _unusable(path, expected, outputs[0].type)
    height, width = _TRIED
    try:
        shape = tuple(backbone(torch.zeros(1, 3, height, width)).shape)
    except RuntimeError as error:
        raise _unusable(path, f"a graph of {height}×{width} images", _first_line(error)) from None
    if len(shape) != 4 or shape[2] > height or shape[3] > width or max(shape[2:]) == 1:
        raise _unusable(path, expected, f"{shape} of {height}×{width} pixels")
    return shape[1]
