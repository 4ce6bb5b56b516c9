"""The values of a foreign tensor."""

import torch

from rrtool.errors import UsageError


def floats(name: str, tensor: torch.Tensor, path: str) -> torch.Tensor:
    """The values as a float32 tensor of its own, on the CPU.

    Raises:
        UsageError: they are no real numbers, not all there, or not all finite.
    """
    if not tensor.is_floating_point() or tensor.layout != torch.strided or not tensor.is_cpu:
        raise UsageError(f"{name} holds no plain numbers", where=path, found=_form(tensor))
    # A view may claim any size, such as one number repeated without end.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UsageError(f"{name} claims more values than the file holds", where=path)
    values = tensor.detach().to(torch.float32, copy=True).contiguous()
    if not bool(values.isfinite().all()):
        raise UsageError(
            f"{name} holds NaN or infinite values", where=path, todo="take an earlier checkpoint"
        )
    return values


def _form(tensor: torch.Tensor) -> str:
    place = "" if tensor.is_cpu else f" on {tensor.device}"
    return f"{tensor.layout} {tensor.dtype}{place}".replace("torch.", "")
