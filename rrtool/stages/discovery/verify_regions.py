"""``discover --verify``: of the region graph the edges whose regions match (thesis §6.3.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from rrtool.artifacts import LocalFeaturesFile, Regions
from rrtool.core.diffusion.verified_lists import Pairs, chance_of
from rrtool.core.discovery.region_matching import features_of_regions
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import MatchingOptions, match
from rrtool.errors import ArtifactError
from rrtool.progress import Progress
from rrtool.stages.matching.local_features import LocalFeaturesReader

_CHANCE_PAIRS = 1000
# Of the edges that are kept, how many may be chance: the objects must hold together besides.
_MOST_BY_CHANCE = 0.2


def verified_links(
    links: sparse.csr_array, regions: Regions, local: LocalFeaturesFile, progress: Progress
) -> tuple[sparse.csr_array, dict[str, Any]]:
    """The edges between regions that match beyond chance, and what was found.

    Args:
        links: edges between regions of different images.
        local: local features of these images.

    Raises:
        ArtifactError: they are damaged.
    """
    pairs = Pairs.of_links(links)
    linked = np.flatnonzero(np.diff(links.indptr))
    drawn = pairs.others(linked, _CHANCE_PAIRS, seed=0).ends
    images = np.repeat(np.arange(regions.lengths["n"]), np.diff(regions.offsets))
    drawn = drawn[images[drawn[:, 0]] != images[drawn[:, 1]]]  # one photo matches itself
    ends = np.concatenate([pairs.ends, drawn])
    n_inliers = _matched(features_of(regions, local), ends, local.path, progress)
    listed, others = np.split(n_inliers, [len(pairs)])
    chance = chance_of(listed, others, _MOST_BY_CHANCE)
    kept = listed > chance.level
    progress.message(
        f"{kept.sum()} of {len(pairs)} pairs of regions match: more than {chance.level} inliers"
    )
    facts = {"n_pairs": len(pairs), "n_verified": int(kept.sum()), **vars(chance)}
    return pairs.only(links, kept), {"verification": facts}


def features_of(regions: Regions, local: LocalFeaturesFile) -> LocalFeatures:
    """The local features in and around each region."""
    features = LocalFeaturesReader(local).read(np.arange(local.lengths["n"])).features
    images = np.repeat(np.arange(regions.lengths["n"]), np.diff(regions.offsets))
    sizes = np.maximum(regions.image_sizes, 1)
    return features_of_regions(
        features, images, regions.region_boxes, local.map_sizes / sizes[:, None]
    )


def _matched(
    features: LocalFeatures, pairs: np.ndarray, path: str, progress: Progress
) -> np.ndarray:
    """Inliers of each pair ``(m, 2)``, in rising order of the first of a run."""
    counts, options = np.zeros(len(pairs), dtype=np.int32), MatchingOptions(one_to_one=True)
    breaks = np.flatnonzero(np.diff(pairs[:, 0])) + 1
    with progress.task("discover", len(pairs), "pairs") as advance:
        for run in np.split(np.arange(len(pairs)), breaks) if len(pairs) else ():
            first, others = int(pairs[run[0], 0]), pairs[run, 1]
            try:
                counts[run] = match(features, first, features, others, options).n_inliers
            except ValueError as error:
                what = "the local features cannot be matched"
                raise ArtifactError(what, where=path, found=error, todo="make them again") from None
            advance(len(run))
    return counts
