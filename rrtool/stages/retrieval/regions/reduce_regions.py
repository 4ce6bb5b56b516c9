"""``rrtool reduce-regions``: regions → regions, fewer an image (thesis fig. 5.10)."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from rrtool.artifacts import OutputFile, OverImages, Regions, offsets_of, open_artifact
from rrtool.core.retrieval.region_reduction import ReducedRegions, reduce_regions
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Datasets, Wanted, as_inputs, make
from rrtool.stages.retrieval.options import ReduceRegionsOptions


def run(options: ReduceRegionsOptions, progress: Progress) -> Path:
    """Replace the regions of every image by fewer, see ``core.retrieval.region_reduction``.

    A region's box is then the smallest around those it stands for. Scales and saliencies of
    single regions are not kept. What becomes of an image depends on itself and the seed alone.

    Raises:
        RrtoolError: the input is no regions.
    """
    with open_artifact(options.regions, Regions) as regions:
        settings = {
            **regions.options,
            "regions": f"{regions.options['regions']}, GMM {options.n_regions}",
            **options.settings(),
        }

        def work(outputs: list[OutputFile]) -> None:
            outputs[0].publish(_reduce(regions, options, progress), extra=regions.facts)

        return make(
            options, Wanted(options.output, Regions, settings), work, progress,
            amount=lambda outputs: Amount(
                regions.lengths["n"], "images", 2 * regions.n_bytes(Regions.descriptors)
            ),
            inputs=as_inputs(regions=regions), network=regions.network,
        )  # fmt: skip


def _reduce(regions: Regions, options: ReduceRegionsOptions, progress: Progress) -> Datasets:
    vectors, boxes = regions.descriptors, regions.region_boxes
    offsets = regions.offsets.tolist()
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
    return Regions.columns(
        descriptors=np.concatenate([np.zeros((0, vectors.shape[1]), np.float32), *reduced]),
        region_boxes=np.concatenate(new_boxes),
        offsets=offsets_of([len(descriptors) for descriptors in reduced]),
        **regions.values(OverImages),
    )


def _boxes_around(boxes: np.ndarray, reduced: ReducedRegions) -> np.ndarray:
    """``(m, 4)`` the smallest box around the members of each."""
    around = [
        [*boxes[members, :2].min(axis=0), *boxes[members, 2:].max(axis=0)]
        for members in reduced.members.T
    ]
    return np.array(around, dtype=np.float32).reshape(-1, 4)
