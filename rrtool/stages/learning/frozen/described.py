"""Features of photos, made as other features were."""

from pathlib import Path
from typing import Any

import rrtool
from rrtool.artifacts import Features, open_artifact
from rrtool.errors import UsageError
from rrtool.progress import Progress

# Of how features were asked for: what the descriptors of other photos need to be like theirs.
_ASKED = (
    "gem_exponent", "max_size", "network", "pool", "scales", "seed", "upsample", "weights",
    "whitening",
)  # fmt: skip


def describe_as(
    like: str, images: str, output: Path, *, device: str, progress: Progress, **running: Any
) -> str:
    """Describe photos by the network of other features and about their mean, and keep that.

    Args:
        like: features.
        output: where the new ones are kept; they are brought up to date where they are there.
        running: more options of ``extract``.

    Returns:
        The path of the new ones.

    Raises:
        RrtoolError: the other ones are not where they were, or see ``rrtool.extract``.
    """
    require_features(like)
    with open_artifact(like, Features) as features:
        asked = features.asked.get("options", {})
        has_center = Features.center in features
    settings: dict[str, Any] = {name: asked[name] for name in _ASKED if asked.get(name) is not None}
    if has_center:
        settings["center"] = like
    rrtool.extract(
        images, output, update=output.exists(), device=device, progress=progress,
        **settings, **running,
    )  # fmt: skip
    return str(output)


def require_features(path: str) -> None:
    """Raises ``UsageError`` where those that others are to be like are gone."""
    if not Path(path).is_file():
        raise UsageError(
            "the features of the state are not where they were", where=path,
            todo="give features of the photos in their place",
        )  # fmt: skip
