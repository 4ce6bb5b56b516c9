"""What the commands about whitening share."""

import numpy as np

from rrtool.artifacts import Whitening
from rrtool.core.retrieval.whitening import sum_of_directions
from rrtool.errors import ArtifactError
from rrtool.progress import Progress
from rrtool.stages.retrieval.descriptors import Described, read_usable

ROWS_AT_A_TIME = 1 << 14
# Of imported descriptors nobody knows; who whitens them does.
UNWHITENED = ("none", "learned layer", "as imported")


def require_unwhitened(features: Described) -> None:
    """Whitening is done once.

    Raises:
        ArtifactError: the features are whitened.
    """
    # A checkpoint's learned layer is part of its network; extract whitens after it, too.
    whitening = features.options.get("whitening")
    if whitening not in UNWHITENED:
        raise ArtifactError(
            "the features are whitened already",
            where=features.path,
            expected="whitening none",
            found=f"whitening {whitening}",
            todo="use extract --whitening none",
        )


def read_whitening(
    whitening: Whitening, center: Described | None, progress: Progress
) -> tuple[str, np.ndarray, np.ndarray]:
    """What tells descriptors whitened so apart, mean ``(k,)`` and projection ``(d, k)``.

    Raises:
        ArtifactError: the whitening is not finite.
    """
    for name in ("mean", "projection"):
        if not np.isfinite(getattr(whitening, name)).all():
            raise ArtifactError(
                f"the {name} holds NaN or infinite values", where=whitening.path,
                todo="make the whitening again",
            )  # fmt: skip
    if center is None:
        return whitening.label, whitening.mean, whitening.projection
    name = f"{whitening.label}, centred on {center.digest[:8]}"
    return name, _mean(center, progress), whitening.projection


def in_doubles(mean: np.ndarray, projection: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same whitening as ``apply_whitening`` computes with it, made once for many calls.

    Its product takes the transposed projection row by row, and so gives the same bits.
    """
    return mean.astype(np.float64), np.asfortranarray(projection, np.float64)


def _mean(features: Described, progress: Progress) -> np.ndarray:
    """Of the l2-normalised descriptors that are not zero, ``(k,)`` float32."""
    vectors, _ = read_usable(features, progress)
    starts = range(0, len(vectors), ROWS_AT_A_TIME)
    blocks = (vectors[start : start + ROWS_AT_A_TIME] for start in starts)
    total, n = sum_of_directions(blocks, np.zeros(vectors.shape[1]))
    return (total / max(1, n)).astype(np.float32)


def whitening_columns(
    mean: np.ndarray, projection: np.ndarray, eigenvalues: np.ndarray
) -> dict[str, np.ndarray]:
    """In single precision, as the released whitenings: descriptors have no more."""
    return Whitening.columns(
        mean=mean.astype(np.float32),
        projection=projection.astype(np.float32),
        eigenvalues=eigenvalues.astype(np.float64),
    )
