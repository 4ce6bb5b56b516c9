"""ONNX graphs as networks: the maps are torch's, and other graphs are refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rrtool.errors import UsageError
from rrtool.networks import load_network
from rrtool.stages.activations.options import NetworkOptions
from rrtool.stages.driver import asked_of
from tests.tiny import CPU, assert_done, assert_fails, make_pictures, rrtool

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
_ANY = ["b", 3, "h", "w"]


def _graph(path, nodes, weights=(), shape=_ANY, out=("b", "k", "y", "x"), kind=FLOAT):
    inputs = [helper.make_tensor_value_info("image", kind, shape)]
    outputs = [helper.make_tensor_value_info("map", kind, list(out))]
    graph = helper.make_graph(nodes, "net", inputs, outputs, list(weights))
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def layer():
    torch.manual_seed(2)
    return nn.Conv2d(3, 6, 3, stride=2)


def _convolution(path, layer, **about):
    names = ("weight", "bias")
    weights = [onnx.numpy_helper.from_array(getattr(layer, n).detach().numpy(), n) for n in names]
    node = helper.make_node("Conv", ["image", *names], ["map"], strides=[2, 2])
    return _graph(path, [node], weights, **about)


@pytest.mark.parametrize("batch", ["b", 1])
def test_maps_are_the_positive_part_of_what_torch_gives(tmp_path, layer, batch):
    path = _convolution(tmp_path / "net.onnx", layer, shape=[batch, 3, "h", "w"])
    network = load_network(f"onnx:{path}", "auto")
    images = torch.randn(2, 3, 31, 48)
    expected = layer(images).relu()
    torch.testing.assert_close(network.backbone(images), expected, rtol=0, atol=1e-5)
    assert (network.n_channels, network.min_size, network.trained) == (6, 3, True)
    assert network.describe()["name"] == "onnx:net.onnx"


def test_exported_module_of_torch_gives_the_same_descriptors(tmp_path, layer):
    pytest.importorskip("onnxscript")
    size = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        layer.eval(), (torch.randn(2, 3, 64, 80),), tmp_path / "net.onnx", verbose=False,
        dynamic_shapes=(size,), external_data=False,
    )  # fmt: skip
    network = load_network(f"onnx:{tmp_path}/net.onnx", "auto")
    images = torch.randn(1, 3, 45, 70)
    torch.testing.assert_close(network.backbone(images), layer(images).relu(), rtol=0, atol=1e-5)


def test_extract_notices_that_the_file_has_changed(tmp_path, layer):
    images = make_pictures(tmp_path / "images", 2)
    path = _convolution(tmp_path / "net.onnx", layer)
    command = ("extract", images, "-o", tmp_path / "f.h5", "--network", f"onnx:{path}", *CPU)
    assert_done(rrtool(*command))
    assert "up to date" in rrtool(*command).stderr
    _convolution(path, nn.Conv2d(3, 6, 3, stride=2))
    assert_fails(rrtool(*command), 4, "made with another")
    result = rrtool("extract", images, "-o", path, "--network", f"onnx:{path}", *CPU)
    assert_fails(result, 2, "the output is one of the inputs (found --network)")


def test_digest_of_the_file_is_part_of_what_is_asked(tmp_path, layer):
    _convolution(tmp_path / "net.onnx", layer)
    make_pictures(tmp_path / "images", 1)

    def asked(network, weights):
        from rrtool.stages.retrieval.options import ExtractOptions

        return asked_of(ExtractOptions(
            images=str(tmp_path / "images"), output="f.h5", network=network, weights=weights
        ))["inputs"]  # fmt: skip

    assert len(asked(f"onnx:{tmp_path}/net.onnx", "auto")["network"]) == 32
    assert "network" not in asked("alexnet", "none")
    assert NetworkOptions(images="x").network == "efficientnet_lite0"


def _pooled(path, layer):
    nodes = [helper.make_node("GlobalAveragePool", ["image"], ["p"]),
             helper.make_node("Flatten", ["p"], ["map"])]  # fmt: skip
    return _graph(path, nodes, out=("b", "k"))


def _one_cell(path, layer):
    return _graph(path, [helper.make_node("GlobalAveragePool", ["image"], ["map"])])


def _channels_last(path, layer):
    node = helper.make_node("Transpose", ["image"], ["map"], perm=[0, 2, 3, 1])
    return _graph(path, [node])


def _doubles(path, layer):
    return _graph(path, [helper.make_node("Abs", ["image"], ["map"])], kind=onnx.TensorProto.DOUBLE)


def _no_text(path, layer):
    """A name of an operator that is no UTF-8."""
    content = _one_cell(path, layer).read_bytes()
    path.write_bytes(content.replace(b"GlobalAveragePool", b"\xff" * 17))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (_pooled, r"expected one output \(b, k, h, w\), float32, found \(1, 3\) of 224×320"),
        (_one_cell, r"expected one output .*found \(1, 3, 1, 1\)"),
        (_channels_last, r"expected one output .*found \(1, 224, 320, 3\)"),
        (_doubles, r"expected one input .*tensor\(double\)"),
        (lambda path, layer: _convolution(path, layer, shape=["b", 3, 224, 224]),
         "export it again with dynamic height and width"),
        (lambda path, layer: _convolution(path, layer, shape=["b", 3, "h"]), "ONNX"),
        (_no_text, "found 'utf-8' codec can't decode"),
        (lambda path, layer: path.write_bytes(b"words"), "expected an ONNX graph with its weights"),
        (lambda path, layer: None, "cannot read the ONNX file"),
    ],
)  # fmt: skip
def test_graph_of_another_form_is_refused(tmp_path, layer, make, text, capfd):
    make(tmp_path / "net.onnx", layer)
    with pytest.raises(UsageError, match=text) as error:
        load_network(f"onnx:{tmp_path}/net.onnx", "auto")
    assert capfd.readouterr() == ("", "")
    assert len(str(error.value)) < 400 + 2 * len(str(tmp_path))
