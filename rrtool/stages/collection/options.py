"""Options of index and find."""

import math
from dataclasses import MISSING, dataclass
from typing import Any, ClassVar

from rrtool.engine.options import WorkersOptions
from rrtool.errors import UsageError
from rrtool.networks.names import AUTO, DEFAULT
from rrtool.options import Command, argument, option
from rrtool.stages.activations.options import EngineOptions

RERANKINGS = ("reciprocal", "dsm", "diffusion", "none")


@dataclass(frozen=True, kw_only=True)
class RunningOptions(EngineOptions):
    """How the network runs, which is no matter of the index."""

    def running(self) -> dict[str, Any]:
        """The same for the commands that run it."""
        names = ("max_pixels", "workers", "device", "engine")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class IndexOptions(WorkersOptions, RunningOptions):
    """Make an index of photos, or bring it up to date.

    An index is a folder of artifacts: features and local features of the photos, and a graph of
    nearest neighbours. It remembers its options; a later run computes what is new or has changed.
    """

    COMMAND: ClassVar = Command(
        "index", "rrtool.stages.collection.index", "ch. 4", "docs/every-night.md", quick=False
    )
    images: str = argument(
        "A folder of photos (with its subfolders), or a text or CSV list of them.", role="images"
    )
    output: str = option(
        MISSING, "The folder of the index.",
        role="output", shapes=False, panel="Output", flags=("--output", "-o"),
    )  # fmt: skip
    network: str | None = option(
        None,
        f"The network, as for extract; by default that of the index, of a new one {DEFAULT}.",
        panel="Network",
    )  # fmt: skip
    weights: str | None = option(
        None, f"The weights, as for extract; by default those of the index, of a new one {AUTO}.",
        panel="Network",
    )  # fmt: skip
    max_size: int | None = option(
        None,
        "Shrink the longer side to this many pixels; by default as the index does, of a new one as "
        "the network wants.",
        least=1, panel="Images",
    )  # fmt: skip
    discover: bool | None = option(
        None,
        "Find what repeats in the photos too, where each shows it, and describe each by that; by "
        "default as the index does, a new one not.",
        panel="Index",
    )  # fmt: skip
    dry_run: bool = option(
        False, "Say what would be done, and do nothing.", shapes=False, panel="Output"
    )

    def written(self) -> dict[str, str]:
        return {}  # but a folder

    def running(self) -> dict[str, Any]:
        """See ``RunningOptions``; and who works on the parts of its artifacts."""
        return {**super().running(), **self.working()}

    def working(self) -> dict[str, Any]:
        """For the graphs, which run no network."""
        return {name: getattr(self, name) for name in ("device", "workers_on")}

    def remembered(self) -> dict[str, Any]:
        """What is asked for of the options that an index keeps; None where nothing is."""
        names = ("network", "weights", "max_size", "discover")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class FindOptions(RunningOptions):
    """Find what a photo shows in the photos of an index."""

    COMMAND: ClassVar = Command(
        "find", "rrtool.stages.collection.find", "ch. 4", "docs/every-night.md", quick=False
    )
    index: str = argument("The folder of an index, from rrtool index.", role="setting")
    queries: tuple[str, ...] = argument("Photos to look for.", role="file")
    box: tuple[float, ...] | None = option(
        None, "Look for this part of the photo alone: x0,y0,x1,y1 in pixels.",
        least=0, panel="Images",
    )  # fmt: skip
    top: int = option(20, "How many hits to show of each query.", least=1)
    rerank: str = option(
        "reciprocal",
        "What orders the hits: reciprocal looks at which photos are each other's neighbours; dsm "
        "takes the geometry of the nearest together with their similarity; diffusion goes on from "
        "those along the graph, which finds more of what the index shows ten times and more; none "
        "leaves them as they are near. All but none verify the geometry of the nearest.",
        choices=RERANKINGS,
    )  # fmt: skip
    page: str | None = option(
        None, "Write a page with the hits and what verifies them.",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip
    csv: bool = option(False, "Print the hits as CSV.", shapes=False, panel="Output")

    def check(self) -> None:
        super().check()
        if not self.queries:
            raise UsageError("no photo to look for", expected="one or more image files")
        if self.box is not None and len(self.queries) != 1:
            raise UsageError("--box is of one photo", found=f"{len(self.queries)} photos")
        if self.box is not None and len(self.box) != 4:
            raise UsageError("bad --box", expected="x0,y0,x1,y1", found=f"{len(self.box)} numbers")
        if self.box is not None and not _is_box(*self.box):
            found = ",".join(f"{side:g}" for side in self.box)
            raise UsageError("bad --box", expected="x0 < x1 and y0 < y1", found=found)


def _is_box(x0: float, y0: float, x1: float, y1: float) -> bool:
    return x0 < x1 < math.inf and y0 < y1 < math.inf
