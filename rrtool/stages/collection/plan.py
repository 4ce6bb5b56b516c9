"""What an index has to do, and how long that may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rrtool.artifacts import Features, Saliency, open_artifact
from rrtool.errors import RrtoolError
from rrtool.images.collection import collect
from rrtool.stages.activations.options import EngineOptions
from rrtool.stages.amount import in_time
from rrtool.stages.asked import digest_of
from rrtool.stages.collection.layout import Index
from rrtool.stages.update import COMPUTED, plan_of, reading

_FEWEST = 3  # photos that a graph is of


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        n_photos: of the index as it will be.
        n_computed: of these, how many are described.
        n_mapped: of how many the object saliency is computed, which takes the network once more.
        told: in words, what came, went and changed; empty where nothing is to be done.
    """

    n_photos: int
    n_computed: int
    n_mapped: int
    told: str

    def lines(self, rates: Mapping[str, float]) -> list[str]:
        """For people.

        Args:
            rates: seconds that earlier runs took: ``photo`` and ``saliency`` for each photo,
                ``graph`` and ``objects`` for all.
        """
        if not self.told:
            return []
        if "photo" not in rates:
            return [self.told]
        each = {"photo": self.n_computed, "saliency": self.n_mapped}
        known = {"saliency": rates["photo"], **rates}  # of indexes that had none yet
        seconds = sum(each.get(name, 1) * rate for name, rate in known.items())
        return [f"{self.told}; this takes about {in_time(seconds)}"]


def work_of(index: Index, options: EngineOptions) -> Work:
    """Compare the photos with those that are in the index.

    Raises:
        RrtoolError: the photos cannot be listed, or the index is damaged.
    """
    collection = collect(index.images)
    n = len(collection)
    n_computed, told = n, [f"a new index of {n} photos"]
    if index.features.exists():
        with open_artifact(index.features, Features) as old:
            plan = plan_of(collection, old, options, reading(options))
            n_computed = int((plan.sources == COMPUTED).sum())
            is_same = not n_computed and not plan.n_renamed and old.lengths["n"] == n
        told = [] if is_same else [str(plan)]
    is_mapped = index.options["discover"] and (bool(told) or not has_saliency(index))
    if index.features.exists() and (missing := _missing(index)):
        told.append(f"{', '.join(path.name for path in missing)} missing and made anew")
        n_computed = n if {*missing} & {*index.of_photos()} else n_computed
    if is_mapped:
        told.append(f"the object saliency of all {n} is computed, as each depends on all")
    return Work(n, n_computed, n if is_mapped else 0, "; ".join(told))


def _missing(index: Index) -> list[Path]:
    """Artifacts that are gone, but for object saliency, of which more is said."""
    known = {index.saliency, index.object_features}
    if not bears_graph(index):
        known.add(index.graph)
    wanted = index.of_photos() + index.of_all()
    return [path for path in wanted if path not in known and not path.exists()]


def bears_graph(index: Index) -> bool:
    """Whether there are enough photos for a graph."""
    with open_artifact(index.features, Features) as features:
        return int((features.status == 0).sum()) >= _FEWEST


def has_saliency(index: Index) -> bool:
    """Whether the object saliency is there, of the regions and the centrality that are there."""
    made_of = {"regions": index.regions, "centrality": index.centrality}
    try:
        with open_artifact(index.saliency, Saliency) as saliency:
            known = {role: saliency.input(role).digest for role in made_of}
        return index.object_features.exists() and known == {
            role: digest_of(path) for role, path in made_of.items()
        }
    except RrtoolError:
        return False
