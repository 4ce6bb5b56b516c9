"""Options of mine (docs/mining.md)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from rrtool.errors import OptionError, UsageError
from rrtool.options import (
    Command,
    DeviceOptions,
    OutputOptions,
    SeedOptions,
    argument,
    artifact,
    option,
)

_UNLABELLED = "Without labels"


@dataclass(frozen=True, kw_only=True)
class MineOptions(SeedOptions, DeviceOptions, OutputOptions):
    """Find photos that show the same thing, for a network to learn from (tuples)."""

    COMMAND: ClassVar = Command(
        "mine", "rrtool.stages.training.mine", "§4.5, §6.3.1", "docs/mining.md"
    )
    features: str = argument("Features of the photos, from extract or index.")
    graph: str | None = artifact(
        None, "Their graph, from build-graph: what lies close in it may be matched."
    )
    local: str | None = artifact(
        None,
        "Their local features, from detect-local, by which neighbours are matched; not needed "
        "where build-graph --verify has done so.",
    )
    groups: str | None = option(
        None,
        "In place of --graph: labels that say which photos show the same thing, by prefix:REGEX, "
        "folder, or a CSV name,label.",
        role="file", panel="Inputs",
    )  # fmt: skip
    chance: float = option(
        0.02,
        "Of the neighbours that are taken for matches, the share that may be so by chance.",
        above=0, below=1, panel=_UNLABELLED,
    )  # fmt: skip
    alike: float = option(
        0.95,
        "Photos whose descriptors, less the mean of all, have a larger cosine than this are nearly "
        "identical: they are of one group, but no pair to learn from.",
        above=0, most=1, panel=_UNLABELLED,
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.groups is None and self.graph is None:
            raise UsageError(
                "nothing says which photos show the same thing", where=self.features,
                expected="--graph and --local, or --groups",
            )  # fmt: skip
        for name in ("graph", "local") if self.groups is not None else ():
            if getattr(self, name) is not None:
                raise OptionError(
                    f"--groups has no need of {self.typed(name)}", option=name,
                    found=getattr(self, name), todo="leave one of them out",
                )  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """See ``Options``: labels leave nothing to choose."""
        return {} if self.groups is not None else super().settings()
