"""``rrtool demo``: the main job from end to end on made-up scenes with planted objects."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rrtool
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.scenes.scenes import Look, Scenes, make_scenes
from rrtool.stages.reports.options import DemoOptions

_MARKER = ".rrtool-demo"
_NUMBERS = ("n_objects", "n_views", "n_queries", "n_distractors", "size")
_FULL: dict[str, Any] = dict(zip(_NUMBERS, (8, 4, 2, 8, 512), strict=True))
_SHORT: dict[str, Any] = dict(zip(_NUMBERS, (4, 4, 1, 6, 256), strict=True))
# Networks that have seen photos alone know little of drawings: these are large, on plain ground.
_EASY = Look(object_side=0.95, n_patches=0)
# To measure on, as in docs/reproduction.md.
_HARD: dict[str, Any] = dict(zip(_NUMBERS, (12, 5, 2, 20, 512), strict=True))


@dataclass(frozen=True)
class Demo:
    """What the demo has made.

    Attributes:
        path: of the page; of the images where only the scenes are made.
        scores: of the global and of the verified ranking, as ``evaluate`` gives them.
    """

    path: Path
    scores: list[dict[str, Any]] = field(default_factory=list)


def run(options: DemoOptions, progress: Progress) -> Demo:
    """Make the scenes, run every stage on them, and show the result.

    Raises:
        UsageError: the folder holds something that no demo has put there.
    """
    folder = Path(options.folder)
    _claim(folder)
    if options.scenes_only:
        numbers = _SHORT if options.short else _HARD
        return Demo(make_scenes(folder, seed=options.seed, **numbers).images)
    numbers = _SHORT if options.short else _FULL
    scenes = make_scenes(folder, seed=options.seed, look=_EASY, **numbers)
    common: dict[str, Any] = {"overwrite": True, "progress": progress}
    network = {
        "network": options.network, "weights": options.weights, "max_size": numbers["size"],
        "seed": options.seed, **common,
    }  # fmt: skip
    rankings = _rankings(folder, scenes, network, common)
    groups = str(scenes.groups)
    scores = rrtool.evaluate(
        rankings, output=folder / "evaluation.h5", ground_truth=groups, **common
    )
    page = rrtool.report(
        [rankings[-1]], folder / "demo.html", images=scenes.images, ground_truth=groups,
        query_local=folder / "query-local.h5", database_local=folder / "database-local.h5",
        **common,
    )  # fmt: skip
    return Demo(page.path, scores)


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


def _rankings(
    folder: Path, scenes: Scenes, network: dict[str, Any], common: dict[str, Any]
) -> list[Path]:
    """The global and the verified ranking of the boxed queries."""
    images, boxes = scenes.images, scenes.boxes
    local, query_local = folder / "database-local.h5", folder / "query-local.h5"
    database = rrtool.extract(images, folder / "database.h5", local=local, **network)
    queries = rrtool.extract(
        images, folder / "queries.h5", boxes=boxes, query_local=query_local, levels_from=local,
        center=database, **network,
    )  # fmt: skip
    found = rrtool.search(queries, database, folder / "global.h5", **common)
    verified = rrtool.rerank(
        found, folder / "dsm.h5", query_local=query_local, database_local=local, **common
    )
    return [found, verified]
