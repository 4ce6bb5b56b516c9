"""rrtool train --whiten: what whiten fit would learn of the trained network, as its last layer."""

import numpy as np
import pytest
from safetensors.torch import load_file

from rrtool.artifacts import Features, open_artifact
from tests.stages.training.conftest import RULE, train
from tests.stages.training.test_given import NAMES, QUICK, write_tuples
from tests.tiny import assert_done, assert_fails, rrtool

NETWORK = (
    "--network", "squeezenet1_1", "--engine", "torch", "--device", "cpu", "--scales", "1",
    "--precision", "float32", "--max-size", "64",
)  # fmt: skip
ONE = ("--epochs", "1", "--whiten")


def _described(images, output, weights, *options):
    assert_done(rrtool("extract", images, "-o", output, *NETWORK, "--weights", weights, *options))
    with open_artifact(output, Features) as features:
        return features.descriptors, features.options["whitening"]


@pytest.mark.parametrize(
    "pairs", [(), [(0, 1), (1, 0), (3, 5), (6, 7), (9, 10)]], ids=["groups", "pairs"]
)
def test_network_whitens_as_whiten_fit_and_apply_do(things, tmp_path, pairs):
    net, csv = tmp_path / "net.safetensors", tmp_path / "pairs.csv"
    tuples = write_tuples(tmp_path / "t.h5", things, pairs=pairs)
    assert_done(rrtool("train", tuples, "-o", net, *QUICK, *ONE))
    found, name = _described(things, tmp_path / "w.h5", net)
    assert name == "learned layer"
    _described(things, tmp_path / "f.h5", net, "--whitening", "none")
    csv.write_text("first,second\n" + "".join(f"{NAMES[i]},{NAMES[j]}\n" for i, j in pairs[1:]))
    matching = ("--pairs", csv) if pairs else ("--groups", RULE)
    assert_done(rrtool("whiten", "fit", tmp_path / "f.h5", "-o", tmp_path / "w", *matching))
    assert_done(rrtool("whiten", "apply", tmp_path / "f.h5", tmp_path / "w", "-o", tmp_path / "x"))
    with open_artifact(tmp_path / "x", Features) as features:
        similarities = features.descriptors @ features.descriptors.T
    np.testing.assert_allclose(found @ found.T, similarities, atol=2e-3)
    assert np.abs(similarities - similarities.mean()).max() > 0.3


def test_photos_that_are_held_out_teach_no_whitening(things, tmp_path):
    """The mean of the rest is whitened to zero."""
    net = tmp_path / "net.safetensors"
    assert_done(train(things, net, *ONE, "--validate", "prefix:(egg|door)_"))
    layers = load_file(net)
    plain, _ = _described(things, tmp_path / "f.h5", net, "--whitening", "none")
    whitened = plain @ layers["whiten.weight"].numpy().T + layers["whiten.bias"].numpy()
    assert np.abs(whitened[:6].mean(axis=0)).max() < 0.01 * np.abs(whitened).max()
    assert np.abs(whitened[6:].mean(axis=0)).max() > 0.1 * np.abs(whitened).max()


def test_whitening_of_pairs_that_do_not_differ_is_an_error(things, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in NAMES:  # three of each thing that are one
        (folder / name).write_bytes((things / f"{name[:-5]}0.png").read_bytes())
    result = train(folder, tmp_path / "net.safetensors", *ONE)
    assert_fails(result, 1, "no whitening can be learnt", "leave out --whiten")
    assert not (tmp_path / "net.safetensors").exists()
