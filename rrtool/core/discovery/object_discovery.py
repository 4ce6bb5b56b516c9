"""What repeats in a collection: groups of central regions that show the same thing.

The thesis stops at how central each region is (§5.3.7) and uses that for saliency; turning
centrality into a list of objects is this project's own step.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from rrtool.core.discovery.saliency import check_values


@dataclass(frozen=True)
class DiscoveryOptions:
    """When regions are one object; the defaults were chosen on real photos (docs/methods.md).

    Attributes:
        min_images: fewest images that an object is seen in.
        quantile: of the weights of all edges between images; weaker edges do not count.
        cohesion: share of an object's other regions that each must have an edge to.
        overlap: regions of one image are the same thing where their intersection is more than
            this share of the smaller one.
    """

    min_images: int = 3
    quantile: float = 0.7
    cohesion: float = 0.5
    overlap: float = 0.5


@dataclass(frozen=True)
class DiscoveredObjects:
    """Objects, those of most images first, ties by falling centrality of their first region.

    Attributes:
        offsets: ``(n_objects + 1,)`` int64 into the others.
        regions: ``(m,)`` int64, one region an image: first the most central one, which represents
            the object, then the others by falling weight of their edge to it.
        weights: ``(m,)`` float32 of these edges; 1 for the first region.
    """

    offsets: np.ndarray
    regions: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1


def discover_objects(
    adjacency: sparse.csr_array,
    centrality: np.ndarray,
    images: np.ndarray,
    boxes: np.ndarray,
    options: DiscoveryOptions = DiscoveryOptions(),
) -> DiscoveredObjects:
    """Group regions greedily around the most central ones.

    Regions are taken by falling centrality, ties by id. Each that no object has yet gathers its
    neighbours of other images, of each image the one with the heaviest edge; those with edges to
    too few of the others leave, the worst first. If enough images remain they are an object, and
    what overlaps its regions in their images is no part of another one. A region reaches its
    direct neighbours only, so that no chain of look-alikes ties different things together.

    Args:
        adjacency: ``(n, n)`` symmetric weights of the region graph, non-negative.
        centrality: ``(n,)`` significance of each region, non-negative.
        images: ``(n,)`` integers, the image of each region.
        boxes: ``(n, 4)`` regions as ``(x0, y0, x1, y1)`` in any unit of their image.

    Returns:
        The objects; none where no edge joins two images.

    Raises:
        ValueError: the shapes don't fit, or centrality or boxes are NaN, infinite, or negative
            where they must not be.
    """
    require_usable(adjacency, centrality, images, boxes)
    links = strong_links(adjacency, images, options.quantile)
    return group_regions(links, centrality, images, boxes, options)


def group_regions(
    links: sparse.csr_array,
    centrality: np.ndarray,
    images: np.ndarray,
    boxes: np.ndarray,
    options: DiscoveryOptions = DiscoveryOptions(),
) -> DiscoveredObjects:
    """As ``discover_objects``, of edges that all count, such as verified ones of ``strong_links``.

    Raises:
        ValueError: as there.
    """
    require_usable(links, centrality, images, boxes)
    of_image = _Grouped(images)
    free = np.ones(len(images), dtype=bool)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for seed in np.argsort(-centrality, kind="stable").tolist():
        if not free[seed]:
            continue
        regions, weights = _around(seed, links, images, free)
        if len(regions) < options.min_images:
            continue
        kept = _cohesive(_joined(regions, links), options.cohesion)
        if len(kept) < options.min_images:
            continue
        found.append((regions[kept], weights[kept]))
        for region in regions[kept].tolist():
            others = of_image[images[region]]
            free[others[_overlaps(boxes[region], boxes[others]) > options.overlap]] = False
            free[region] = False
    return _by_size(found)


def strong_links(
    adjacency: sparse.csr_array, images: np.ndarray, quantile: float
) -> sparse.csr_array:
    """The edges between images whose weight is not below the quantile of all of these."""
    edges = adjacency.tocoo()
    between = (images[edges.row] != images[edges.col]) & (edges.data > 0)
    row, column, weights = edges.row[between], edges.col[between], edges.data[between]
    if len(weights):
        strong = weights >= np.quantile(weights, quantile)
        row, column, weights = row[strong], column[strong], weights[strong]
    links = sparse.csr_array((weights, (row, column)), shape=adjacency.shape)
    links.sort_indices()
    return links


class _Grouped:
    """Ids by label: ``grouped[label]`` are the ids that carry it, rising."""

    def __init__(self, labels: np.ndarray) -> None:
        self._order = np.argsort(labels, kind="stable")
        self._sorted = labels[self._order]

    def __getitem__(self, label: int) -> np.ndarray:
        start, stop = np.searchsorted(self._sorted, [label, label + 1])
        return self._order[start:stop]


def _around(
    seed: int, links: sparse.csr_array, images: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The seed and its free neighbours, one an image, by falling weight, ties by id."""
    start, stop = links.indptr[seed : seed + 2]
    ids, weights = links.indices[start:stop].astype(np.int64), links.data[start:stop]
    ids, weights = ids[free[ids]], weights[free[ids]]
    order = np.argsort(-weights, kind="stable")
    _, first = np.unique(images[ids[order]], return_index=True)
    best = order[np.sort(first)]
    return np.append(seed, ids[best]), np.append(np.float32(1), weights[best])


