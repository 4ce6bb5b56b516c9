"""Which device to compute on."""

import ctypes

from rrtool.errors import UsageError


def resolve_device(device: str, *, gpu: bool = True) -> str:
    """``auto`` → the first GPU if there is one, else the CPU.

    torch takes seconds to import, so it is asked only on machines that have a CUDA driver.

    Args:
        gpu: False for work that only the CPU does: whatever is asked for, which must exist.

    Raises:
        UsageError: no such device.
    """
    kind, _, index = device.partition(":")
    if device != "auto" and (kind not in ("cpu", "cuda") or (index and not index.isdigit())):
        raise UsageError("unknown --device", expected="auto, cpu, cuda or cuda:<i>", found=device)
    if kind == "cpu" or (device == "auto" and not gpu):
        return "cpu"
    n_devices = _n_cuda_devices()
    if device == "auto":
        return "cuda:0" if n_devices else "cpu"
    if int(index or 0) >= n_devices:
        raise UsageError(
            f"there is no {device}", found=f"{n_devices} CUDA devices", todo="use --device cpu"
        )
    return f"cuda:{index or 0}" if gpu else "cpu"


def _n_cuda_devices() -> int:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    import torch

    return torch.cuda.device_count()
