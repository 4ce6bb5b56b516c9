"""Scores of spatially verified images: the thesis's inlier count, and its fusion with similarity.

On small collections with weak channels, the number of inliers alone (thesis §4.3.6) ranks worse
than the descriptors' similarity does; see docs/methods.md for the measurements that fixed the form
and the one constant here.
"""

import numpy as np

from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import Matches

AGREEMENT_WEIGHT = 0.25
# A candidate this similar shows the very photo of the query, not another of the same object.
COPY_SIMILARITY = 0.999


def strength_agreement(
    matches: Matches,
    query: LocalFeatures,
    query_image: int,
    database: LocalFeatures,
    candidate_ids: np.ndarray,
) -> np.ndarray:
    """Inliers of each candidate, each counted by how alike the two activations are (our choice).

    An inlier of strengths ``v₁, v₂`` counts ``min(v₁, v₂) / max(v₁, v₂)``: one that chance put
    there joins activations of unrelated strength more often than a true one does.

    Args:
        matches: one-to-one matches of the query against ``candidate_ids``.
        query, query_image: local features that hold the query, and its index there.
        candidate_ids: ``(c,)`` images of ``database``.

    Returns:
        ``(c,)`` float64, at most the number of inliers.
    """
    candidates = np.repeat(np.arange(len(candidate_ids)), np.diff(matches.inlier_offsets))
    first = database.offsets[np.asarray(candidate_ids, dtype=np.int64) * database.n_scales]
    query_first = query.offsets[query_image * query.n_scales]
    v1 = query.strengths[query_first + matches.inliers[:, 0]].astype(np.float64)
    v2 = database.strengths[first[candidates] + matches.inliers[:, 1]].astype(np.float64)
    largest = np.maximum(v1, v2)
    ratios = np.divide(np.minimum(v1, v2), largest, out=np.zeros_like(v1), where=largest > 0)
    return np.bincount(candidates, ratios, minlength=len(candidate_ids))


def fuse(similarities: np.ndarray, agreements: np.ndarray, is_copy: np.ndarray) -> np.ndarray:
    """``z(similarity) + AGREEMENT_WEIGHT · z(agreement)`` over one shortlist (our choice).

    Each term is standardised by the mean and deviation of the shortlist, copies of the query
    left out: one photo that equals the query has a hundred times the inliers of any other and
    would flatten all differences between those.

    Args:
        similarities: ``(c,)`` of the descriptors.
        agreements: ``(c,)``, see `strength_agreement`.
        is_copy: ``(c,)`` bool, candidates known to be the query's own photo; those with a
            similarity over ``COPY_SIMILARITY`` are taken for copies too.

    Returns:
        ``(c,)`` float64. Copies are scored like the others.
    """
    others = ~(is_copy | (similarities > COPY_SIMILARITY))
    agreement = _standardized(agreements, others)
    return _standardized(similarities, others) + AGREEMENT_WEIGHT * agreement


def _standardized(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Values in deviations from the mean of the reference entries; 0 where those don't vary."""
    values = values.astype(np.float64)
    chosen = values[reference]
    if len(chosen) == 0:
        return np.zeros_like(values)
    # Equal values give deviations of rounding size, which must not be blown up to order one.
    deviation = chosen.std()
    if deviation <= 1e-9 * max(1.0, float(np.abs(chosen).max())):
        return np.zeros_like(values)
    return (values - chosen.mean()) / deviation
