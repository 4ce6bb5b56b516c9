"""Masks of spatial training: what they are equal to, and what goes through them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from rrtool.core.matching.detection import DetectionOptions
from rrtool.core.matching.mser import ActivationHistogram
from rrtool.core.matching.pair_masks import locate, matching_features
from rrtool.core.matching.spatial_matching import MatchingOptions
from rrtool.training.retrieval.masks import Levels, PairMasks, levels_of, masks_of_pairs
from rrtool.training.retrieval.pooling import pooled, unit
from tests.core.matching.made_pairs import DELTA, SCALE, made_pair
from tests.core.matching.plain_pair_masks import plain_features, plain_masks

LEVELS = Levels(SCALE, DELTA)
CUBE = torch.tensor([3.0])


def tensors(seed: int) -> list[torch.Tensor]:
    return [torch.from_numpy(maps) for maps in made_pair(seed)]


def masked_descriptors(maps: list[torch.Tensor], exponent: torch.Tensor | None) -> torch.Tensor:
    """A_{1|2} and A_{2|1}, ``(2, k)``."""
    ((first, second),) = masks_of_pairs(maps, [(0, 1)], LEVELS)
    masks = [first[None], second[None]]
    each = [pooled(m[None], exponent, mask) for m, mask in zip(maps, masks, strict=True)]
    return unit(torch.cat(each))


def test_masks_of_pairs_equal_plain_ones():
    arrays = [*made_pair(0), made_pair(1)[0]]
    plain = [plain_features(maps, SCALE, DELTA) for maps in arrays]
    pairs = [(0, 1), (0, 2), (2, 0), (2, 2), (0, 1)]
    found = masks_of_pairs([torch.from_numpy(maps) for maps in arrays], pairs, LEVELS)
    for (first, second), masks in zip(pairs, found, strict=True):
        shapes = [arrays[first].shape, arrays[second].shape]
        *expected, _ = plain_masks(plain[first], plain[second], shapes)
        for mask, own in zip(masks, expected, strict=True):
            assert mask.dtype == torch.bool
            assert np.array_equal(mask.numpy(), own)
    assert not torch.equal(found[0][0], found[1][0])  # the query has a mask of its own in each


@pytest.mark.parametrize("seed", range(4))
def test_max_pooling_of_masks_pools_the_strengths_of_the_inliers(seed):
    maps = tensors(seed)
    rule = DetectionOptions(role="query")
    located = [locate(m.numpy(), scale=SCALE, delta=DELTA, options=rule) for m in maps]
    (rows,) = matching_features(located[0], [located[1]], MatchingOptions())
    ((first, second),) = masks_of_pairs(maps, [(0, 1)], LEVELS)
    for image, mask in enumerate((first, second)):
        features = located[image].features
        expected = maps[image].amax(dim=(1, 2))  # in channels without an inlier
        own = rows[image]
        for channel in set(features.channels[own].tolist()):
            of_channel = own[features.channels[own] == channel]
            expected[channel] = float(features.strengths[of_channel].max())
        assert torch.equal(pooled(maps[image][None], None, mask[None])[0], expected)


@pytest.mark.parametrize("exponent", [None, CUBE], ids=["mac", "gem"])
def test_gradients_are_those_of_finite_differences_and_of_the_maps_alone(exponent):
    maps = [m.double() for m in tensors(4)]
    # In the middle of their levels, and apart from one another, so that a difference changes
    # neither a level nor which activation is the largest.
    noise = torch.Generator().manual_seed(0)
    maps = [
        (torch.round(m * SCALE) + 0.3 * torch.rand(m.shape, generator=noise) + 0.05) / SCALE
        for m in maps
    ]
    maps = [m.requires_grad_() for m in maps]
    exponent = exponent if exponent is None else exponent.double()
    assert gradcheck(
        lambda *both: masked_descriptors(list(both), exponent), maps, fast_mode=True, eps=1e-7
    )
    assert masks_of_pairs(maps, [(0, 1)], LEVELS)[0][0].requires_grad is False


def test_no_gradient_goes_outside_the_masks():
    maps = [(m + 0.001).requires_grad_() for m in tensors(1)]
    ((first, second),) = masks_of_pairs(maps, [(0, 1)], LEVELS)
    masked_descriptors(maps, CUBE).sum().backward()
    for each, mask in zip(maps, (first, second), strict=True):
        has_inliers = mask.any(dim=2).any(dim=1)[:, None, None]
        assert has_inliers.any()
        assert not has_inliers.all()
        assert not each.grad[has_inliers & ~mask].any()
        assert (each.grad[mask] != 0).any()
        assert (each.grad[(~has_inliers).expand_as(mask)] != 0).any()


def test_without_an_inlier_whole_maps_are_pooled():
    maps = tensors(0)
    maps[0][:4], maps[1][4:] = 0, 0
    ((first, second),) = masks_of_pairs(maps, [(0, 1)], LEVELS)
    assert not first.any()
    assert not second.any()
    expected = unit(torch.cat([pooled(m[None], CUBE) for m in maps]))
    assert torch.equal(masked_descriptors(maps, CUBE), expected)


def test_masks_of_an_image_with_itself_hold_all_its_features():
    maps = tensors(2)[0]
    ((first, second),) = masks_of_pairs([maps], [(0, 0)], LEVELS)
    found = plain_features(maps.numpy(), SCALE, DELTA)
    assert np.array_equal(first.numpy(), np.any(found.pixels, axis=0))
    assert torch.equal(first, second)


def test_masks_of_maps_that_are_zero_are_empty():
    for maps in (torch.zeros(3, 4, 5), torch.zeros(3, 1, 1)):
        ((first, second),) = masks_of_pairs([maps, tensors(0)[0][:3]], [(0, 1)], LEVELS)
        assert not first.any()
        assert not second.any()
    assert masks_of_pairs([], [], LEVELS) == []


def test_masks_take_maps_of_any_layout_and_precision():
    maps = tensors(3)
    expected = masks_of_pairs(maps, [(0, 1)], LEVELS)[0]
    permuted = [m.permute(1, 2, 0).contiguous().permute(2, 0, 1) for m in maps]
    for same in (permuted, [m.double().requires_grad_() for m in maps]):
        found = masks_of_pairs(same, [(0, 1)], LEVELS)[0]
        assert all(map(torch.equal, found, expected))
    half = masks_of_pairs([m.bfloat16() for m in maps], [(0, 1)], LEVELS)[0]
    assert half[0].any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_maps_that_are_not_finite_match_nothing_and_teach_no_levels(bad):
    maps = tensors(0)
    expected = levels_of(maps)
    maps.append(maps[1].clone())
    maps[2][0, 0, 0] = bad
    good, (first, second) = masks_of_pairs(maps, [(0, 1), (0, 2)], LEVELS)
    assert good[0].any()
    assert not first.any()
    assert not second.any()
    assert levels_of(maps) == expected


def test_levels_of_are_those_of_the_histogram_of_all_maps():
    maps = tensors(0) + tensors(1)
    histogram = ActivationHistogram.empty()
    for each in maps:
        histogram = histogram.update(each.numpy())
    expected = (histogram.level_scale(), histogram.stability_delta())
    assert levels_of(maps) == expected
    assert levels_of(m.double().requires_grad_() for m in maps) == expected


def test_masks_need_levels_and_numbas_threads_are_started_before_training(monkeypatch):
    """Later they would change how many threads torch has in the middle of an epoch."""
    started = []
    monkeypatch.setattr("numba.get_num_threads", lambda: started.append(True))
    masks = PairMasks()
    assert started
    with pytest.raises(ValueError, match="learnt first"):
        masks(tensors(0), [(0, 1)])
