"""Photos beside their features, for --fine-tune."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rrtool.images.collection import Collection

TUNED = "tuned."  # begins the names of parameters, in a state, of a last stage that was fine-tuned


@dataclass(frozen=True)
class Photos:
    """The photos that features are of.

    Attributes:
        paths: of each image; None where there is none.
        asked: how the features were asked for, which names the network.
        described_by: the network that made them.
    """

    paths: Sequence[str | None]
    asked: Mapping[str, Any]
    described_by: Mapping[str, Any]


def paths_of(names: Sequence[str], collection: Collection) -> list[str | None]:
    """The photo of each name; None where there is none."""
    known = dict(zip(collection.names, collection.paths, strict=True))
    return [known.get(name) for name in names]
