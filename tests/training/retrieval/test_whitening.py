"""The whitening of a trained network against the formulas on pairs that are written out."""

import numpy as np
import pytest
import torch

from rrtool.core.retrieval.whitening import PairCovariance, fit_supervised
from rrtool.errors import WorkFailed
from rrtool.training.retrieval.encoder import Encoder
from rrtool.training.retrieval.examples import Examples
from rrtool.training.retrieval.whitening import BIAS, WEIGHT, whitening_layer
from tests.training.retrieval.tiny import GROUPS, NO_PAIRS, NO_ROWS, Pictures, trainable

OF_TRAINING = np.where(GROUPS == 1, -1, GROUPS).astype(np.int32)  # the second is held out


def _layer(pairs=NO_PAIRS, most=100, broken=()):
    encoder = Encoder(trainable(), torch.tensor([3.0]), Pictures(broken=broken))
    examples = Examples(OF_TRAINING, np.array(pairs, np.int32), NO_ROWS, NO_ROWS)
    return whitening_layer(encoder, examples, most), encoder.describe(np.arange(15))[0]


def _expected(descriptors, rows, pairs, n_independent):
    """Of the rows that are described, and of pairs of all."""
    differences = [np.subtract(*descriptors[list(pair)].astype(np.float64)) for pair in pairs]
    matrix = sum(np.outer(each, each) for each in differences) / len(pairs)
    return fit_supervised(descriptors[rows], PairCovariance(matrix, len(pairs), n_independent))


@pytest.mark.parametrize(
    ("given", "rows", "pairs", "n_independent"),
    [
        (
            {}, [0, 1, 2, *range(6, 15)],
            [(i, i + j) for i in (0, 6, 9, 12) for j in (1, 2)]
            + [(i + 1, i + 2) for i in (0, 6, 9, 12)],
            8,
        ),
        (
            {"pairs": [(0, 1), (1, 0), (2, 1), (8, 7), (12, 14), (9, 11)], "broken": (9,)},
            [0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 14],
            [(0, 1), (1, 2), (7, 8), (12, 14)],
            4,
        ),
        ({"most": 6}, [0, 2, 7, 9, 11, 13], [(9, 11)], 1),
        ({"most": 11}, [0, 2, 7, 9, 11, 13], [(9, 11)], 1),
    ],
    ids=["groups", "pairs and one that cannot be read", "every other one", "no more than that"],
)  # fmt: skip
def test_layer_whitens_by_what_was_trained_on(given, rows, pairs, n_independent):
    if "most" in given:
        pairs = [(i, j) for i in rows for j in rows if i < j and OF_TRAINING[i] == OF_TRAINING[j]]
        n_independent = len(rows) - len(set(OF_TRAINING[rows]))
    layer, descriptors = _layer(**given)
    learned = _expected(descriptors, rows, pairs, n_independent)
    found = descriptors @ layer[WEIGHT].numpy().T + layer[BIAS].numpy()
    centred = descriptors - descriptors[rows].mean(axis=0)
    expected = centred @ learned.projection.T  # but for a rotation among equal eigenvalues
    np.testing.assert_allclose(
        found @ found.T, expected @ expected.T, atol=1e-3 * np.square(expected).max()
    )


def test_pairs_that_do_not_differ_are_an_error():
    with pytest.raises(WorkFailed, match="no whitening can be learnt"):
        _layer(pairs=[(3, 4)])  # of those held out
