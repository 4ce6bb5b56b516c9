"""ONNX graphs: where their weights lie, which operators they have, and of what size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import onnx
from onnx import TensorProto, helper

from tests.fuzz.mutators import Mutator


def _external(model: onnx.ModelProto, rng: Random) -> None:
    """The weights lie in another file, or are said to."""
    tensor = rng.choice(model.graph.initializer)
    places = ("../elsewhere/secret", "/etc/passwd", "images/a_0.png", "/dev/zero", "no", "", "\n")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", rng.choice(places)
    if rng.random() < 0.5:
        entry = tensor.external_data.add()
        entry.key, entry.value = rng.choice(("offset", "length")), rng.choice(("-1", "9" * 19, "x"))


def _shape(model: onnx.ModelProto, rng: Random) -> None:
    """A tensor is of another size than its values."""
    dims = rng.choice(model.graph.initializer).dims
    dims[rng.randrange(len(dims))] = rng.choice((0, -1, 1, 2**31, 2**62))


def _operator(model: onnx.ModelProto, rng: Random) -> None:
    """A node is of another operator, known or not."""
    node = rng.choice(model.graph.node)
    node.op_type = rng.choice(("Relu", "Softmax", "Loop", "If", "Nothing", "", "ConstantOfShape"))
    if rng.random() < 0.3:
        node.domain = rng.choice(("com.microsoft", "nobody", "\n"))


def _after(model: onnx.ModelProto, rng: Random) -> None:
    """Another node between the map and the output: nothing, no number, or far too much of it."""
    map_name = model.graph.output[0].name
    model.graph.node[-1].output[0] = "before"
    factor = helper.make_tensor("factor", TensorProto.FLOAT, [], [rng.choice((
        0.0, float("nan"), float("inf"), -1.0, 1e38))])  # fmt: skip
    repeats = helper.make_tensor("repeats", TensorProto.INT64, [4], rng.choice((
        [1, 1, 1, 1], [1, 1 << 20, 1, 1], [1, 1, 1 << 24, 1 << 24], [0, 1, 1, 1])))  # fmt: skip
    model.graph.initializer.extend([factor, repeats])
    model.graph.node.append(rng.choice((
        helper.make_node("Mul", ["before", "factor"], [map_name]),
        helper.make_node("Div", ["before", "factor"], [map_name]),
        helper.make_node("Tile", ["before", "repeats"], [map_name]),
    )))  # fmt: skip


def _circle(model: onnx.ModelProto, rng: Random) -> None:
    """A node reads what it makes."""
    node = rng.choice(model.graph.node)
    node.input[0] = node.output[0]


def _names(model: onnx.ModelProto, rng: Random) -> None:
    """Of inputs, outputs and tensors."""
    of = rng.choice((model.graph.input, model.graph.output, model.graph.initializer))
    rng.choice(of).name = rng.choice(("", "x", "\x1b[2J", "a" * 100_000, "\n"))


def _numbers(model: onnx.ModelProto, rng: Random) -> None:
    """Of versions, and of attributes."""
    odd = rng.choice((0, -1, 2, 99, 2**31 - 1))
    if rng.random() < 0.3:
        model.opset_import[0].version = odd
    elif rng.random() < 0.3:
        model.ir_version = odd
    else:
        attribute = rng.choice(model.graph.node[0].attribute)
        attribute.ints[rng.randrange(len(attribute.ints))] = odd


def _input(model: onnx.ModelProto, rng: Random) -> None:
    """An input comes, or its shape or type changes."""
    if rng.random() < 0.3:
        model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
        return
    kind = rng.choice((TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8, 77))
    shape = rng.choice(([], [1], ["b", 3, "h", "w"], ["b", 4, "h", "w"], [2, 3, 64, 64], None))
    name = model.graph.input[0].name
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info(name, kind, shape))


def _changed(change: Callable[[onnx.ModelProto, Random], None]) -> Mutator:
    def mutate(path: Path, rng: Random) -> None:
        model = onnx.load(path)
        change(model, rng)
        path.write_bytes(model.SerializeToString())

    return mutate


MUTATORS: dict[str, Mutator] = {
    change.__name__.strip("_"): _changed(change)
    for change in (_external, _shape, _operator, _after, _circle, _names, _numbers, _input)
}
