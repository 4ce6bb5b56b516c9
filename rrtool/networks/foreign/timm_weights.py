"""timm's own weights: cached, else downloaded once, by timm's libraries and to their cache."""

import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

from rrtool.errors import UsageError, WorkFailed
from rrtool.networks.imagenet import CONNECT_TIMEOUT_S

_PLAIN = "pytorch_model.bin"
# Without code in them; looked for first.
_SAFE = {_PLAIN: "model.safetensors", "open_clip_pytorch_model.bin": "open_clip_model.safetensors"}
_TODO = "give --weights a file, or --weights none for an untrained network"


def pretrained_path(name: str) -> str:
    """The file of timm's weights of a model, downloaded if need be.

    Raises:
        UsageError: timm has none for it.
        WorkFailed: not cached, and the host cannot be reached within seconds.
    """
    places = _places(name)
    if not places:
        raise UsageError(f"timm offers no weights of {name}", todo=_TODO)
    try:
        return _cached(places) or _downloaded(places)
    except Exception as error:  # noqa: BLE001 - of several libraries: no network, no such file …
        found = str(getattr(error, "reason", error)).strip() or type(error).__name__
        raise WorkFailed(
            f"the weights of {name} are not cached and cannot be downloaded",
            found=found.splitlines()[0], todo=_TODO,
        ) from None  # fmt: skip


def is_cached(name: str) -> bool:
    """Whether they have been downloaded before."""
    return _cached(_places(name)) is not None


def _places(name: str) -> list[dict[str, Any]]:
    """Where the hub has the file, the likeliest first; nowhere if timm has no weights."""
    from timm import get_pretrained_cfg

    about = get_pretrained_cfg(name)
    if about is None or not about.hf_hub_id:
        return []
    repository, _, revision = about.hf_hub_id.partition("@")
    usual = about.hf_hub_filename or _PLAIN
    names = [_SAFE[usual], usual] if usual in _SAFE else [usual]
    return [
        {"repo_id": repository, "filename": name, "revision": revision or None} for name in names
    ]


def _cached(places: list[dict[str, Any]]) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(**place) for place in places)
    return next((path for path in found if isinstance(path, str)), None)


def _downloaded(places: list[dict[str, Any]]) -> str:
    from huggingface_hub import hf_hub_download, hf_hub_url
    from huggingface_hub.errors import RemoteEntryNotFoundError

    # The hub's own library would try again for half a minute.
    _require_answer(hf_hub_url(**places[0]))
    for place in places[:-1]:
        with suppress(RemoteEntryNotFoundError):
            return hf_hub_download(**place)
    return hf_hub_download(**places[-1])


def _require_answer(url: str) -> None:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the hub's own address
    # Any answer will do: the library knows better what to make of it.
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT_S).close()  # noqa: S310
