"""Feature saliency of activation maps (thesis §5.3.3, eq. 5.1–5.2, §5.4.1)."""

import numpy as np

EPSILON = 1e-6
MASK_THRESHOLD = 0.01
NORMALIZATIONS = ("max", "crow")


def channel_density(activation_map: np.ndarray) -> np.ndarray:
    """Fraction of the positions at which each channel is not zero: **a** of eq. 5.1.

    Args:
        activation_map: ``(k, h, w)`` float32, non-negative, ``h, w >= 1``.

    Returns:
        ``(k,)`` float64. Statistics of a whole collection are averages of these.
    """
    _check_positions(activation_map)
    return np.count_nonzero(activation_map, axis=(1, 2)) / activation_map[0].size


def channel_weights(density: np.ndarray) -> np.ndarray:
    """Weights of the channels, larger for sparser ones: **b** of eq. 5.1.

    ``b_j = log(Σ_i (a_i + ε) / (a_j + ε))``, ε = 1e-6. CroW gives silent channels zero weight;
    here they have the largest, which does no harm because they add nothing to eq. 5.2.

    Args:
        density: ``(k,)`` from :func:`channel_density`.

    Returns:
        ``(k,)`` float64, never negative: a network of one channel has weight 0.
    """
    shifted = np.asarray(density, np.float64) + EPSILON
    return np.log(shifted.sum() / shifted)


def feature_saliency(
    activation_map: np.ndarray, weights: np.ndarray | None = None, normalization: str = "max"
) -> np.ndarray:
    """Feature saliency ``F̂`` (eq. 5.2), normalised as in CroW, then to maximum 1.

    CroW's normalisation is ``(F / (Σ F²)^{1/2})^{1/2}``; scaled to maximum 1 it is
    ``(F / max F)^{1/2}``. The thesis stops at the former, in which the values of a map fall as its
    positions grow in number: the regions of coarse scales then have the larger f in (5.14).

    Args:
        activation_map: ``(k, h, w)`` float32, non-negative.
        weights: ``(k,)`` channel weights; by default those of this very map (eq. 5.1).
        normalization: ``max`` (our choice), or ``crow`` for CroW's alone.

    Returns:
        ``(h, w)`` float32 in [0, 1]. A map that is zero everywhere, or of channels without
        weight, gives zeros.

    Raises:
        ValueError: the map isn't three-dimensional or not of positive extent, or it holds
            negative, NaN or infinite values, or the normalization is unknown.
    """
    _check_positions(activation_map)
    check_values("the map", activation_map)
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"unknown normalization {normalization!r}")
    if weights is None:
        weights = channel_weights(channel_density(activation_map))
    n_channels, height, width = activation_map.shape
    flat = activation_map.reshape(n_channels, height * width)
    # Not a BLAS product: its threads spin on, on the cores that the next steps want (their time
    # grew by half).
    saliency = unit_maximum(np.einsum("k,kp->p", np.asarray(weights, np.float32), flat))
    if normalization == "crow":
        saliency /= max(np.linalg.norm(saliency), 1)  # below 1 where all is zero
    return np.sqrt(saliency).reshape(height, width)


def prepare_for_detection(
    saliency_map: np.ndarray, rho: float, threshold: float = MASK_THRESHOLD
) -> np.ndarray:
    """Masks the weakest values and raises the contrast, before regions are detected (§5.4.1).

    Args:
        saliency_map: ``(h, w)`` float32, non-negative.
        rho: exponent ρ; 7 for feature saliency, 2 for object saliency (§5.4.2).
        threshold: τ; values below this fraction of the map's maximum become zero.

    Returns:
        ``(h, w)`` float32 of maximum 1: the map is scaled first, so that no power underflows.
        A zero map stays zero.

    Raises:
        ValueError: the map holds negative, NaN or infinite values, or rho is not positive.
    """
    if not rho > 0:
        raise ValueError(f"the exponent is {rho}, expected a positive number")
    check_values("the map", saliency_map)
    scaled = unit_maximum(np.asarray(saliency_map, np.float32))
    return np.where(scaled >= threshold, scaled, 0).astype(np.float32) ** np.float32(rho)


def unit_maximum(values: np.ndarray) -> np.ndarray:
    """Non-negative values over the largest of them; zeros stay zeros."""
    largest = values.max(initial=0)
    return values / largest if largest > 0 else np.zeros_like(values)


def _check_positions(activation_map: np.ndarray) -> None:
    if activation_map.ndim != 3 or not activation_map.size:
        raise ValueError(f"the activation map is {activation_map.shape}, expected (k, h, w)")


def check_values(what: str, values: np.ndarray) -> None:
    """Refuses, with a ``ValueError``, what holds negative, NaN or infinite values."""
    # NaN fails every comparison, so it fails these too.
    if not (values.min(initial=0) >= 0 and values.max(initial=0) < np.inf):
        raise ValueError(f"{what} holds negative, NaN or infinite values")
