"""Spatial pooling of activation maps into global descriptors (thesis §2.5, eq. 2.11–2.13).

Every function takes activations ``(b, k, h, w)``, non-negative, and returns ``(b, k)`` on the same
device in float32. A map that is zero everywhere gives a zero vector, never NaN.
"""

from collections.abc import Callable, Sequence

import torch

POOLINGS = ("gem", "mac", "spoc", "rmac", "crow")
_TINY = 1e-12


def l2_normalize(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors of unit Euclidean norm along the last axis; zero vectors stay zero."""
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(_TINY)


def spoc(activations: torch.Tensor) -> torch.Tensor:
    """Average pooling (eq. 2.11)."""
    return activations.float().mean(dim=(-2, -1))


def mac(activations: torch.Tensor) -> torch.Tensor:
    """Maximum pooling (eq. 2.12)."""
    return activations.float().amax(dim=(-2, -1))


def gem(activations: torch.Tensor, exponent: float | torch.Tensor = 3.0) -> torch.Tensor:
    """Generalized mean pooling (eq. 2.13) with exponent ω, or ``(k,)`` exponents, one a channel.

    The maximum of each channel is factored out, so that no power under- or overflows. The
    released training code adds 1e-6 to every activation instead; that turns a zero map into a
    constant descriptor, which is why it is not done here.
    """
    # Networks give channels-last maps: seen as (b, positions, k) they are contiguous.
    positions = activations.float().permute(0, 2, 3, 1).flatten(1, 2)
    largest = positions.amax(dim=1, keepdim=True)
    powers = (positions / largest.clamp_min(_TINY)).pow_(exponent)
    return powers.mean(dim=1).pow(1.0 / exponent) * largest[:, 0]


def rmac_regions(height: int, width: int, n_levels: int = 3) -> list[tuple[int, int, int, int]]:
    """Square regions ``(x, y, w, h)`` of R-MAC: ``n_levels`` scales that overlap by about 40 %.

    Follows Tolias et al. 2016 as released: the number of regions along the longer side is the one
    of 2..7 whose overlap is nearest to 0.4; the whole map is the first region.
    """
    shorter, longer = min(height, width), max(height, width)
    candidates = range(1, 7)
    steps = [(longer - shorter) / n for n in candidates]
    overlap_gap = [abs((shorter**2 - shorter * step) / shorter**2 - 0.4) for step in steps]
    n_extra = overlap_gap.index(min(overlap_gap)) + 1 if longer > shorter else 0
    n_extra_x, n_extra_y = (n_extra, 0) if width > height else (0, n_extra)
    regions = [(0, 0, width, height)]
    for level in range(1, n_levels + 1):
        side = max(1, int(2 * shorter / (level + 1)))
        xs = _starts(width, side, level + n_extra_x)
        ys = _starts(height, side, level + n_extra_y)
        regions += [(x, y, side, side) for y in ys for x in xs]
    return regions


def _starts(length: int, side: int, count: int) -> list[int]:
    """First cells of ``count`` windows of ``side`` cells spread evenly over ``length`` cells."""
    step = 0.0 if count == 1 else (length - side) / (count - 1)
    return [int(i * step) for i in range(count)]


def rmac(activations: torch.Tensor, n_levels: int = 3) -> torch.Tensor:
    """R-MAC: regional maxima, each l2-normalised, summed (Tolias et al. 2016, thesis §2.5)."""
    return sum_over_regions(activations, lambda region: l2_normalize(mac(region)), n_levels)


def sum_over_regions(
    activations: torch.Tensor,
    describe: Callable[[torch.Tensor], torch.Tensor],
    n_levels: int = 3,
) -> torch.Tensor:
    """The sum of the descriptors ``(b, d)`` that ``describe`` gives of the regions of R-MAC."""
    height, width = activations.shape[-2:]
    total = torch.zeros((), device=activations.device)
    for x, y, w, h in rmac_regions(height, width, n_levels):
        total = total + describe(activations[..., y : y + h, x : x + w])
    return total


def crow(activations: torch.Tensor) -> torch.Tensor:
    """CroW: spatially and channel weighted sum pooling (Kalantidis et al. 2016, thesis §2.5)."""
    activations = activations.float()
    spatial_weights = crow_weights(activations)
    density = (activations > 0).float().mean(dim=(-2, -1))
    eps = 1e-6
    channel_weights = torch.log((density.sum(dim=1, keepdim=True) + eps) / (density + eps))
    return (activations * spatial_weights).sum(dim=(-2, -1)) * channel_weights


def crow_weights(activations: torch.Tensor) -> torch.Tensor:
    """The spatial weights of CroW, ``(b, 1, h, w)``: of the sum over channels."""
    total = activations.float().sum(dim=1, keepdim=True)
    norm = total.square().sum(dim=(-2, -1), keepdim=True).sqrt().clamp_min(_TINY)
    return (total / norm).sqrt()


def pool(
    activations: torch.Tensor, method: str, gem_exponent: float | torch.Tensor = 3.0
) -> torch.Tensor:
    """Pool with the named method, one of ``POOLINGS``, without normalisation."""
    if method == "gem":
        return gem(activations, gem_exponent)
    functions = {"mac": mac, "spoc": spoc, "rmac": rmac, "crow": crow}
    if method not in functions:
        raise ValueError(f"unknown pooling {method!r}: expected one of {', '.join(POOLINGS)}")
    return functions[method](activations)


def combine_scales(descriptors: Sequence[torch.Tensor], exponent: float = 1.0) -> torch.Tensor:
    """One l2-normalised descriptor from the l2-normalised ones of several scales (§4.4.1).

    Args:
        descriptors: one ``(b, k)`` tensor a scale.
        exponent: of the generalized mean; 1 is the plain average. Anything else needs
            non-negative descriptors, i.e. GeM without whitening.
    """
    stacked = torch.stack(list(descriptors))
    if exponent != 1.0:
        mean = stacked.clamp_min(0).pow(exponent).mean(dim=0).pow(1.0 / exponent)
    else:
        mean = stacked.mean(dim=0)
    return l2_normalize(mean)
