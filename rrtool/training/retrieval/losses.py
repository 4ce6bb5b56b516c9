"""Losses over pairs and triplets of descriptors, as sums of what each pair or triplet costs."""

import torch


def squared_distances(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """d² of rows that belong together, ``(m, d)`` each → ``(m,)``."""
    return (first - second).square().sum(dim=-1)


def contrastive(squared: torch.Tensor, are_matches: torch.Tensor, margin: float) -> torch.Tensor:
    """Σ ½ y d² + ½ (1 − y) max(0, margin − d)² over pairs (Radenović et al., eq. 3).

    The released code adds 1e-6 to every coordinate's difference instead, so that the root has a
    slope where two descriptors are equal. Here equal descriptors that should not match cost
    ½ margin² and get no gradient: no direction leads apart.

    Args:
        squared: ``(m,)`` squared Euclidean distances of l2-normalised descriptors.
        are_matches: ``(m,)`` bool: y.
        margin: distance from which pairs that do not match cost nothing.
    """
    distances = torch.where(squared > 0, squared, 1.0).sqrt() * (squared > 0)
    apart = (margin - distances).clamp_min(0).square()
    return 0.5 * torch.where(are_matches, squared, apart).sum()


def triplet(positive: torch.Tensor, negative: torch.Tensor, margin: float) -> torch.Tensor:
    """Σ max(0, d(q, p)² − d(q, n)² + margin) over triplets (Gordo et al., thesis §4.5.1).

    Args:
        positive, negative: ``(t,)`` squared distances of the query to each.
    """
    return (positive - negative + margin).clamp_min(0).sum()
