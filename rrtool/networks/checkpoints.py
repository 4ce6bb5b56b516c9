"""Checkpoints: which entry of a weights file holds the weights, and what the file says of them."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rrtool.artifacts.digests import digest_of_file
from rrtool.errors import UsageError
from rrtool.networks.head import Head, is_of_head, read_head
from rrtool.networks.weights_file import EXPECTED, read_weights_file

State = Mapping[str, torch.Tensor]
# What training scripts call the entry of the weights, the likeliest first.
_ENTRIES = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
# Averages over the last steps of training, which are what their authors evaluate.
_AVERAGED = re.compile(r"(^|_)ema(_|$)")
_DEEPEST = 3
# Around a whole model: of DataParallel, of torch.compile, and attributes of a training script.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "net.", "network.")


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds.

    Attributes:
        source: its path.
        label: its name, for people.
        digest: of its bytes.
        state: tensors by name, but those of the head.
        architecture, mean, std: what it says of itself, if anything.
        head: the layers after the backbone.
        notes: what was chosen or left out, in sentences for people.
    """

    source: str
    label: str
    digest: str
    state: State
    architecture: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    head: Head = field(default_factory=Head)
    notes: tuple[str, ...] = ()


def read_checkpoint(path: str) -> Checkpoint:
    """Read a state dict, a retrieval checkpoint, or what a training script saved around one.

    Raises:
        UsageError: the file is missing, is no checkpoint, or would need code to be run.
    """
    content = read_weights_file(path)
    entry, given = _choose(content, path)
    state = _unwrapped({key: value for key, value in given.items() if torch.is_tensor(value)})
    meta = content.get("meta") if entry else None
    if meta is not None and not isinstance(meta, dict):
        raise UsageError("damaged retrieval checkpoint: meta is no table", where=path)
    meta = meta or {}
    architecture = meta.get("architecture")
    if not isinstance(architecture, (str, type(None))):
        raise UsageError("damaged retrieval checkpoint: architecture is no name", where=path)
    left = [*(key for key in content if entry and key not in (entry[0], "meta")),
            *(key for key in given if not torch.is_tensor(given[key]))]  # fmt: skip
    return Checkpoint(
        path,
        Path(path).name,
        digest_of_file(path),
        {key: value for key, value in state.items() if not is_of_head(key)},
        architecture,
        _three(meta, "mean", path),
        _three(meta, "std", path),
        read_head({key: value for key, value in state.items() if is_of_head(key)}, meta, path),
        _notes(entry, left),
    )


def _notes(entry: tuple[str, ...], left: list[Any]) -> tuple[str, ...]:
    if not left:
        return ()
    taken = f"takes the entry {'/'.join(entry)} and " if entry else ""
    return (f"{taken}leaves out {listed(left)}",)


def listed(names: list[Any], most: int = 3) -> str:
    """The first of some names."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _choose(content: Any, path: str) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """The entry of the weights, by its keys from the outermost, and what it holds.

    Raises:
        UsageError: there is none, or it is not clear which.
    """
    found = dict(_state_dicts(content))
    if not found:
        kind = type(content).__name__
        raise UsageError("not a weights file", where=path, expected=EXPECTED, found=kind)
    averaged = [keys for keys in found if any(_AVERAGED.search(key.lower()) for key in keys)]
    named = [keys for name in _ENTRIES for keys in found if keys[:1] == (name,)]
    for chosen in (averaged, named, list(found)):
        if len(chosen) == 1 or (chosen and chosen is named):
            return chosen[0], found[chosen[0]]
        if chosen:
            break
    raise UsageError(
        "several entries hold weights", where=path, expected="one, or one named model or ema",
        found=listed(["/".join(keys) for keys in chosen]), todo="save one of them alone",
    )  # fmt: skip


def _state_dicts(
    content: Any, keys: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        return
    values = list(content.values())
    if any(torch.is_tensor(value) for value in values) and not any(
        isinstance(value, (dict, list, tuple)) for value in values
    ):
        yield keys, content
    elif len(keys) < _DEEPEST:
        for key, value in content.items():
            if key != "meta":
                yield from _state_dicts(value, (*keys, key))


def _unwrapped(state: State) -> State:
    """Without the wrappers that all names share."""
    for wrapper in _WRAPPERS:
        if state and all(key.startswith(wrapper) for key in state):
            return _unwrapped({key.removeprefix(wrapper): state[key] for key in state})
    return state


def _three(meta: Mapping[str, Any], name: str, path: str) -> tuple[float, ...] | None:
    """``meta``'s mean or standard deviation of the colour channels."""
    values = meta.get(name)
    if values is None:
        return None
    try:
        numbers = tuple(float(value) for value in values) if len(values) == 3 else ()
    except (TypeError, ValueError, RuntimeError):
        numbers = ()
    if not numbers or not np.isfinite(numbers).all() or (name == "std" and min(numbers) <= 0):
        what = f"damaged retrieval checkpoint: meta {name} is not three numbers in range"
        raise UsageError(what, where=path)
    return numbers


def digest_of_state(state: State) -> str:
    """BLAKE2b-128 of the names and values of a state dict."""
    digest = hashlib.blake2b(digest_size=16)
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].contiguous().numpy().tobytes())
    return digest.hexdigest()
