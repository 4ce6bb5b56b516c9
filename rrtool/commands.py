"""All commands, grouped by what people want to do, in the order of use."""

from collections.abc import Mapping
from functools import cache

from rrtool.options import Options
from rrtool.stages.activations import options as activations
from rrtool.stages.collection import options as collection
from rrtool.stages.diffusion import options as diffusion
from rrtool.stages.discovery import options as discovery
from rrtool.stages.doctor import options as doctor
from rrtool.stages.evaluation import options as evaluation
from rrtool.stages.exchange import options as exchange
from rrtool.stages.extraction import options as extraction
from rrtool.stages.learning import options as learning
from rrtool.stages.matching import options as matching
from rrtool.stages.reports import options as reports
from rrtool.stages.retrieval import options as retrieval
from rrtool.stages.training import mine_options as mining
from rrtool.stages.training import train_options as training

GROUPS: Mapping[str, tuple[type[Options], ...]] = {
    "Keep a collection": (
        collection.IndexOptions,
        collection.FindOptions,
    ),
    "Describe photos": (
        activations.NetworksOptions,
        extraction.OnePassOptions,
        matching.DetectLocalOptions,
        extraction.MergeOptions,
        retrieval.WhitenFitOptions,
        retrieval.WhitenApplyOptions,
        retrieval.WhitenExportOptions,
        retrieval.ReduceRegionsOptions,
    ),
    "Find the same object again": (
        retrieval.SearchOptions,
        matching.RerankOptions,
        diffusion.BuildGraphOptions,
        diffusion.DiffuseOptions,
    ),
    "Discover what repeats": (
        discovery.SaliencyFsOptions,
        discovery.CentralityOptions,
        discovery.SaliencyOsOptions,
        discovery.DiscoverOptions,
    ),
    "Learn from few labels": (
        learning.AlPretrainOptions,
        learning.AlCycleOptions,
        learning.AlAgreeOptions,
        learning.PredictOptions,
    ),
    "Train a network": (mining.MineOptions, training.TrainOptions),
    "See what came out": (
        evaluation.EvaluateOptions,
        reports.ReportOptions,
        reports.InspectOptions,
        reports.DemoOptions,
    ),
    "Exchange with other programs": (
        exchange.ImportOptions,
        exchange.ExportOptions,
    ),
    "Keep it working": (doctor.DoctorOptions,),
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
