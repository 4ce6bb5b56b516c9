"""What a retrieval checkpoint computes after its backbone: whitening layers and pooling.

The layers and their names are those of the checkpoints' authors (Radenović et al.,
cnnimageretrieval-pytorch): activations → ``lwhiten``, a linear layer at every position → ``pool``,
or, if ``regional``, the pooled regions of R-MAC, each normalised, whitened and normalised, and
added up → normalised → ``whiten``, a linear layer → normalised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from rrtool.errors import UsageError
from rrtool.networks.values import floats

Linear = tuple[torch.Tensor, torch.Tensor]
# In the authors' network a regional pooling takes the place, and the name, of the pooling.
_EXPONENTS = ("pool.p", "pool.rpool.p", "rpool.p", "rpool.rpool.p")
_REGIONAL = ("pool.whiten.", "rpool.whiten.")
_LARGEST = 1 << 16  # dimensions of a descriptor


@dataclass(frozen=True)
class Head:
    """The layers after the backbone, float32 on the CPU, and the whitenings that ``meta`` holds.

    Attributes:
        pooling: its name in the checkpoint, None where it says nothing.
        exponent: learned exponent of GeM, ``(1,)``, or ``(k,)`` with one a channel.
        local: whitening at every position, weight ``(d, k)`` and bias ``(d,)``.
        regional: whitening of every region, as ``local``; None where images are pooled as wholes.
        projection: whitening of the pooled descriptor, as ``local``.
        whitenings: ``{set: {'ss' | 'ms': (mean (k,), projection (d, k))}}`` from ``meta['Lw']``.
        is_centred: whether a whitening wants the mean of the collection itself.
    """

    pooling: str | None = None
    exponent: torch.Tensor | None = None
    local: Linear | None = None
    regional: Linear | None = None
    projection: Linear | None = None
    whitenings: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)
    is_centred: bool = False


def pooling_name(pooling: str, *, by_channel: bool, is_regional: bool, is_local: bool) -> str:
    """What an artifact says of how its descriptors were pooled, with the layers within."""
    name = pooling + (" by channel" if by_channel and pooling == "gem" else "")
    name = f"regional {name}" if is_regional else name
    return f"{name} of whitened positions" if is_local else name


def is_of_head(key: str) -> bool:
    """Whether a tensor of this name belongs to the head."""
    return key in _EXPONENTS or key.startswith(("lwhiten.", "whiten.", *_REGIONAL))


def read_head(state: Mapping[str, torch.Tensor], meta: Mapping[str, Any], path: str) -> Head:
    """The head of a checkpoint.

    Args:
        state: the tensors for which ``is_of_head`` holds.
        meta: what the checkpoint says of itself.

    Raises:
        UsageError: a layer is missing, not finite, of a wrong shape, or not one of the above.
    """
    pooling = meta.get("pooling")
    if pooling is not None and not isinstance(pooling, str):
        raise _damaged("meta pooling is no name", path)
    rest, is_regional = dict(state), any("rpool." in key for key in state)
    region_whiten = "rpool.whiten" if "rpool.whiten.weight" in state else "pool.whiten"
    head = Head(
        "gem" if pooling == "gemmp" else pooling,
        _exponent(rest, path),
        _linear(rest, "lwhiten", _says(meta, "local_whitening", path), path),
        _linear(rest, region_whiten, is_regional or _says(meta, "regional", path), path),
        _linear(rest, "whiten", _says(meta, "whitening", path), path),
        _whitenings(meta.get("Lw") or {}, path),
    )
    if rest:
        what = "unknown layers of a retrieval checkpoint"
        raise UsageError(what, where=path, found=", ".join(sorted(rest)[:3]))
    return head


def _damaged(what: str, path: str) -> UsageError:
    return UsageError(f"damaged retrieval checkpoint: {what}", where=path)


def _says(meta: Mapping[str, Any], key: str, path: str) -> bool:
    value = meta.get(key)
    if not isinstance(value, (bool, np.bool_, type(None))):
        raise _damaged(f"meta {key} is neither true nor false", path)
    return bool(value)


def _exponent(rest: dict[str, torch.Tensor], path: str) -> torch.Tensor | None:
    """Taken out of ``rest``; of several that are equal the first."""
    found = [floats(key, rest.pop(key), path).ravel() for key in _EXPONENTS if key in rest]
    if not found:
        return None
    if any(not torch.equal(each, found[0]) for each in found):
        raise _damaged("it has two exponents of its pooling", path)
    if not found[0].numel() or not bool((found[0] > 0).all()):
        raise UsageError(
            "the exponent of the checkpoint's pooling is not positive", where=path,
            found=f"{float(found[0].min()):g}" if found[0].numel() else "none",
        )  # fmt: skip
    return found[0]


def _linear(rest: dict[str, torch.Tensor], name: str, wanted: bool, path: str) -> Linear | None:
    """A linear layer, taken out of ``rest``."""
    if f"{name}.weight" not in rest:
        if wanted:
            what = "the checkpoint says that it has a layer which it lacks"
            raise UsageError(what, where=path, expected=f"{name}.weight")
        return None
    weight = floats(f"{name}.weight", rest.pop(f"{name}.weight"), path)
    given = rest.pop(f"{name}.bias", None)
    bias = (
        weight.new_zeros(weight.shape[:1]) if given is None else floats(f"{name}.bias", given, path)
    )
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise _damaged(f"{name} is no linear layer", path)
    return weight, bias


def require_chain(head: Head, n_channels: int, path: str) -> None:
    """Each layer takes what the one before it gives.

    Raises:
        UsageError: naming the first that does not.
    """
    n = _out("lwhiten", head.local, n_channels, path)
    if head.exponent is not None and len(head.exponent) not in (1, n):
        raise _misfit("exponent of the pooling", n, len(head.exponent), path)
    n = _out("whitening of regions", head.regional, n, path)
    n = _out("whiten", head.projection, n, path)
    for name, forms in head.whitenings.items():
        for form, (mean, _) in forms.items():
            if len(mean) != n:
                raise _misfit(f"whitening {name}/{form}", n, len(mean), path)


def _out(name: str, layer: Linear | None, n: int, path: str) -> int:
    if layer is None:
        return n
    if layer[0].shape[1] != n:
        raise _misfit(name, n, layer[0].shape[1], path)
    return len(layer[0])


def _misfit(name: str, expected: int, found: int, path: str) -> UsageError:
    return UsageError(
        f"the checkpoint's {name} does not fit its other layers", where=path,
        expected=f"{expected} channels", found=found,
    )  # fmt: skip


def _whitenings(learned: Any, path: str) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """``meta['Lw'][set]['ss' | 'ms']`` → mean ``(k,)`` and projection ``(d, k)``, float32."""
    found: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for name, forms in _table(learned, "meta Lw", path).items():
        for form, parts in _table(forms, f"whitening {name}", path).items():
            known = _table(parts, f"whitening {name}/{form}", path)
            found.setdefault(str(name), {})[str(form)] = _whitening(known, f"{name}/{form}", path)
    return found


def _table(value: Any, name: str, path: str) -> Mapping[Any, Any]:
    if not isinstance(value, dict):
        raise _damaged(f"{name} is no table", path)
    return value


def _whitening(parts: Mapping[str, Any], name: str, path: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        mean, projection = (np.asarray(parts.get(key, ())) for key in ("m", "P"))
    except (TypeError, ValueError, RuntimeError):
        raise _damaged(f"the whitening {name} holds no numbers", path) from None
    # Before anything is converted: a file may claim any size.
    fits = projection.ndim == 2 and projection.shape[1] == mean.size == max(mean.shape, default=0)
    if not fits or not projection.size or max(projection.shape) > _LARGEST:
        what = f"the whitening {name} has mismatched shapes"
        raise UsageError(what, where=path, found=f"m {mean.shape}, P {projection.shape}")
    if not {mean.dtype.kind, projection.dtype.kind} <= set("fiu"):
        raise _damaged(f"the whitening {name} holds no numbers", path)
    with np.errstate(over="ignore"):
        learned = mean.astype(np.float32).ravel(), projection.astype(np.float32)
    if not all(np.isfinite(each).all() for each in learned):
        raise UsageError(f"the whitening {name} holds NaN or infinite values", where=path)
    return learned
