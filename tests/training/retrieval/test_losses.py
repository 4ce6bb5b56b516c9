import math

import numpy as np
import torch
from torch.autograd import gradcheck

from rrtool.training.retrieval.losses import contrastive, squared_distances, triplet
from rrtool.training.retrieval.pooling import unit

MARGIN = 1.75  # within which some pairs are, and others not
ARE_MATCHES = torch.tensor([True, False, False, True, False, False])


def _descriptors(seed):
    values = np.random.default_rng(seed).normal(size=(6, 4))
    return unit(torch.tensor(values, dtype=torch.float64)).requires_grad_()


def test_contrastive_equals_the_formula_pair_by_pair():
    first, second = _descriptors(0), _descriptors(1)
    total, n_within = 0.0, 0
    for a, b, y in zip(first.tolist(), second.tolist(), ARE_MATCHES.tolist(), strict=True):
        d = math.dist(a, b)
        total += 0.5 * d * d if y else 0.5 * max(0.0, MARGIN - d) ** 2
        n_within += not y and 0 < d < MARGIN
    found = contrastive(squared_distances(first, second), ARE_MATCHES, MARGIN)
    assert math.isclose(found.item(), total, rel_tol=1e-12)
    assert 0 < n_within < 4


def test_triplet_equals_the_formula_triplet_by_triplet():
    query, positive, negative = _descriptors(0), _descriptors(1), _descriptors(2)
    total = sum(
        max(0.0, math.dist(q, p) ** 2 - math.dist(q, n) ** 2 + 0.1)
        for q, p, n in zip(query.tolist(), positive.tolist(), negative.tolist(), strict=True)
    )
    found = triplet(squared_distances(query, positive), squared_distances(query, negative), 0.1)
    assert total > 0
    assert math.isclose(found.item(), total, rel_tol=1e-12)


def test_gradients_equal_finite_differences():
    first, second, third = _descriptors(0), _descriptors(1), _descriptors(2)
    assert gradcheck(
        lambda a, b: contrastive(squared_distances(a, b), ARE_MATCHES, MARGIN), (first, second)
    )
    assert gradcheck(
        lambda a, b, c: triplet(squared_distances(a, b), squared_distances(a, c), 0.1),
        (first, second, third),
    )


def test_equal_descriptors_cost_half_the_squared_margin_where_they_should_not_match():
    first = _descriptors(0)
    second = first.detach().clone().requires_grad_()
    loss = contrastive(squared_distances(first, second), ARE_MATCHES, 0.7)
    loss.backward()
    assert math.isclose(loss.item(), 4 * 0.5 * 0.7**2, rel_tol=1e-12)
    assert first.grad.isfinite().all()
    assert not first.grad.any()


def test_pairs_beyond_the_margin_cost_nothing():
    a = torch.tensor([[1.0, 0.0]], requires_grad=True)
    squared = squared_distances(a, torch.tensor([[0.0, 1.0]]))
    loss = contrastive(squared, torch.tensor([False]), 0.7)
    loss.backward()
    assert loss.item() == 0.0
    assert not a.grad.any()


def test_no_pairs_cost_nothing():
    none = torch.zeros(0)
    assert contrastive(none, none.bool(), 0.7).item() == 0.0
    assert triplet(none, none, 0.1).item() == 0.0
