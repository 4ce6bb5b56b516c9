"""torchvision's ImageNet weights: cached, else downloaded once."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

import torch
import torchvision

from rrtool.artifacts.digests import digest_of_file
from rrtool.errors import WorkFailed
from rrtool.networks.checkpoints import Checkpoint
from rrtool.networks.weights_file import read_weights_file

CONNECT_TIMEOUT_S = 5.0


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
    return Checkpoint(
        path, f"imagenet ({entry})", digest_of_file(path), dict(read_weights_file(path))
    )


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
