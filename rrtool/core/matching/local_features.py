"""Local features of a set of images: affine frames detected in activation maps (thesis §4.3.4)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LocalFeatures:
    """Local features ``q = (μ, Σ, v)`` of ``n_images`` images at ``n_scales`` scales each.

    Features lie grouped: group ``g = image * n_scales + scale`` holds the features
    ``offsets[g]:offsets[g + 1]``, sorted by channel, then by falling strength. The scale is
    therefore implied by the position and takes no storage.

    Attributes:
        means: ``(n, 2)`` float32, ``(x, y)`` in cells of the activation map of the feature's own
            scale; pixel centres lie at integers, the origin is the centre of the top-left cell.
        covariances: ``(n, 3)`` float32, ``(Σ_xx, Σ_xy, Σ_yy)`` in squared cells, positive definite.
        strengths: ``(n,)`` float32, the largest activation inside the region.
        channels: ``(n,)`` int32, the activation channel, which plays the visual word.
        offsets: ``(n_images * n_scales + 1,)`` int64.
        n_scales: number of scales per image.
    """

    means: np.ndarray
    covariances: np.ndarray
    strengths: np.ndarray
    channels: np.ndarray
    offsets: np.ndarray
    n_scales: int

    @property
    def n_images(self) -> int:
        return (len(self.offsets) - 1) // self.n_scales

    @property
    def n_features(self) -> int:
        return len(self.means)
