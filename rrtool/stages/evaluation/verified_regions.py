"""Whether what ``rerank`` matched lies on the object: regions of verified hits against boxes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from rrtool.artifacts import LocalFeaturesFile, Ranking, open_artifact
from rrtool.artifacts.compatibility import require_same_names
from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.core.evaluation.localization import IOU, centre_inside, overlaps
from rrtool.errors import ArtifactError
from rrtool.ground_truth.boxes import boxes_of_images
from rrtool.stages.driver import Datasets
from rrtool.stages.evaluation.options import EvaluateOptions

# By the name under which values are stored; the whole photo is what any region is to be compared
# with.
_REGIONS = {
    "projected": "query's box, projected", "inliers": "box of the inliers",
    "whole": "the whole photo",
}  # fmt: skip
_DEVIATIONS = 2.0  # of a feature, as regions are drawn
Truth = Sequence[np.ndarray | None]


@dataclass(frozen=True)
class _Match:
    """A verified hit.

    Attributes:
        query, image: rows.
        scales: at which the two matched.
        transform: ``(2, 3)`` query cells → database cells.
        features: ``(m,)`` of the image.
    """

    query: int
    image: int
    scales: tuple[int, int]
    transform: np.ndarray
    features: np.ndarray


def score_regions(
    ranking: Ranking,
    queries: Sequence[QueryGroundTruth],
    options: EvaluateOptions,
    tell: Callable[[str], None],
) -> tuple[list[dict[str, Any]], Datasets]:
    """See ``VerifiedRegions.score``.

    Args:
        options: that name the boxes and the local features.
        tell: gets a line if some of the boxes are of no image.

    Raises:
        RrtoolError: the ranking is not verified, or not of these images.
    """
    if not ranking.is_verified:
        raise ArtifactError("nothing is verified in this ranking", where=ranking.path,
                            expected="one from rerank --method spatial")  # fmt: skip
    found = boxes_of_images(str(options.boxes), ranking.database_names, tell)
    truth = [np.array([box.box for box in boxes]) if boxes else None for boxes in found]
    with (
        open_artifact(str(options.query_local), LocalFeaturesFile) as query_local,
        open_artifact(str(options.database_local), LocalFeaturesFile) as database_local,
    ):
        try:
            return VerifiedRegions(ranking, query_local, database_local).score(queries, truth)
        except ValueError as error:
            raise ArtifactError(
                "the matches are not of these local features", where=ranking.path, found=error,
                expected=f"those of {query_local.path} and {database_local.path}",
                todo="give those that rerank matched",
            ) from None  # fmt: skip


class VerifiedRegions:
    """Scores the verified hits of a ranking that are right, in images whose objects are known.

    Args:
        ranking: verified.
        query_local, database_local: the local features that were matched.

    Raises:
        ArtifactError: the local features are of other images.
    """

    def __init__(
        self, ranking: Ranking, query_local: LocalFeaturesFile, database_local: LocalFeaturesFile
    ) -> None:
        require_same_names(ranking.query_names, ranking.path, query_local.names, query_local.path)
        names = ranking.database_names, ranking.path, database_local.names, database_local.path
        require_same_names(*names)
        self._ranking, self._database = ranking, database_local
        self._query_sizes, self._sizes = query_local.map_sizes, database_local.map_sizes
        self._described, self._image_sizes = database_local.boxes, database_local.image_sizes
        self._features = lru_cache(maxsize=1)(database_local.of)

    def score(
        self, queries: Sequence[QueryGroundTruth], truth: Truth
    ) -> tuple[list[dict[str, Any]], Datasets]:
        """Shares of the hits whose region lies on a true box.

        Args:
            queries: what each should find.
            truth: true boxes ``(t, 4)`` of each image of the database; None where not known.

        Returns:
            A row a kind of region, JSON-compatible; and the overlap and the centre of each hit.

        Raises:
            ValueError: matches are of features or maps that are not there.
        """
        found: dict[str, list[tuple[float, bool]]] = {name: [] for name in _REGIONS}
        for match in self._matches(queries, truth):
            boxes = {"projected": self._projected(match), "inliers": self._of(match),
                     "whole": np.array([-np.inf, -np.inf, np.inf, np.inf])}  # fmt: skip
            for name, box in boxes.items():
                agreement = _agreement(self._clipped(box, match.image), truth[match.image])
                found[name].append(agreement)
        rows: list[dict[str, Any]] = []
        values: Datasets = {}
        for name, hits in found.items():
            ious, inside = np.array(hits, dtype=np.float64).reshape(-1, 2).T
            rows.append({"region": _REGIONS[name], **_means(ious, inside), "n_matches": len(hits)})
            values |= {f"regions/{name}_overlaps": ious, f"regions/{name}_centres": inside}
        return rows, values

    def _matches(self, queries: Sequence[QueryGroundTruth], truth: Truth) -> Iterator[_Match]:
        """The right ones, in images whose objects are known."""
        ranking, size = self._ranking, self._ranking.n_verified
        scales, transforms = ranking.scale_pairs, ranking.transforms
        offsets, inliers = ranking.offsets, ranking.inliers
        ids = ranking.ids[:, :size]
        for query, right in enumerate(queries):
            is_right = np.isin(ids[query], right.positives)
            for place in np.flatnonzero(is_right & (scales[query, :, 0] >= 0)).tolist():
                image = int(ids[query, place])
                if truth[image] is None or not np.isfinite(transforms[query, place]).all():
                    continue
                start, stop = offsets[query * size + place : query * size + place + 2]
                first, second = scales[query, place].tolist()
                yield _Match(query, image, (first, second), transforms[query, place],
                             inliers[start:stop, 1])  # fmt: skip

    def _projected(self, match: _Match) -> np.ndarray:
        """Around the query's box, which is all of its map, in the image's pixels."""
        width, height = _size(self._query_sizes, match.query, match.scales[0])
        corners = np.array([[x, y, 1] for x in (-0.5, width - 0.5) for y in (-0.5, height - 0.5)])
        cells = corners @ match.transform.astype(np.float64).T
        return self._in_pixels(np.concatenate([cells.min(axis=0), cells.max(axis=0)]), match)

    def _of(self, match: _Match) -> np.ndarray:
        """Around the features that agree, each with two standard deviations."""
        features = self._features(match.image)
        if len(match.features) and not 0 <= match.features.min() <= match.features.max() < len(
            features.means
        ):
            raise ValueError(f"a feature that image {match.image} does not have")
        means = features.means[match.features].astype(np.float64)
        variances = features.covariances[match.features][:, [0, 2]].astype(np.float64)
        reach = _DEVIATIONS * np.sqrt(np.maximum(variances, 0))
        if not len(means):
            return np.full(4, np.nan)
        return self._in_pixels(
            np.concatenate([(means - reach).min(axis=0), (means + reach).max(axis=0)]), match
        )

    def _in_pixels(self, cells: np.ndarray, match: _Match) -> np.ndarray:
        """A box ``(4,)`` in cells, whose centres are at integers, in pixels of the whole image."""
        size = _size(self._sizes, match.image, match.scales[1])
        x0, y0, x1, y1 = self._described[match.image].astype(np.float64)
        cell = np.array([x1 - x0, y1 - y0]) / size
        return (cells + 0.5) * np.tile(cell, 2) + [x0, y0, x0, y0]

    def _clipped(self, box: np.ndarray, image: int) -> np.ndarray:
        width, height = self._image_sizes[image].tolist()
        return np.clip(box, 0, [width, height, width, height])


def _size(sizes: np.ndarray, image: int, scale: int) -> tuple[int, int]:
    if not (0 <= scale < sizes.shape[1] and sizes[image, scale].min() > 0):
        raise ValueError(f"no map of image {image} at scale {scale}")
    width, height = sizes[image, scale].tolist()
    return width, height


def _agreement(box: np.ndarray, truth: np.ndarray | None) -> tuple[float, bool]:
    """Largest IoU with a true box, and whether the centre lies in one; of no area nothing does."""
    if truth is None or not (np.isfinite(box).all() and (box[:2] < box[2:]).all()):
        return 0.0, False
    return float(overlaps(box[None], truth).max()), bool(centre_inside(box[None], truth)[0])


def _means(ious: np.ndarray, inside: np.ndarray) -> dict[str, float | None]:
    if not len(ious):
        return dict.fromkeys(("centres_inside", f"IoU>={IOU:g}", "mean_IoU"))
    means = inside.mean(), (ious >= IOU).mean(), ious.mean()
    names = "centres_inside", f"IoU>={IOU:g}", "mean_IoU"
    return {name: float(mean) for name, mean in zip(names, means, strict=True)}
