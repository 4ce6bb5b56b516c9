import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from rrtool.core.retrieval import pooling as inference
from rrtool.training.retrieval.pooling import pooled, unit

CUBE = torch.tensor([3.0])


def _maps(seed=0, dtype=torch.float64):
    """(2, 3, 4, 5), half of it zero, all other values apart from each other."""
    generator = np.random.default_rng(seed)
    values = generator.permutation(120).reshape(2, 3, 4, 5) / 50.0
    return torch.tensor(np.where(generator.random(values.shape) < 0.5, values, 0.0), dtype=dtype)


def _masks(seed=1):
    masks = torch.tensor(np.random.default_rng(seed).random((2, 3, 4, 5)) < 0.4)
    masks[0, 1] = False
    return masks


def _plain(maps, exponent, masks):
    """Brute force, one channel at a time, in float64."""
    found = np.zeros(maps.shape[:2])
    for b, k in np.ndindex(*found.shape):
        values = maps[b, k].numpy().ravel()
        chosen = values if masks is None else values[masks[b, k].numpy().ravel()]
        chosen = chosen if len(chosen) else values
        if exponent is None:
            found[b, k] = chosen.max()
        else:
            omega = float(exponent[min(k, len(exponent) - 1)])
            found[b, k] = (sum(chosen**omega) / len(chosen)) ** (1 / omega)
    return found


@pytest.mark.parametrize("masks", [None, _masks()], ids=["whole", "masked"])
@pytest.mark.parametrize("omega", [None, (3.0,), (0.7,), (1.0, 2.5, 6.0)], ids=str)
def test_pooled_equals_brute_force(omega, masks):
    exponent = None if omega is None else torch.tensor(omega, dtype=torch.float64)
    found = pooled(_maps(), exponent, masks)
    np.testing.assert_allclose(found, _plain(_maps(), exponent, masks), rtol=1e-12)


def test_pooled_equals_what_extract_pools():
    maps = _maps(dtype=torch.float32)
    torch.testing.assert_close(pooled(maps, None), inference.mac(maps))
    torch.testing.assert_close(pooled(maps, CUBE), inference.gem(maps, 3.0))


@pytest.mark.parametrize("masks", [None, _masks()], ids=["whole", "masked"])
@pytest.mark.parametrize("omega", [(3.0,), (1.0, 2.5, 6.0)], ids=str)
def test_gradients_equal_finite_differences(omega, masks):
    # At zero a map has only one side, so that differences are taken about positive values.
    maps = (_maps() + 0.01).requires_grad_()
    exponent = torch.tensor(omega, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda m, p: pooled(m, p, masks), (maps, exponent))
    assert gradcheck(lambda m: pooled(m, None, masks), (maps,))
    assert gradcheck(lambda m, p: unit(pooled(m, p, masks)), (maps, exponent))


def test_exponent_has_the_gradient_of_finite_differences_with_zeros_in_the_map():
    exponent = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda p: pooled(_maps(), p, _masks()), (exponent,))


def test_only_masked_positions_get_a_gradient():
    maps, masks = (_maps() + 0.1).requires_grad_(), _masks()
    pooled(maps, CUBE.double(), masks).sum().backward()
    empty = ~masks.any(dim=3).any(dim=2)
    assert ((maps.grad != 0) == (masks | empty[:, :, None, None])).all()
    maps.grad = None
    pooled(maps, None, masks).sum().backward()
    assert (maps.grad != 0).sum() == 6  # one position a channel


def test_positions_that_share_the_maximum_share_its_gradient():
    maps = torch.tensor([[[[2.0, 1.0], [2.0, 0.0]]]], requires_grad=True)
    pooled(maps, None).sum().backward()
    assert maps.grad.tolist() == [[[[0.5, 0.0], [0.5, 0.0]]]]


@pytest.mark.parametrize("masks", [None, _masks()], ids=["whole", "masked"])
@pytest.mark.parametrize("omega", [None, 0.5, 1.0, 3.0], ids=str)
def test_zero_maps_give_zero_and_finite_gradients(omega, masks):
    maps = torch.zeros(2, 3, 4, 5, requires_grad=True)
    exponent = None if omega is None else torch.tensor([omega], requires_grad=True)
    found = unit(pooled(maps, exponent, masks))
    assert not found.detach().any()
    found.sum().backward()
    assert maps.grad.isfinite().all()
    assert maps.grad.abs().max() <= 1
    assert exponent is None or not exponent.grad.any()


def test_masked_zeros_of_a_map_that_is_not_zero_give_zero():
    maps = torch.ones(1, 1, 2, 2, requires_grad=True)
    with torch.no_grad():
        maps[..., 0] = 0.0
    masks = torch.tensor([[[[True, False], [True, False]]]])
    exponent = torch.tensor([2.0], requires_grad=True)
    found = pooled(maps, exponent, masks)
    found.sum().backward()
    assert found.item() == 0.0
    assert maps.grad.isfinite().all()
    assert exponent.grad.isfinite().all()


def test_unit_has_length_one():
    lengths = unit(torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-20, 0.0]])).norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([1.0, 0.0, 1.0]))
