"""Pooling through which a network is trained, over whole maps or over masks (§2.5, §4.5.1)."""

import torch


def pooled(
    maps: torch.Tensor, exponent: torch.Tensor | None, masks: torch.Tensor | None = None
) -> torch.Tensor:
    """Global descriptors, not normalised, with finite gradients everywhere.

    The values are those of ``core.retrieval.pooling``; a map that is zero gives zero.

    Args:
        maps: ``(b, k, h, w)``, not negative, of any floating type.
        exponent: ω of generalized-mean pooling (eq. 2.13), ``(1,)`` or ``(k,)``, positive; it may
            be learned. None is maximum pooling (eq. 2.12).
        masks: ``(b, k, h, w)`` bool. Only positions where it is true are pooled; where it is true
            nowhere in a channel, all positions are (§4.5.1). No gradient goes through it.

    Returns:
        ``(b, k)``, of the type of ``maps``.
    """
    if masks is not None:
        masks = masks | ~masks.any(dim=3, keepdim=True).any(dim=2, keepdim=True)
    if exponent is None:
        return _largest(maps, masks)
    return _generalized_mean(maps, exponent, masks)


def unit(descriptors: torch.Tensor) -> torch.Tensor:
    """Descriptors of length 1 along the last axis; zero stays zero, with a finite gradient."""
    lengths = descriptors.norm(dim=-1, keepdim=True)
    return descriptors / torch.where(lengths > 0, lengths, 1.0)


def _largest(maps: torch.Tensor, masks: torch.Tensor | None) -> torch.Tensor:
    """Maxima over the masked positions; positions that share one share its gradient."""
    if masks is not None:
        maps = maps.masked_fill(~masks, -torch.inf)
    return maps.amax(dim=(2, 3))


def _generalized_mean(
    maps: torch.Tensor, exponent: torch.Tensor, masks: torch.Tensor | None
) -> torch.Tensor:
    """The mean is homogeneous: any factor may be taken out of the maps, and needs no gradient.

    With the maximum as the factor no power overflows, and the mean of the powers is at least one
    over the number of positions, where its root has a moderate slope.
    """
    # Networks give channels-last maps: seen as (b, positions, k) they are contiguous.
    positions = maps.permute(0, 2, 3, 1).flatten(1, 2)
    factor = _largest(maps.detach(), masks)[:, None]
    is_zero = factor <= 0
    counts = positions > 0
    n_positions: torch.Tensor | int = positions.shape[1]
    if masks is not None:
        chosen = masks.permute(0, 2, 3, 1).flatten(1, 2)
        counts, n_positions = counts & chosen, chosen.sum(dim=1)
    # A power of zero has no slope, whatever the exponent, rather than an infinite one below 1. By
    # logarithms forward and backward take two thirds of the time of a power with its two slopes.
    ratios = torch.where(counts, positions / torch.where(is_zero, 1.0, factor), 1.0)
    powers = (ratios.log() * exponent).exp() * counts
    mean = torch.where(is_zero[:, 0], 1.0, powers.sum(dim=1) / n_positions)
    return mean.pow(1 / exponent) * factor[:, 0]
