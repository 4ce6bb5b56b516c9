"""The network against METHODS §8, counted by hand, and its folded form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rrtool.training.network import ConvNet13, folded


def _counted_by_hand(n_channels: int, n_classes: int) -> int:
    # Kernels, biases, and one weight-norm length, one scale and one shift an output channel.
    kernels = (
        9 * (n_channels * 128 + 128 * 128 + 128 * 128)
        + 9 * (128 * 256 + 256 * 256 + 256 * 256)
        + 9 * 256 * 512 + 512 * 256 + 256 * 128
    )  # fmt: skip
    outputs = 3 * 128 + 3 * 256 + 512 + 256 + 128
    return kernels + 4 * outputs + 128 * n_classes + n_classes


@pytest.mark.parametrize(
    ("size", "n_channels", "n_classes", "last"), [(28, 1, 10, 5), (32, 3, 100, 6)]
)
def test_conv_net_13_has_the_size_that_methods_state(size, n_channels, n_classes, last):
    network = ConvNet13(n_channels, n_classes).eval()
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    assert n_parameters == _counted_by_hand(n_channels, n_classes)
    with torch.inference_mode():
        images = torch.randn(2, n_channels, size, size)
        maps = network.body(images)
        logits, features = network(images)
    assert maps.shape == (2, 128, last, last)
    assert logits.shape == (2, n_classes)
    assert features.shape == (2, 128)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))


def test_conv_net_13_has_the_layers_of_methods_in_order():
    kinds = [type(layer).__name__.removeprefix("Parametrized") for layer in ConvNet13(3, 10).body]
    convolution = ["Conv2d", "BatchNorm2d", "LeakyReLU"]
    pool = ["MaxPool2d", "Dropout"]
    assert kinds == convolution * 3 + pool + convolution * 3 + pool + convolution * 3
    layers = dict(ConvNet13(3, 10).body.named_children())
    kernels = [layers[f"conv{name}"].kernel_size[0] for name in ("1a", "2c", "3a", "3b", "3c")]
    assert kernels == [3, 3, 3, 1, 1]
    assert layers["conv3a"].padding == (0, 0)
    assert {layer.p for layer in layers.values() if isinstance(layer, nn.Dropout)} == {0.5}
    assert {m.negative_slope for m in layers.values() if isinstance(m, nn.LeakyReLU)} == {0.1}


@pytest.mark.parametrize(("width", "expected"), [(0.25, 32), (0.5, 64), (1.0, 128), (0.001, 1)])
def test_conv_net_13_width_scales_the_feature(width, expected):
    assert ConvNet13(1, 10, width).n_features == expected


def test_conv_net_13_takes_the_smallest_batch_of_the_smallest_images():
    network = ConvNet13(1, 2, 0.1).train()
    logits, _ = network(torch.randn(1, 1, 16, 16))
    logits.sum().backward()
    assert torch.isfinite(logits).all()


def _shaken(width: float) -> ConvNet13:
    """A network whose batch norms are not trivial."""
    torch.manual_seed(0)
    network = ConvNet13(3, 5, width)
    for layer in network.body:
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.bias.data, layer.running_mean):
                tensor.normal_(0.2, 0.7)
            layer.running_var.uniform_(0.3, 2)
    return network.eval()


def test_folded_equals_the_network_in_evaluation_mode():
    network = _shaken(0.25)
    images = torch.randn(4, 3, 20, 24)
    with torch.inference_mode():
        logits, features = network(images)
        folded_logits, folded_features = folded(network)(images)
    torch.testing.assert_close(folded_features, features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(folded_logits, logits, rtol=1e-4, atol=1e-5)


def test_folded_leaves_the_network_as_it_is():
    network = _shaken(0.1).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded(network)(torch.randn(2, 3, 16, 16))
    assert network.training
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
