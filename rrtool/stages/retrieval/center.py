"""Whitening about the mean of the images themselves, or of those that they are compared with.

A mean takes no labels and few images, and that of the collection itself serves it best; so the
whitening that comes with rrtool is applied when all of its images are described.
"""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from rrtool.artifacts import Features
from rrtool.artifacts.schema import Column
from rrtool.core.retrieval.whitening import apply_whitening, l2_normalize, sum_of_directions
from rrtool.errors import ArtifactError
from rrtool.stages.activations.task import Finish

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


def whiten_about(
    center: np.ndarray | None, whitening: tuple[np.ndarray, np.ndarray]
) -> Callable[[Callable[[Column], Iterator[np.ndarray]]], Finish]:
    """How descriptors are whitened when all are there.

    Args:
        center: ``(k,)`` to subtract; None for the mean of the descriptors themselves.
        whitening: learnt mean ``(k,)`` and projection ``(d, k)``.
    """
    mean, projection = whitening

    def finish(read: Callable[[Column], Iterator[np.ndarray]]) -> Finish:
        about = _mean(read(Features.descriptors), mean) if center is None else center

        def whitened(descriptors: np.ndarray) -> np.ndarray:
            return apply_whitening(l2_normalize(descriptors), about, projection)

        digest = hashlib.blake2b(about.tobytes(), digest_size=4).hexdigest()
        columns = Features.columns(center=about)
        return Finish({Features.descriptors.name: whitened}, columns, {"centred_on": digest})

    return finish


def _mean(parts: Iterator[np.ndarray], learnt: np.ndarray) -> np.ndarray:
    """``(k,)`` float32, of those that are not zero, together with the learnt one."""
    total, n = sum_of_directions(parts, _AS_MANY * learnt.astype(np.float64), _AS_MANY)
    return (total / n).astype(np.float32)
