"""``rrtool reduce-regions``: regions → regions, fewer an image (thesis fig. 5.10)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from rrtool.artifacts import Artifact, Provenance, create, open_artifact
from rrtool.core.retrieval.region_reduction import ReducedRegions, reduce_regions
from rrtool.errors import UsageError
from rrtool.progress import Progress

_COLUMNS_OF_IMAGES = ("status", "image_sizes", "boxes", "file_signatures")


@dataclass(frozen=True)
class ReduceOptions:
    """Options of ``reduce-regions``.

    Attributes:
        n_regions: at most so many an image.
        seed: of the mixture's seeds.
    """

    n_regions: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_regions < 1:
            raise UsageError("bad --n-regions", expected="at least 1", found=self.n_regions)
        if self.seed < 0:
            raise UsageError("bad --seed", expected="at least 0", found=self.seed)


def run(
    regions: str,
    output: str | Path,
    options: ReduceOptions,
    *,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Replace the regions of every image by fewer, see ``core.region_reduction``.

    A region's box is then the smallest around those it stands for. Scales and saliencies of
    single regions are not kept. What becomes of an image depends on itself and the seed alone.

    Returns:
        The path of the new ``regions`` artifact.

    Raises:
        RrtoolError: the input is no regions.
    """
    with open_artifact(regions, "regions") as r:
        identity = {
            **r.options,
            "regions": f"{r.options['regions']}, GMM {options.n_regions}",
            "n_regions": options.n_regions,
            "reduction_seed": options.seed,
        }
        provenance = Provenance("regions", identity, [r.as_input("regions")], r.network)
        with create(output, provenance, overwrite=overwrite) as target:
            if target.is_current:
                progress.message(f"{target.path} is up to date")
                return target.path
            columns = {
                name: r.read(name)
                for name in r.dataset_names()
                if name in _COLUMNS_OF_IMAGES or name.startswith(("names/", "reasons/"))
            }
            # What extract skipped is no news here, and not this command's exit code.
            extra = {key: value for key, value in r.extra.items() if key != "n_skipped"}
            return target.publish({**columns, **_reduce(r, options, progress)}, extra=extra)


def _reduce(regions: Artifact, options: ReduceOptions, progress: Progress) -> dict[str, np.ndarray]:
    """Descriptors, boxes and offsets."""
    vectors, boxes = regions.read("descriptors"), regions.read("region_boxes")
    offsets = regions.read("offsets").tolist()
    reduced, new_boxes, n_open = [], [np.zeros((0, 4), np.float32)], 0
    with progress.task("reduce", len(offsets) - 1, "images") as advance:
        for first, last in pairwise(offsets):
            found = reduce_regions(
                vectors[first:last], options.n_regions, np.random.default_rng(options.seed)
            )
            reduced.append(found.descriptors)
            new_boxes.append(_boxes_around(boxes[first:last], found))
            n_open += not found.converged
            advance(1)
    if n_open:
        progress.message(f"{n_open} mixtures had not come to rest")
    counts = [len(descriptors) for descriptors in reduced]
    return {
        "descriptors": np.concatenate([np.zeros((0, vectors.shape[1]), np.float32), *reduced]),
        "region_boxes": np.concatenate(new_boxes),
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    }


def _boxes_around(boxes: np.ndarray, reduced: ReducedRegions) -> np.ndarray:
    """``(m, 4)`` the smallest box around the members of each."""
    around = [
        [*boxes[members, :2].min(axis=0), *boxes[members, 2:].max(axis=0)]
        for members in reduced.members.T
    ]
    return np.array(around, dtype=np.float32).reshape(-1, 4)
