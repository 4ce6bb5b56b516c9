"""Checkpoints as training scripts and people leave them: loaded whole, or told what differs."""

from __future__ import annotations

import argparse
import io
import os
import pathlib
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet50, resnet101

from rrtool.errors import UsageError
from rrtool.networks import load_network
from rrtool.networks.backbones import cut_backbone, seeded_classifier
from tests.tiny import CPU, assert_done, make_pictures, rrtool


@pytest.fixture(scope="module")
def state():
    return seeded_classifier("squeezenet1_1", 4).state_dict()


@pytest.fixture(scope="module")
def features(state, tmp_path_factory):
    """The backbone of ``state``."""
    path = tmp_path_factory.mktemp("plain") / "net.pth"
    torch.save(state, path)
    return load_network("squeezenet1_1", str(path)).backbone.state_dict()


def _saved(folder, content):
    torch.save(content, folder / "net.pth")
    return str(folder / "net.pth")


def _renamed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def _assert_loaded(path, expected):
    network = load_network("squeezenet1_1", path)
    for key, value in network.backbone.state_dict().items():
        assert torch.equal(value, expected[key]), key
    return network.notes


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "backbone.", "encoder.", "net.", "module._orig_mod.",
     "student.backbone.", "my_model.0."],
)  # fmt: skip
def test_names_with_a_prefix_are_the_same(tmp_path, state, features, prefix):
    assert _assert_loaded(_saved(tmp_path, _renamed(state, prefix)), features) == ()


@pytest.mark.parametrize(
    ("keys", "prefix"),
    [
        (("model",), ""), (("state_dict",), "module."), (("net",), ""), (("model_state_dict",), ""),
        (("ema",), ""), (("model_ema",), "module."), (("teacher",), "backbone."),
        (("model", "state_dict"), ""),
    ],
)  # fmt: skip
def test_entry_of_a_training_script_is_found(tmp_path, state, features, keys, prefix):
    content = _renamed(state, prefix)
    for key in reversed(keys):
        content = {key: content}
    assert _assert_loaded(_saved(tmp_path, content), features) == ()
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    content |= {"optimizer": optimizer, "epoch": 3, "args": argparse.Namespace(lr=0.1)}
    (note,) = _assert_loaded(_saved(tmp_path, content), features)
    assert note == f"takes the entry {'/'.join(keys)} and leaves out optimizer, epoch, args"


@pytest.mark.parametrize("name", ["ema", "model_ema", "ema_state_dict", "state_dict_ema"])
def test_averaged_weights_are_preferred_and_it_is_said(tmp_path, state, features, name):
    zeros = {key: torch.zeros_like(value) for key, value in state.items()}
    path = _saved(tmp_path, {"state_dict": zeros, name: state})
    assert _assert_loaded(path, features) == (f"takes the entry {name} and leaves out state_dict",)


def test_entries_among_which_nothing_decides_are_refused(tmp_path, state):
    for names in (("teacher", "student"), ("ema", "model_ema")):
        path = _saved(tmp_path, dict.fromkeys(names, state))
        with pytest.raises(UsageError, match=f"several entries.*found {', '.join(names)}"):
            load_network("squeezenet1_1", path)
    both = _renamed(state, "encoder_q.") | _renamed(state, "encoder_k.")
    with pytest.raises(UsageError, match=r"of several networks \(found .*encoder_k\., encoder_q\."):
        load_network("squeezenet1_1", _saved(tmp_path, both))


def test_classifier_of_other_classes_is_left_out_and_said(tmp_path, state, features):
    content = state | {
        "classifier.1.weight": torch.ones(7, 512, 1, 1),
        "classifier.1.bias": torch.ones(7),
    }
    note = ("leaves out the layers for classes classifier.1.weight, classifier.1.bias",)
    assert _assert_loaded(_saved(tmp_path, content), features) == note
    assert _assert_loaded(_saved(tmp_path, _renamed(content, "m.")), features) != ()
    body = {key: value for key, value in state.items() if not key.startswith("classifier.")}
    assert _assert_loaded(_saved(tmp_path, body), features) == ()
    beside = _renamed(body, "backbone.") | {"head.weight": torch.ones(7, 512)}
    (note,) = _assert_loaded(_saved(tmp_path, beside), features)
    assert "head.weight" in note


def test_half_precision_is_converted_and_said(tmp_path, state):
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    network = load_network("squeezenet1_1", _saved(tmp_path, half))
    assert network.notes == ("converts float16 weights to float32",)
    assert torch.equal(network.backbone[0].weight, half["features.0.weight"].float())


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
def test_safetensors_are_recognised_by_content(tmp_path, state, features, name):
    path = tmp_path / name
    save_file({f"module.{key}": value for key, value in state.items()}, path, {"format": "pt"})
    assert _assert_loaded(str(path), features) == ()


def test_older_form_of_torch_is_read(tmp_path, state, features):
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    _assert_loaded(str(tmp_path / "old.pth"), features)


def test_resnet_is_found_by_torchvisions_names_and_by_numbers(tmp_path):
    model = seeded_classifier("resnet18", 4)
    for content in (
        _renamed(model.state_dict(), "module."),
        _renamed(cut_backbone(model, "resnet18", False).state_dict(), "net.features."),
    ):
        network = load_network("resnet18", _saved(tmp_path, content))
        assert torch.equal(network.backbone[7][1].conv2.weight, model.layer4[1].conv2.weight)
        assert torch.equal(network.backbone[1].running_var, model.bn1.running_var)
        assert network.notes == ()


