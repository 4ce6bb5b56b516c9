"""How many neighbours a collection bears: defaults of k and kq, by its number of images (§2.4).

The thesis has k = 50 and kq = 10 for images, k = kq = 200 for regions, on collections of thousands
with groups of a hundred. Groups are small in small collections; neighbours beyond them are chance,
and carry the diffusion astray. What belongs to a region is bounded by the images that show the
same, however many regions there are. The rules are our choice (measured: docs/reproduction.md).
"""

from math import sqrt

_LEAST = 3
_IMAGES_MOST, _REGIONS_MOST = 50, 200
_SEEDS_OF_IMAGE = 10


def default_k(n_images: int, n_vectors: int) -> int:
    """Neighbours of each vertex.

    Args:
        n_images: of the collection.
        n_vectors: descriptors in all; more than images where those are of regions.
    """
    most = _REGIONS_MOST if n_vectors > n_images else _IMAGES_MOST
    return max(1, min(most, max(_LEAST, int(_borne(n_images, n_vectors))), n_vectors - 1))


def default_seeds(k: int, n_images: int, n_vectors: int) -> int:
    """Vertices that each vector of a query starts from, kq, on a graph of k neighbours."""
    return k if n_vectors > n_images else min(_SEEDS_OF_IMAGE, max(1, k // 2))


def is_too_many(k: int, n_images: int, n_vectors: int) -> bool:
    """Whether k is more than twice what a collection of this size bears."""
    return k > 2 * _borne(n_images, n_vectors)


def _borne(n_images: int, n_vectors: int) -> float:
    """A fortieth of the images; of regions, which meet several of one image, 2√n."""
    return 2 * sqrt(n_images) if n_vectors > n_images else n_images / 40
