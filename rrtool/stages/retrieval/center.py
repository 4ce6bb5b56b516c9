"""Whitening about the mean of the images themselves, or of those that they are compared with.

A mean takes no labels and few images, and that of the collection itself serves it best; so the
whitening that comes with rrtool is applied when all of its images are described.
"""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from rrtool.artifacts import Features, OverImages
from rrtool.artifacts.output.joining import Derived
from rrtool.artifacts.schema import Column
from rrtool.core.retrieval.whitening import apply_whitening, l2_normalize, sum_of_directions
from rrtool.errors import ArtifactError
from rrtool.networks.packaged import own_head
from rrtool.stages.activations.task import Finisher
from rrtool.stages.over_images import Finish
from rrtool.stages.retrieval.describer import whitening_name

# A collection's mean counts as much as the learnt one when it has this many images: the mean of one
# photo is the photo.
_AS_MANY = 10


def center_of(features: Features) -> np.ndarray:
    """What was subtracted before these features were whitened, ``(k,)``.

    Raises:
        ArtifactError: they were not whitened so.
    """
    if Features.center not in features:
        raise ArtifactError(
            "these features were not whitened about a mean of their own", where=features.path,
            expected="features of extract with the default network and whitening",
            found=f"whitening {features.options.get('whitening')}",
        )  # fmt: skip
    return features.center


Whitening = tuple[np.ndarray, np.ndarray]  # learnt mean (k,) and projection (d, k)


def own_whitening(features: OverImages) -> Whitening:
    """The whitening that comes with rrtool, by which features were whitened about their own mean.

    Raises:
        ArtifactError: it was another version of it.
    """
    for name, forms in own_head().whitenings.items():
        for scales, found in forms.items():
            if (
                whitening_name(name, scales, found, has_version=True)
                == features.options["whitening"]
            ):
                return found
    raise ArtifactError(
        "the whitening of these features is not the one that comes with this version",
        where=features.path, found=features.options["whitening"], todo="make them again",
    )  # fmt: skip


def whitened(descriptors: np.ndarray, center: np.ndarray, whitening: Whitening) -> np.ndarray:
    """``(n, d)``: descriptors ``(n, k)`` less a mean ``(k,)``, projected."""
    return apply_whitening(l2_normalize(descriptors), center, whitening[1])


def whiten_about(center: np.ndarray | None, whitening: Whitening) -> Finisher:
    """What is left to do when all descriptors are there.

    Args:
        center: ``(k,)`` about which they are whitened already; None for their own mean. With other
            images that is another, so what they were before is kept beside.
    """

    def finish(read: Callable[[Column], Iterator[np.ndarray]]) -> Finish:
        about = _mean(read(Features.unwhitened), whitening[0]) if center is None else center
        digest = hashlib.blake2b(about.tobytes(), digest_size=4).hexdigest()
        made = Derived(Features.unwhitened.name, lambda rows: whitened(rows, about, whitening))
        return Finish(
            columns=Features.columns(center=about),
            facts={"centred_on": digest},
            derived={Features.descriptors.name: made} if center is None else {},
        )

    return finish


def _mean(parts: Iterator[np.ndarray], learnt: np.ndarray) -> np.ndarray:
    """``(k,)`` float32, of those that are not zero, together with the learnt one."""
    total, n = sum_of_directions(parts, _AS_MANY * learnt.astype(np.float64), _AS_MANY)
    return (total / n).astype(np.float32)