def _joined(regions: np.ndarray, links: sparse.csr_array) -> np.ndarray:
    """``(m, m)`` bool, which of the regions are linked.

    Not ``links[regions][:, regions]``: that takes time in the number of all regions.
    """
    neighbors = [links.indices[links.indptr[r] : links.indptr[r + 1]] for r in regions]
    return np.stack([np.isin(regions, own) for own in neighbors])


def _cohesive(joined: np.ndarray, cohesion: float) -> np.ndarray:
    """Positions that remain when those with too few links leave, one by one, the worst first.

    Of equal ones the last leaves; position 0, to which all are linked, stays.
    """
    kept = np.arange(len(joined))
    while len(kept) > 1:
        degrees = joined[np.ix_(kept, kept)].sum(axis=1)
        worst = len(kept) - 1 - int(degrees[:0:-1].argmin())
        if degrees[worst] >= cohesion * (len(kept) - 1):
            break
        kept = np.delete(kept, worst)
    return kept


def _overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection of a box with each of ``boxes`` over the smaller area; 0 where that is 0."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    smaller = np.minimum((box[2:] - box[:2]).prod(), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    shared = np.maximum(sides, 0).prod(axis=1)
    return np.divide(shared, smaller, out=np.zeros(len(boxes)), where=smaller > 0)


def _by_size(found: list[tuple[np.ndarray, np.ndarray]]) -> DiscoveredObjects:
    ordered = sorted(found, key=lambda one: -len(one[0]))
    sizes = [len(regions) for regions, _ in ordered]
    return DiscoveredObjects(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.concatenate([np.zeros(0, np.int64), *(regions for regions, _ in ordered)]),
        np.concatenate([np.zeros(0, np.float32), *(weights for _, weights in ordered)]),
    )


def require_usable(
    adjacency: sparse.csr_array, centrality: np.ndarray, images: np.ndarray, boxes: np.ndarray
) -> None:
    """Raise ``ValueError`` as ``discover_objects`` does."""
    n = len(images)
    if adjacency.shape != (n, n) or centrality.shape != (n,) or boxes.shape != (n, 4):
        raise ValueError(
            f"{n} images with a graph of {adjacency.shape}, centrality {centrality.shape} and"
            f" boxes {boxes.shape}, expected ({n}, {n}), ({n},) and ({n}, 4)"
        )
    check_values("centrality", centrality)
    if not (np.isfinite(boxes).all() and (boxes[:, :2] <= boxes[:, 2:]).all()):
        raise ValueError("a box is not finite or ends before it starts")
