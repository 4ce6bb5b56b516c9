"""rrtool train --whiten: the whitening is the network's last layer, by which extract whitens."""

import numpy as np
from safetensors.torch import load_file

from rrtool.artifacts import Features, open_artifact
from rrtool.core.retrieval.whitening import l2_normalize
from tests.stages.training.conftest import train
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


def test_extract_whitens_by_the_last_layer_of_the_network(things, tmp_path):
    net = tmp_path / "net.safetensors"
    pairs = [(0, 1), (1, 0), (3, 5), (6, 7), (9, 10)]
    tuples = write_tuples(tmp_path / "t.h5", things, pairs=pairs)
    result = rrtool("train", tuples, "-o", net, *QUICK, *ONE)
    assert_done(result)
    assert "whiten" not in result.stderr
    layers = load_file(net)
    plain, _ = _described(things, tmp_path / "f.h5", net, "--whitening", "none")
    found, name = _described(things, tmp_path / "w.h5", net)
    assert name == "learned layer"
    whitened = plain @ layers["whiten.weight"].numpy().T + layers["whiten.bias"].numpy()
    np.testing.assert_allclose(found, l2_normalize(whitened), atol=1e-4)
    assert np.abs(whitened.mean(axis=0)).max() < 0.01 * np.abs(whitened).max()


def test_whitening_of_pairs_that_do_not_differ_is_an_error(things, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in NAMES:  # three of each thing that are one
        (folder / name).write_bytes((things / f"{name[:-5]}0.png").read_bytes())
    result = train(folder, tmp_path / "net.safetensors", *ONE)
    assert_fails(result, 1, "no whitening can be learnt", "leave out --whiten")
    assert not (tmp_path / "net.safetensors").exists()


def test_default_network_says_that_its_own_whitening_no_longer_applies(things, tmp_path):
    own = ("--network", "efficientnet_lite0", "--weights", "auto", "--train-from", "last")
    result = train(things, tmp_path / "net.safetensors", *own, "--dry-run")
    assert_done(result)
    assert "whitening, which does not go with new weights: learn another by" in result.stderr
    result = train(things, tmp_path / "net.safetensors", *own, "--dry-run", "--whiten")
    assert "--whiten" not in result.stderr
