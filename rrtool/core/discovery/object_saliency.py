"""Object saliency (§5.3.8)."""

import numpy as np

from rrtool.core.diffusion.graph import edge_weight
from rrtool.core.discovery.saliency import check_values, unit_maximum

THETA = 3.0
GAMMA = 3.0


def object_saliency(
    feature_saliency: np.ndarray,
    neighbor_ids: np.ndarray,
    similarities: np.ndarray,
    region_saliencies: np.ndarray,
    centrality: np.ndarray,
    *,
    theta: float = THETA,
    gamma: float = GAMMA,
) -> np.ndarray:
    """Object saliency ``S_p = F̂_p^θ Σ_{i ∈ N_p} s(v_i, z_p) f_i^θ u_i`` (eq. 5.14), of maximum 1.

    Args:
        feature_saliency: ``(h, w)`` F̂ of the image, non-negative.
        neighbor_ids: ``(h·w, k)`` regions nearest to the patch at each position, positions in
            raster order; negative for none.
        similarities: ``(h·w, k)`` inner products of their descriptors with the patch's; s is
            their positive part to the power γ, as in the graph (§2.4). Read where there is a
            neighbour only.
        region_saliencies: ``(n,)`` f of each region (eq. 5.9), non-negative.
        centrality: ``(n,)`` u of each region, non-negative.
        theta: θ, 3 in the thesis; 0 takes feature saliency out.
        gamma: γ; 1 is the plain inner product.

    Returns:
        ``(h, w)`` float32 in [0, 1]; zeros where no position has a neighbour of weight.

    Raises:
        ValueError: the shapes don't fit, an id is not below ``n``, or a value that counts is
            NaN, infinite or, but for similarities, negative; or an exponent is negative.
    """
    _check(feature_saliency, neighbor_ids, similarities, region_saliencies, centrality)
    if not (theta >= 0 and gamma > 0):
        raise ValueError(f"theta is {theta} and gamma {gamma}, expected theta >= 0 and gamma > 0")
    significance = np.asarray(region_saliencies, np.float64) ** theta * centrality
    found = neighbor_ids >= 0
    weights = edge_weight(np.where(found, similarities, 0), gamma)
    # One more region without significance stands for no neighbour, and for n = 0.
    significance = np.append(significance, 0.0)
    sums = np.einsum("pk,pk->p", weights, significance[np.where(found, neighbor_ids, -1)])
    saliency = np.asarray(feature_saliency, np.float64) ** theta
    return unit_maximum(saliency * sums.reshape(saliency.shape)).astype(np.float32)


def _check(feature_saliency, neighbor_ids, similarities, region_saliencies, centrality) -> None:
    n_positions, n_regions = feature_saliency.size, len(region_saliencies)
    if feature_saliency.ndim != 2 or centrality.shape != region_saliencies.shape:
        raise ValueError(
            f"feature saliency is {feature_saliency.shape}, expected (h, w); regions have"
            f" {region_saliencies.shape} saliencies and {centrality.shape} centralities"
        )
    if neighbor_ids.shape != similarities.shape or neighbor_ids.shape[:1] != (n_positions,):
        raise ValueError(
            f"neighbours are {neighbor_ids.shape} and similarities {similarities.shape},"
            f" expected ({n_positions}, k) both"
        )
    if neighbor_ids.max(initial=-1) >= n_regions:
        raise ValueError(f"region {neighbor_ids.max()} is a neighbour, but there are {n_regions}")
    check_values("the feature saliency", feature_saliency)
    check_values("the region saliencies", region_saliencies)
    check_values("the centrality", centrality)
    if not np.isfinite(similarities[neighbor_ids >= 0]).all():
        raise ValueError("a similarity is NaN or infinite")
