"""All commands, grouped by what people want to do, in the order of use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from rrtool.options import Options
from rrtool.stages.diffusion.options import BuildGraphOptions, DiffuseOptions
from rrtool.stages.discovery.options import (
    CentralityOptions,
    DiscoverOptions,
    SaliencyFsOptions,
    SaliencyOsOptions,
)
from rrtool.stages.learning.options import AlAgreeOptions, AlCycleOptions, AlPretrainOptions
from rrtool.stages.retrieval.options import (
    ExtractOptions,
    ReduceRegionsOptions,
    SearchOptions,
    WhitenApplyOptions,
    WhitenExportOptions,
    WhitenFitOptions,
)

GROUPS: Mapping[str, tuple[type[Options], ...]] = {
    "Describe photos": (
        ExtractOptions,
        WhitenFitOptions,
        WhitenApplyOptions,
        WhitenExportOptions,
        ReduceRegionsOptions,
    ),
    "Find the same object again": (SearchOptions, BuildGraphOptions, DiffuseOptions),
    "Discover what repeats": (
        SaliencyFsOptions,
        CentralityOptions,
        SaliencyOsOptions,
        DiscoverOptions,
    ),
    "Learn from few labels": (AlPretrainOptions, AlCycleOptions, AlAgreeOptions),
}
# What ``rrtool --help`` says of commands that have commands of their own.
FAMILIES = {
    "whiten": "Learn a whitening of features, apply it, or take over a checkpoint's.",
    "saliency": "Find what is salient in images: fs by activations, os by what repeats.",
}


@cache
def by_name() -> dict[str, type[Options]]:
    """The options class of each command, such as ``whiten fit``."""
    return {options.COMMAND.name: options for group in GROUPS.values() for options in group}


@cache
def by_function() -> dict[str, type[Options]]:
    """The same by the name of the Python function, such as ``whiten_fit``."""
    return {options.COMMAND.function: options for options in by_name().values()}
