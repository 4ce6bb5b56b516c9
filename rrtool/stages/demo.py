"""``rrtool demo``: the main job from end to end on made-up scenes with planted objects."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rrtool.core.matching.detection import DetectionOptions
from rrtool.scenes.scenes import Scenes, make_scenes
from rrtool.errors import UsageError, WorkFailed
from rrtool.networks import load_network
from rrtool.progress import Progress
from rrtool.stages.activations.run import NetworkOptions
from rrtool.stages.evaluation import evaluate
from rrtool.stages.matching import detect_local, rerank
from rrtool.stages.reports import report_ranking as report
from rrtool.stages.retrieval import extract, search

_MARKER = ".rrtool-demo"


@dataclass(frozen=True)
class DemoSize:
    """How much the demo makes; see ``make_scenes``."""

    n_objects: int = 12
    n_views: int = 5
    n_queries: int = 2
    n_distractors: int = 20
    size: int = 512


FULL, SHORT = DemoSize(), DemoSize(4, 4, 1, 6, 256)


def make(folder: Path, *, seed: int = 0, short: bool = False) -> tuple[Scenes, DemoSize]:
    """Make the scenes only.

    Raises:
        UsageError: the folder holds something that no demo has put there.
    """
    _claim(folder)
    numbers = SHORT if short else FULL
    return make_scenes(folder, seed=seed, **asdict(numbers)), numbers


def run(
    folder: Path,
    *,
    network: str = "squeezenet1_1",
    weights: str = "auto",
    seed: int = 0,
    short: bool = False,
    progress: Progress,
) -> tuple[list[evaluate.EvaluatedRanking], Path]:
    """Make the scenes, run every stage on them, and show the result.

    Returns:
        The scores of the global and of the verified ranking, and the path of the HTML page.

    Raises:
        UsageError: the folder holds something that no demo has put there.
    """
    scenes, numbers = make(folder, seed=seed, short=short)
    weights = _available(network, progress) if weights == "auto" else weights
    inference = NetworkOptions(network, weights, max_size=numbers.size, seed=seed)
    made = _rankings(folder, scenes, inference, progress)
    evaluated = evaluate.run(
        [str(path) for path in made],
        folder / "evaluation.h5",
        ground_truth=str(scenes.groups),
        overwrite=True,
        progress=progress,
    )
    page = report.run(
        str(made[-1]),
        folder / "demo.html",
        images=str(scenes.images),
        query_local=str(folder / "query-local.h5"),
        database_local=str(folder / "database-local.h5"),
        ground_truth=str(scenes.groups),
        overwrite=True,
        progress=progress,
    )
    return evaluated, page


def _claim(folder: Path) -> None:
    """The demo's own folder carries a marker; one with anything else in it is not touched."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not (folder / _MARKER).exists():
            raise UsageError(
                "the folder holds something else", where=folder, todo="name a new or empty folder"
            )
        (folder / _MARKER).touch()
    except OSError as error:
        raise UsageError("cannot use this folder", where=folder, found=error.strerror) from None


def _available(network: str, progress: Progress) -> str:
    """ImageNet weights if they can be had within seconds, else none."""
    try:
        load_network(network, "imagenet")
    except WorkFailed as error:
        progress.message(f"{error.what}: the demo goes on with an untrained network")
        return "none"
    return "imagenet"


def _rankings(
    folder: Path, scenes: Scenes, inference: NetworkOptions, progress: Progress
) -> list[Path]:
    """The global and the verified ranking of the boxed queries."""
    images, boxes = str(scenes.images), str(scenes.boxes)
    common: dict[str, Any] = {"overwrite": True, "progress": progress}
    options = extract.ExtractOptions(inference)
    database = extract.run(images, folder / "database.h5", options, **common)
    queries = extract.run(images, folder / "queries.h5", options, boxes=boxes, **common)
    local = detect_local.run(
        images,
        folder / "database-local.h5",
        detect_local.DetectLocalOptions(inference, DetectionOptions("database")),
        **common,
    )
    query_local = detect_local.run(
        images,
        folder / "query-local.h5",
        detect_local.DetectLocalOptions(inference, DetectionOptions("query")),
        boxes=boxes,
        levels_from=str(local),
        **common,
    )
    found = search.run(
        str(queries), str(database), folder / "global.h5", search.SearchOptions(), **common
    )
    verified = rerank.run(
        str(found),
        folder / "dsm.h5",
        rerank.RerankOptions(),
        query_local=str(query_local),
        database_local=str(local),
        **common,
    )
    return [found, verified]
