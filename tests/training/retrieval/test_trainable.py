import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rrtool.errors import OptionError, UsageError
from rrtool.networks import load_network
from rrtool.networks.weights_file import META
from rrtool.training.last_stage import split_at_last_stage
from rrtool.training.retrieval.trainable import Trainable

NETWORKS = ("squeezenet1_1", "resnet18", "efficientnet_lite0", "timm:test_resnet", "timm:test_vit")
CHAINS = NETWORKS[:3]
IMAGES = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def _load(name, train_from=None):
    return Trainable.load(name, "none", seed=3, train_from=train_from)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_that_are_written_are_those_that_extract_loads(tmp_path, name):
    trainable, path = _load(name), str(tmp_path / "net.safetensors")
    with torch.no_grad():
        for each in trainable.trained.values():
            each.mul_(1.01)
        expected = trainable.body(IMAGES)
    meta = {"architecture": name, "pooling": "gem", "mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}
    tensors = {**trainable.tensors(), "pool.p": torch.tensor([2.5])}
    save_file(tensors, path, {META: json.dumps(meta)})
    network = load_network(name, path)
    with torch.inference_mode():
        torch.testing.assert_close(network.backbone(IMAGES), expected, rtol=1e-4, atol=1e-5)
    assert (network.head.pooling, network.mean, network.std) == ("gem", (0.1, 0.2, 0.3), (1, 2, 3))
    assert network.head.exponent.tolist() == [2.5]


def test_weights_of_another_network_are_refused(tmp_path):
    path = str(tmp_path / "net.safetensors")
    meta = {META: json.dumps({"architecture": "squeezenet1_1"})}
    save_file(_load("squeezenet1_1").tensors(), path, meta)
    with pytest.raises(UsageError, match=r"of another network.*squeezenet1_1"):
        Trainable.load("resnet18", path, train_from=None)


@pytest.mark.parametrize("about", ["no JSON", "[]", "{", '{"architecture": 3}', '{"mean": [1]}'])
def test_damaged_words_of_a_weights_file_are_refused(tmp_path, about):
    path = str(tmp_path / "net.safetensors")
    save_file(_load("squeezenet1_1").tensors(), path, {META: about})
    with pytest.raises(UsageError):
        load_network("squeezenet1_1", path)


def test_safetensors_with_words_of_others_are_a_plain_state_dict(tmp_path):
    path = str(tmp_path / "net.safetensors")
    save_file(_load("squeezenet1_1").tensors(), path, {"format": "pt", "meta": "other"})
    assert load_network("squeezenet1_1", path).head.pooling is None


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("squeezenet1_1", "features.10"), ("resnet18", "layer4"), ("resnet18", "layer4.1"),
        ("efficientnet_lite0", "blocks.6"), ("efficientnet_lite0", "conv_head"),
        ("timm:test_resnet", "layer4"),
    ],
)  # fmt: skip
def test_layers_before_the_first_that_learns_are_frozen(name, layer):
    whole, trainable = _load(name), _load(name, layer)
    names = list(whole.trained)
    first = next(i for i, each in enumerate(names) if each.startswith(f"{layer}."))
    assert list(trainable.trained) == names[first:]
    assert all(each.requires_grad for each in trainable.trained.values())
    learning = {id(each) for each in trainable.trained.values()}
    others = [e for e in trainable.network.backbone.parameters() if id(e) not in learning]
    assert not any(each.requires_grad for each in others)
    assert bool(len(trainable.before)) == (not name.startswith("timm:"))
    # No layer that learns is among those whose maps are kept.
    assert not any(each.requires_grad for each in trainable.before.parameters())
    with torch.no_grad():
        in_two = trainable.body(trainable.before(IMAGES))
        torch.testing.assert_close(in_two, whole.body(IMAGES))


@pytest.mark.parametrize("name", CHAINS)
def test_last_stage_is_the_one_of_fine_tuning(name):
    trainable = _load(name, "last")
    before, stage = split_at_last_stage(_load(name).network.backbone)
    assert len(before) == len(trainable.before)
    assert sum(e.numel() for e in stage.parameters()) == sum(
        each.numel() for each in trainable.trained.values()
    )


@pytest.mark.parametrize(
    ("name", "layer", "known"),
    [("resnet18", "layer5", "layer4"), ("squeezenet1_1", "features.13", "features.12"),
     ("timm:test_resnet", "last", "layer4")],
)  # fmt: skip
def test_layer_that_is_not_there_is_an_error_that_names_those_that_are(name, layer, known):
    with pytest.raises(OptionError) as caught:
        _load(name, layer)
    assert known in caught.value.expected


def test_statistics_are_those_of_normalisations_that_learn():
    names = set(_load("resnet18", "layer4").statistics())
    assert names
    assert all(name.startswith("layer4.") and "running_" in name for name in names)
    assert not _load("squeezenet1_1").statistics()


def test_normalisations_are_layers_of_their_own():
    kinds = [type(each) for each in _load("efficientnet_lite0").body.modules()]
    assert sum(issubclass(kind, nn.BatchNorm2d) for kind in kinds) == 49
