"""Options of what belongs to no chapter: inspect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rrtool.options import Command, Options, argument, option


@dataclass(frozen=True, kw_only=True)
class InspectOptions(Options):
    """Tell what an artifact is, where it comes from, and how many of its rows are good."""

    COMMAND: ClassVar = Command("inspect", "rrtool.stages.inspect", "ch. 2–5", "docs/artifacts.md")
    artifact: str = argument("An artifact of any kind.")
    verify: bool = option(False, "Check that the content is still what was written.", shapes=False)
