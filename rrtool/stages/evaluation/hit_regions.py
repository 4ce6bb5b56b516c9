"""Whether what matched in a hit lies on the object: regions of hits against true boxes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rrtool.artifacts import LocalFeaturesFile, Ranking, open_artifact
from rrtool.artifacts.compatibility import require_same_names
from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.core.evaluation.localization import IOU, centre_inside, overlaps
from rrtool.errors import ArtifactError, UsageError
from rrtool.ground_truth.boxes import boxes_of_images
from rrtool.stages.driver import Datasets
from rrtool.stages.evaluation.options import EvaluateOptions
from rrtool.stages.evaluation.verified_regions import INLIERS, PROJECTED, WHOLE, VerifiedRegions

_MATCHED = "matched"  # by search on regions
_TITLES = {
    _MATCHED: "the region that matches best", PROJECTED: "query's box, projected",
    INLIERS: "box of the inliers", WHOLE: "the whole photo",
}  # fmt: skip
REGION_RULE = (
    "of the right hits that say where they match, in images with true boxes: share of regions "
    f"whose centre lies in one, share that one overlaps by an IoU of {IOU:g} or more, mean of the "
    "largest IoU"
)
Truth = Sequence[np.ndarray | None]


def score_regions(
    ranking: Ranking,
    queries: Sequence[QueryGroundTruth],
    options: EvaluateOptions,
    tell: Callable[[str], None],
) -> tuple[list[dict[str, Any]], Datasets]:
    """Shares of the right hits whose region lies on a true box.

    Args:
        queries: what each should find.
        options: that name the boxes, and the local features of what is verified.
        tell: gets a line if some of the boxes are of no image.

    Returns:
        A row a kind of region, JSON-compatible; and the overlap and the centre of each hit.

    Raises:
        RrtoolError: the ranking says of no hit where it matches, or is not of these images.
    """
    found = boxes_of_images(str(options.boxes), ranking.database_names, tell)
    truth = [np.array([box.box for box in boxes]) if boxes else None for boxes in found]
    rows: list[dict[str, Any]] = []
    values: Datasets = {}
    if ranking.has_boxes:
        rows, values = _scored(_of_hits(ranking, queries, truth), [_MATCHED], truth)
    if options.query_local is not None:
        verified = _of_verified(ranking, queries, truth, options)
        rows, values = rows + verified[0], values | verified[1]
    elif not ranking.has_boxes:
        raise UsageError(
            "this ranking does not say where its hits match", where=ranking.path,
            expected="one from search on regions, or a verified one with --query-local and "
            "--database-local",
        )  # fmt: skip
    return rows, values


def _of_hits(
    ranking: Ranking, queries: Sequence[QueryGroundTruth], truth: Truth
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """The image of each right hit with a box, and the box."""
    boxes = ranking.hit_boxes
    ids = ranking.ids[:, : boxes.shape[1]]
    for query, right in enumerate(queries):
        has_box = boxes[query, : ids.shape[1]].any(axis=1)
        for place in np.flatnonzero(np.isin(ids[query], right.positives) & has_box).tolist():
            image = int(ids[query, place])
            if truth[image] is not None:
                yield image, {_MATCHED: boxes[query, place]}


def _of_verified(
    ranking: Ranking,
    queries: Sequence[QueryGroundTruth],
    truth: Truth,
    options: EvaluateOptions,
) -> tuple[list[dict[str, Any]], Datasets]:
    if not ranking.is_verified:
        raise ArtifactError("nothing is verified in this ranking", where=ranking.path,
                            expected="one from rerank --method spatial")  # fmt: skip
    with (
        open_artifact(str(options.query_local), LocalFeaturesFile) as query_local,
        open_artifact(str(options.database_local), LocalFeaturesFile) as database_local,
    ):
        names = ranking.database_names, ranking.path, database_local.names, database_local.path
        require_same_names(*names)
        require_same_names(ranking.query_names, ranking.path, query_local.names, query_local.path)
        regions = VerifiedRegions(ranking, query_local, database_local)
        try:
            hits = regions.of_hits(queries, [boxes is not None for boxes in truth])
            return _scored(hits, [PROJECTED, INLIERS, WHOLE], truth)
        except ValueError as error:
            raise ArtifactError(
                "the matches are not of these local features", where=ranking.path, found=error,
                expected=f"those of {query_local.path} and {database_local.path}",
                todo="give those that rerank matched",
            ) from None  # fmt: skip


def _scored(
    hits: Iterable[tuple[int, dict[str, np.ndarray]]], names: Sequence[str], truth: Truth
) -> tuple[list[dict[str, Any]], Datasets]:
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in names}
    for image, boxes in hits:
        for name, box in boxes.items():
            found[name].append(_agreement(box, truth[image]))
    rows: list[dict[str, Any]] = []
    values: Datasets = {}
    for name, agreements in found.items():
        ious, inside = np.array(agreements, dtype=np.float64).reshape(-1, 2).T
        rows.append({"region": _TITLES[name], **_means(ious, inside), "n_hits": len(ious)})
        values |= {f"regions/{name}_overlaps": ious, f"regions/{name}_centres": inside}
    return rows, values


def _agreement(box: np.ndarray, truth: np.ndarray | None) -> tuple[float, bool]:
    """Largest IoU with a true box, and whether the centre lies in one; of no area nothing does."""
    if truth is None or not (np.isfinite(box).all() and (box[:2] < box[2:]).all()):
        return 0.0, False
    return float(overlaps(box[None], truth).max()), bool(centre_inside(box[None], truth)[0])


def _means(ious: np.ndarray, inside: np.ndarray) -> dict[str, float | None]:
    names = "centres_inside", f"IoU>={IOU:g}", "mean_IoU"
    if not len(ious):
        return dict.fromkeys(names)
    means = inside.mean(), (ious >= IOU).mean(), ious.mean()
    return {name: float(mean) for name, mean in zip(names, means, strict=True)}
