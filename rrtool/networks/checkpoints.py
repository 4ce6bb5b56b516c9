"""Weights files: plain torchvision state dicts, and the retrieval checkpoints with ``meta``."""

import hashlib
import http.client
import pickle  # only for the error that torch's weights-only unpickler raises
import re
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from rrtool.artifacts.digests import digest_of_file
from rrtool.errors import UsageError, WorkFailed

CONNECT_TIMEOUT_S = 5.0
_EXPECTED = "a state dict or a retrieval checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds (see ``Network`` for the meaning of the fields)."""

    source: str
    label: str
    digest: str
    state: dict[str, torch.Tensor]
    is_backbone: bool = False
    architecture: str | None = None
    pooling: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    gem_exponent: float | None = None
    projection: tuple[torch.Tensor, torch.Tensor] | None = None
    whitenings: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)


def read_checkpoint(path: str) -> Checkpoint:
    """Read a plain state dict, or a retrieval checkpoint with ``meta`` and ``state_dict``.

    Raises:
        UsageError: the file is missing, is no checkpoint, or would need code to be run.
    """
    content = _load_safely(path)
    label, digest = Path(path).name, digest_of_file(path)
    if isinstance(content, dict) and "meta" in content and "state_dict" in content:
        return _retrieval_checkpoint(path, label, digest, content)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not _is_state_dict(content):
        found = type(content).__name__
        raise UsageError("not a weights file", where=path, expected=_EXPECTED, found=found)
    return Checkpoint(path, label, digest, dict(content))


def _load_safely(path: str) -> Any:
    """torch's weights-only loader, with the numpy constructors that ``meta['Lw']`` needs."""
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numpy_constructors()):
            warnings.simplefilter("ignore")  # of what ends in an error anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(
            "no such weights file", where=path, todo="give a path, 'imagenet' or 'none'"
        ) from None
    except OSError as error:
        found = error.strerror or str(error)
        raise UsageError("cannot read the weights file", where=path, found=found) from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        found = _why_unreadable(error)
        raise UsageError(
            "not a readable weights file", where=path, expected=_EXPECTED, found=found
        ) from None


def _why_unreadable(error: Exception) -> str:
    """The heart of torch's message, which also explains how to switch the safety off."""
    text = str(error).strip()
    forbidden = re.search(r"Unsupported (?:global|class): .*?(?= was not|$)", text, re.MULTILINE)
    if forbidden:
        return f"code to run ({forbidden[0]})"
    if isinstance(error, pickle.UnpicklingError):
        return "another kind of file"
    return text.splitlines()[0].split(". ")[0] if text else "an empty file"


def _numpy_constructors() -> list[Any]:
    """The constructors that pickled numpy arrays name, under numpy's old and new module path."""
    multiarray = getattr(np, "_core", None) or np.core
    functions = {name: getattr(multiarray.multiarray, name) for name in ("_reconstruct", "scalar")}
    return [
        *(
            (function, f"numpy.{module}.multiarray.{name}")
            for name, function in functions.items()
            for module in ("core", "_core")
        ),
        np.ndarray,
        np.dtype,
        *(type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8", "u1", "b1")),
    ]


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(key, str) for key in content)
        and all(isinstance(value, torch.Tensor) for value in content.values())
    )


def _retrieval_checkpoint(path: str, label: str, digest: str, content: dict) -> Checkpoint:
    meta, state = content["meta"], content["state_dict"]
    if not isinstance(meta, dict) or not _is_state_dict(state):
        raise UsageError("damaged retrieval checkpoint: meta or state_dict is no table", where=path)
    prefix = "features."
    exponent = state.get("pool.p")
    projection = None
    if "whiten.weight" in state:
        bias = state.get("whiten.bias", torch.zeros(len(state["whiten.weight"])))
        projection = (state["whiten.weight"].float(), bias.float())
    return Checkpoint(
        path,
        label,
        digest,
        {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)},
        is_backbone=True,
        architecture=meta.get("architecture"),
        pooling=meta.get("pooling"),
        mean=_three(meta.get("mean"), path),
        std=_three(meta.get("std"), path),
        # Each channel may have an exponent of its own; the released networks share one.
        gem_exponent=None if exponent is None else float(exponent.float().mean()),
        projection=projection,
        whitenings=_whitenings(meta.get("Lw") or {}, path),
    )


def _three(values: Any, path: str) -> tuple[float, ...] | None:
    if values is None:
        return None
    numbers = tuple(float(value) for value in np.ravel(values))
    if len(numbers) != 3:
        raise UsageError("mean and std have three values", where=path, found=str(len(numbers)))
    return numbers


def _whitenings(
    learned: dict[str, Any], path: str
) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """``meta['Lw'][set]['ss' | 'ms']`` → mean ``(k,)`` and projection ``(d, k)``, float32."""
    found: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for name, by_scales in learned.items():
        for scales, parts in by_scales.items():
            mean = np.asarray(parts["m"], dtype=np.float32).ravel()
            projection = np.asarray(parts["P"], dtype=np.float32)
            if projection.ndim != 2 or projection.shape[1] != len(mean):
                what = f"the whitening {name}/{scales} has mismatched shapes"
                raise UsageError(what, where=path, found=f"m {mean.shape}, P {projection.shape}")
            found.setdefault(name, {})[scales] = (mean, projection)
    return found


def read_imagenet_weights(name: str) -> Checkpoint:
    """torchvision's ImageNet weights: from torch's cache, else downloaded once.

    Raises:
        WorkFailed: not cached, and the host can't be reached within seconds.
    """
    entry = torchvision.models.get_model_weights(name).DEFAULT
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    if not cached.is_file():
        _download(entry.url, cached)
    path = str(cached)
    return Checkpoint(path, f"imagenet ({entry})", digest_of_file(path), dict(_load_safely(path)))


def _download(url: str, target: Path) -> None:
    """Fetch to a temporary name, check the hash in torchvision's file name, rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    digest = hashlib.sha256()
    try:
        with (
            urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT_S) as answer,  # noqa: S310
            partial.open("wb") as file,
        ):
            while block := answer.read(1 << 20):
                digest.update(block)
                file.write(block)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        partial.unlink(missing_ok=True)
        raise WorkFailed(
            "the ImageNet weights are not cached and cannot be downloaded",
            where=target.name,
            found=str(getattr(error, "reason", error)),
            todo="give --weights a file, or --weights none for an untrained network",
        ) from None
    expected = target.stem.rpartition("-")[2]
    if not digest.hexdigest().startswith(expected):
        partial.unlink(missing_ok=True)
        raise WorkFailed(
            "the downloaded weights are damaged",
            where=target.name,
            expected=f"SHA-256 {expected}…",
            found=digest.hexdigest()[: len(expected)],
            todo="try again",
        )
    partial.replace(target)


def digest_of_state(state: dict[str, torch.Tensor]) -> str:
    """BLAKE2b-128 of the names and values of a state dict."""
    digest = hashlib.blake2b(digest_size=16)
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].contiguous().numpy().tobytes())
    return digest.hexdigest()
