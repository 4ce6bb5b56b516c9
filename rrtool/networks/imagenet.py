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
from rrtool.files import new_file, reclaim
from rrtool.networks.checkpoints import Checkpoint
from rrtool.networks.weights_file import read_weights_file

CONNECT_TIMEOUT_S = 5.0


def read_imagenet_weights(name: str) -> Checkpoint:
    """torchvision's ImageNet weights: from torch's cache, else downloaded once.

    Raises:
        WorkFailed: not cached, and the host can't be reached within seconds.
    """
    entry = torchvision.models.get_model_weights(name).DEFAULT
    cached = cached_weights(name)
    if not cached.is_file():
        _download(entry.url, cached)
    path = str(cached)
    return Checkpoint(
        path, f"imagenet ({entry})", digest_of_file(path), dict(read_weights_file(path))
    )


def cached_weights(name: str) -> Path:
    """Where torch's cache has torchvision's ImageNet weights, or would have them."""
    entry = torchvision.models.get_model_weights(name).DEFAULT
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name


def _download(url: str, target: Path) -> None:
    """Fetch it, and keep it if its hash is that in torchvision's file name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, expected = hashlib.sha256(), target.stem.rpartition("-")[2]
    reclaim(target)
    try:
        with (
            urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT_S) as answer,  # noqa: S310
            new_file(target) as descriptor,
            open(descriptor, "wb", closefd=False) as file,
        ):
            while block := answer.read(1 << 20):
                digest.update(block)
                file.write(block)
            file.flush()
            if not digest.hexdigest().startswith(expected):
                raise WorkFailed(
                    "the downloaded weights are damaged", where=target.name,
                    expected=f"SHA-256 {expected}…", found=digest.hexdigest()[: len(expected)],
                    todo="try again",
                )  # fmt: skip
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise WorkFailed(
            "the ImageNet weights are not cached and cannot be downloaded",
            where=target.name,
            found=str(getattr(error, "reason", error)),
            todo="give --weights a file, or --weights none for an untrained network",
        ) from None
