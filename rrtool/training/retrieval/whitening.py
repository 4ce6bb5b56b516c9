"""The whitening of a network that has been trained, learnt from what it was trained on (§5.3.5)."""

from __future__ import annotations

import numpy as np
import torch

from rrtool.core.retrieval.whitening import (
    covariance_of_groups,
    covariance_of_pairs,
    fit_supervised,
)
from rrtool.errors import WorkFailed
from rrtool.training.retrieval.encoder import Encoder
from rrtool.training.retrieval.examples import Examples

WEIGHT, BIAS = "whiten.weight", "whiten.bias"  # as in retrieval checkpoints (networks.head)


def whitening_layer(encoder: Encoder, examples: Examples, most: int) -> dict[str, torch.Tensor]:
    """Supervised whitening as the last layer of the network, by its names in a weights file.

    Args:
        examples: of which those that are trained on are described; the pairs match, or, where
            there are none, the images of a group.
        most: images that are described, an even sample where there are more.

    Raises:
        WorkFailed: no two that match can be used, or they do not differ.
    """
    members = np.flatnonzero(examples.groups >= 0)
    rows = members[:: max(1, -(-len(members) // most))]
    descriptors, is_usable = encoder.describe(rows)
    is_usable &= descriptors.any(axis=1)
    rows, descriptors = rows[is_usable], descriptors[is_usable]
    if len(examples.pairs):
        pairs = np.unique(np.sort(examples.pairs, axis=1), axis=0)
        pairs = np.searchsorted(rows, pairs[np.isin(pairs, rows).all(axis=1)])
        matching = covariance_of_pairs(descriptors, pairs)
    else:
        matching = covariance_of_groups(descriptors, examples.groups[rows])
    try:
        learned = fit_supervised(descriptors, matching)
    except ValueError as error:
        what = f"no whitening can be learnt: {error}"
        raise WorkFailed(what, todo="leave out --whiten") from None
    weight = torch.from_numpy(learned.projection.astype(np.float32))
    bias = torch.from_numpy((-learned.projection @ learned.mean).astype(np.float32))
    return {WEIGHT: weight, BIAS: bias}