def _without(state, key):
    return {name: value for name, value in state.items() if name != key}


def test_what_differs_is_told(tmp_path, state):
    bias = "features.0.bias"
    for content, text in (
        (_without(state, bias), f"1 missing: {bias}"),
        (state | {"features.13.bias": torch.zeros(64)}, "1 unknown: features.13.bias"),
        (state | {bias: torch.zeros(3)}, f"1 of another shape: {bias} 3, not 64"),
        (_renamed(_without(state, bias), "x."), f"1 missing: x.{bias}"),
    ):
        with pytest.raises(UsageError, match="these are not weights of squeezenet1_1") as error:
            load_network("squeezenet1_1", _saved(tmp_path, content))
        assert f"(found {text})" in str(error.value)


def test_weights_of_another_network_name_it(tmp_path, state):
    with pytest.raises(UsageError, match=r"not weights of alexnet.*use --network squeezenet1_1"):
        load_network("alexnet", _saved(tmp_path, state))
    with torch.device("meta"):
        deep, deeper = (make(weights=None).state_dict() for make in (resnet50, resnet101))
    # Each has all names of the smaller one, in the same shapes, and more.
    assert all(deeper[key].shape == value.shape for key, value in deep.items())
    values = {key: torch.zeros(()).expand(value.shape) for key, value in deeper.items()}
    with pytest.raises(UsageError, match=r"\d+ unknown: layer3\.6.*use --network resnet101"):
        load_network("resnet50", _saved(tmp_path, values))


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
def test_values_that_are_no_real_numbers_are_refused(tmp_path, state, dtype):
    content = state | {"features.0.bias": torch.zeros(64).to(dtype)}
    with pytest.raises(UsageError, match=r"features\.0\.bias holds no plain numbers"):
        load_network("squeezenet1_1", _saved(tmp_path, content))
    content["features.0.bias"] = torch.full((64,), float("inf"))
    with pytest.raises(UsageError, match=r"features\.0\.bias holds NaN or infinite values"):
        load_network("squeezenet1_1", _saved(tmp_path, content))


def _program(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "net.pth")


def _tar(folder):
    with tarfile.open(folder / "net.pth", "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())


def _flipped(folder):
    torch.save({"a": torch.arange(999.0)}, folder / "net.pth")
    content = bytearray((folder / "net.pth").read_bytes())
    content[content.index(np.arange(999.0, dtype=np.float32).tobytes()) + 2000] ^= 1
    (folder / "net.pth").write_bytes(content)


def _unfolding(folder):
    with zipfile.ZipFile(folder / "net.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", bytes(10**7))


def _long_header(folder):
    (folder / "net.pth").write_bytes((10**8).to_bytes(8, "little") + b'{"a":')


def _huge_storage(folder):
    """Names a storage of 2^40 numbers that the file does not hold."""
    torch.save({"a": torch.zeros(70_000)}, folder / "x.pth")
    with zipfile.ZipFile(folder / "x.pth") as old, zipfile.ZipFile(folder / "net.pth", "w") as new:
        for name in old.namelist():
            number = (70_000).to_bytes(4, "little")
            content = old.read(name).replace(b"J" + number, b"\x8a\x06" + bytes(5) + b"\x01")
            new.writestr(name, content)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda folder: torch.save(torch.nn.Linear(2, 2), folder / "net.pth"),
         r"code to run \(Unsupported global: .*Linear\)\); where you trust the file"),
        (lambda folder: torch.save({"p": pathlib.Path("x")}, folder / "net.pth"), "code to run"),
        (_program, "found a TorchScript program.*save model.state_dict"),
        (_tar, "found the tar form of torch before"),
        (_flipped, "found a wrong checksum of net/data/0"),
        (_unfolding, "found a compressed archive"),
        (_long_header, "not a readable weights file"),
        (_huge_storage, "not a readable weights file"),
        (lambda folder: os.mkfifo(folder / "net.pth"), "a pipe, a socket or a device"),
        (lambda folder: (folder / "net.pth").write_bytes(b"\x80\x02]" + b"(" * 10**5), "weights"),
    ],
)  # fmt: skip
def test_damaged_or_hostile_file_is_one_line(tmp_path, make, text):
    make(tmp_path)
    with pytest.raises(UsageError, match=text) as error:
        load_network("squeezenet1_1", str(tmp_path / "net.pth"))
    assert len(str(error.value)) < 400 + len(str(tmp_path))


def test_extract_says_what_it_takes_and_leaves_out(tmp_path):
    images = make_pictures(tmp_path / "images", 1)
    state = seeded_classifier("squeezenet1_1", 0).state_dict()
    path = _saved(tmp_path, {"model": state, "epoch": 7})
    network = ("--network", "squeezenet1_1", "--weights", path, "--scales", "1", *CPU)
    result = rrtool("extract", images, "-o", tmp_path / "f.h5", *network)
    assert_done(result)
    assert "net.pth takes the entry model and leaves out epoch" in result.stderr.splitlines()
