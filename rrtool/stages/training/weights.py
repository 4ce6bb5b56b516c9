"""The weights file that a training leaves, and whether one that is there may be replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rrtool.artifacts import Training, open_artifact
from rrtool.artifacts.digests import digest_of_file
from rrtool.errors import RrtoolError, UsageError
from rrtool.files import in_the_way, write_durably, write_failures
from rrtool.networks.weights_file import META
from rrtool.stages.training.train_options import TrainOptions


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> str:
    """Write a retrieval checkpoint as safetensors; returns its digest.

    Raises:
        WorkFailed: the disk is full or fails.
    """
    from safetensors.torch import save

    content = save(dict(tensors), {META: json.dumps(meta, sort_keys=True)})
    with write_failures(path):
        write_durably(path, [content])
    return digest_of_file(path)


def meta_of(path: Path) -> dict[str, Any] | None:
    """What a weights file of ours says of itself; None of any other file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            meta = json.loads((file.metadata() or {})[META])
    except (SafetensorError, OSError, LookupError, ValueError):
        return None
    return meta if isinstance(meta, dict) else None


def settle(options: TrainOptions) -> None:
    """Bring weights and record that are there into line, before it is asked what is up to date.

    A record whose weights are gone is of no use, and goes too. So does, with ``--overwrite``, one
    whose weights are other ones by now.

    Raises:
        UsageError: the weights are not those that the record is of.
    """
    path, record = Path(options.output), Path(options.record_path)
    if not record.is_file():
        return
    try:
        with open_artifact(record, Training) as training:
            digest, name = training.extra["weights_digest"], training.extra["weights"]
    except RrtoolError:
        return  # whoever opens it as an output will say what is wrong with it
    if name != path.name and not options.overwrite:
        raise UsageError(
            "this is the record of another network", where=record, expected=path.name, found=name,
            todo="choose another -o or --record, or use --overwrite to replace it",
        )  # fmt: skip
    is_there = os.path.lexists(path)
    if is_there and digest_of_file(path) == digest:
        return
    if is_there and not options.overwrite:
        raise UsageError(
            f"these are not the weights that {record.name} is the record of", where=path,
            todo="choose another -o, or use --overwrite to replace both",
        )  # fmt: skip
    if not options.dry_run:
        with write_failures(record):
            record.unlink()


def require_replaceable(path: Path, run: str, overwrite: bool) -> None:
    """A weights file may be replaced where it is ours, and of this run or on ``--overwrite``.

    Args:
        run: what identifies this run, and stands in the file that a kill of it has left.

    Raises:
        UsageError: it may not.
    """
    if not os.path.lexists(path):
        return
    meta = meta_of(path)
    if meta is None or "run" not in meta:
        raise in_the_way(path, "a file that rrtool train did not write")
    if not overwrite and meta["run"] != run:
        raise UsageError(
            "the output exists and has no record", where=path,
            todo="use --overwrite to replace it, or choose another -o",
        )  # fmt: skip
