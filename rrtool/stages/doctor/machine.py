"""What this machine has, and how fast each engine runs the default network on it."""

import os
import platform
import time
from importlib import metadata
from typing import Any

from rrtool import cores
from rrtool.devices import resolve_device
from rrtool.progress import Progress
from rrtool.stages.memory import available_memory, memory_limit
from rrtool.version import VERSION

_LIBRARIES = (
    "numpy", "scipy", "h5py", "pillow", "pillow-heif", "numba", "torch", "torchvision", "timm",
    "faiss-cpu", "faiss-gpu-cu12", "openvino", "onnxruntime", "networkit", "pyarrow",
)  # fmt: skip
_WINDOW_S = 0.3  # in which cores are watched
_SIDE = 512  # of the picture that engines are measured with, pixels
_RUNS = 3
_GIB = 1 << 30


def versions() -> dict[str, str]:
    """Of rrtool, Python and the libraries; of a library that is not installed, that."""
    found = {"rrtool": VERSION, "Python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """Cores, memory and GPU, in words."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "system": platform.platform(),
        "cores": f"{n_cores}, {_free_cores(n_cores or 1)} free at the moment",
        "memory": _memory(),
        "GPU": _gpu(),
    }


def _free_cores(n_cores: int) -> str:
    before = cores.sample()
    time.sleep(_WINDOW_S)
    now = cores.sample()
    return "unknown" if before is None or now is None else str(cores.n_free(before, now, n_cores))


def _memory() -> str:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = f"{total / _GIB:.1f} GiB"
    available, limit = available_memory(), memory_limit()
    if available is not None:
        text += f", {available / _GIB:.1f} GiB free at the moment"
    if limit is not None and limit < total:
        text += f", at most {limit / _GIB:.1f} GiB for this container"
    return text


def _gpu() -> str:
    device = resolve_device("auto")
    if device == "cpu":
        return "none that CUDA sees"
    import torch

    memory = torch.cuda.get_device_properties(device).total_memory
    return f"{torch.cuda.get_device_name(device)}, {memory / _GIB:.1f} GiB"


def engines(progress: Progress) -> tuple[list[dict[str, Any]], list[str]]:
    """Each engine that is installed on the default network and a picture of 512 × 512 pixels.

    Returns:
        Of each engine its time, how many times as fast as torch in float32 it is, the cosine of
        its descriptor to torch's, and what it is good for; and what is wrong.
    """
    import torch

    from rrtool.networks import load_network
    from rrtool.networks.engines import PLAIN, Unavailable, build, candidates
    from rrtool.networks.names import AUTO, DEFAULT
    from rrtool.stages.activations.engines import LEAST_COSINE, WORTH_IT

    backbone = load_network(DEFAULT, AUTO).backbone
    expected, plain_s = _measured(backbone)
    rows, wrong, has_choice = [], [], False
    found = candidates("auto", "auto", in_bfloat16=True)
    with progress.task("engines", len(found), "engines") as advance:
        for engine in found:
            advance(1)
            if engine == PLAIN:
                good_for = "every network, and fewer photos"
                rows.append(_row(str(engine), plain_s, 1.0, 1.0, good_for))
                continue
            try:
                running = build(backbone, engine, torch.get_num_threads())
                descriptor, seconds = _measured(running)
            except (Unavailable, RuntimeError) as error:
                wrong.append(f"the engine {engine} is installed and does not run: {error}")
                continue
            cosine = float(expected @ descriptor)
            good_for = f"nothing here: its descriptors are not torch's (cosine {cosine:.5f})"
            if cosine >= LEAST_COSINE:
                good_for = "only where it is asked for"
                if not has_choice:
                    good_for, has_choice = f"{WORTH_IT} photos or more, by itself", True
            rows.append(_row(str(engine), seconds, plain_s / seconds, cosine, good_for))
    return rows, wrong


def _row(engine: str, seconds: float, speed: float, cosine: float, good_for: str) -> dict[str, Any]:
    return {
        "engine": engine, "milliseconds": round(1000 * seconds, 1),
        "times as fast as torch": round(speed, 2), "cosine": round(cosine, 6),
        "good for": good_for,
    }  # fmt: skip


def _measured(backbone: Any) -> tuple[Any, float]:
    """The descriptor ``(k,)`` of a made picture, and the shortest of some runs, seconds."""
    import torch

    from rrtool.core.retrieval.pooling import gem, l2_normalize

    generator = torch.Generator().manual_seed(0)
    picture = torch.rand((1, 3, _SIDE // 16, _SIDE // 16), generator=generator)
    images = torch.nn.functional.interpolate(picture, size=(_SIDE, _SIDE), mode="bilinear")
    images = images.contiguous(memory_format=torch.channels_last) * 4 - 2
    times = []
    with torch.inference_mode():
        maps = backbone(images)  # the first run allocates
        for _ in range(_RUNS):
            started = time.monotonic()
            maps = backbone(images)
            times.append(time.monotonic() - started)
        descriptor = l2_normalize(gem(maps.float().clamp_min(0)))[0]
    return descriptor, min(times)
