"""What an index has to do, and how long that may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rrtool.artifacts import Features, open_artifact
from rrtool.images.collection import collect
from rrtool.stages.collection.layout import Index
from rrtool.stages.update import COMPUTED, plan_of

_GROUPED = 60  # seconds a minute, minutes an hour


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        n_photos: of the index as it will be.
        n_computed: of these, how many go through the network.
        told: in words, what came, went and changed; empty where nothing did.
    """

    n_photos: int
    n_computed: int
    told: str

    def lines(self, rates: Mapping[str, float]) -> list[str]:
        """For people.

        Args:
            rates: seconds that earlier runs took: ``photo`` for each, ``graph`` and ``objects``
                for all.
        """
        if not self.told:
            return []
        if "photo" not in rates:
            return [self.told]
        others = sum(seconds for name, seconds in rates.items() if name != "photo")
        seconds = self.n_computed * rates["photo"] + others
        return [f"{self.told}; this takes about {_duration(seconds)}"]


def work_of(index: Index, max_pixels: int) -> Work:
    """Compare the photos with those that are in the index.

    Raises:
        RrtoolError: the photos cannot be listed, or the index is damaged.
    """
    collection = collect(index.images)
    n = len(collection)
    if not index.features.exists():
        return Work(n, n, f"a new index of {n} photos")
    with open_artifact(index.features, Features) as old:
        plan = plan_of(collection, old, max_pixels)
        is_same = old.lengths["n"] == n and plan.is_whole and not plan.n_renamed
    n_computed = int((plan.sources == COMPUTED).sum())
    return Work(n, n_computed, "" if is_same else str(plan))


def _duration(seconds: float) -> str:
    minutes, hours = seconds / _GROUPED, seconds / _GROUPED**2
    if hours >= 2:
        return f"{hours:.0f} hours"
    return f"{minutes:.0f} minutes" if minutes >= 2 else f"{max(1, seconds):.0f} s"
