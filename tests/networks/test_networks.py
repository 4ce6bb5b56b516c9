"""Networks: the up-sampled form, checkpoints, and seeded initialisation."""

from __future__ import annotations

import copy
import hashlib
import io
import urllib.error
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from torchvision.models.vgg import cfgs, make_layers

from rrtool.errors import UsageError, WorkFailed
from rrtool.networks import load_network
from rrtool.networks.backbones import cut_backbone, seeded_classifier


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_upsampled_network_agrees_with_the_original_at_every_second_cell(name):
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    # Its classifier, which is cut off again, would take the longest to initialise.
    vgg = SimpleNamespace(features=make_layers(cfgs["D"], batch_norm=False))
    model = vgg if name == "vgg16" else seeded_classifier(name, 0).eval()
    with torch.inference_mode():
        network = cut_backbone(copy.deepcopy(model), name, upsample=False)
        if name == "vgg16":
            # Its pool4 is dropped, not kept at stride 1: compare with plain sub-sampling there.
            assert isinstance(network[23], torch.nn.MaxPool2d)
            network[23] = torch.nn.MaxPool2d(1, 2)
        plain = network(image)
        double = cut_backbone(model, name, upsample=True)(image)
    sampled = double[..., ::2, ::2]
    assert double.shape[-1] == 2 * plain.shape[-1]
    scale = float(plain.abs().max())
    torch.testing.assert_close(
        sampled[..., 3:-3, 3:-3] / scale, plain[..., 3:-3, 3:-3] / scale, rtol=0, atol=1e-5
    )


def test_untrained_network_is_reproducible_and_differs_by_seed():
    state = torch.random.get_rng_state()
    first, again, other = (load_network("squeezenet1_1", "none", seed=s) for s in (1, 1, 2))
    assert first.weights_digest == again.weights_digest != other.weights_digest
    assert first.describe()["weights"] == "none (untrained)"
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.fixture
def checkpoint(tmp_path):
    state = {
        f"features.{key}": value
        for key, value in load_network("resnet18", "none", seed=3).backbone.state_dict().items()
    }
    whitening = {"m": np.arange(512.0)[:, None], "P": np.eye(512)[:64]}
    content = {
        "meta": {
            "architecture": "resnet18",
            "pooling": "gem",
            "mean": [0.1, 0.2, 0.3],
            "std": [0.4, 0.5, 0.6],
            "Lw": {"sfm": {"ss": whitening, "ms": whitening}},
        },
        "state_dict": {**state, "pool.p": torch.tensor([2.5])},
    }
    torch.save(content, tmp_path / "net.pth")
    return tmp_path / "net.pth"


def test_retrieval_checkpoint_is_read_without_running_code(checkpoint):
    network = load_network("resnet18", str(checkpoint))
    assert network.trained
    assert network.head.exponent.tolist() == [2.5]
    assert network.head.pooling == "gem"
    assert network.mean == pytest.approx((0.1, 0.2, 0.3))
    assert network.std == pytest.approx((0.4, 0.5, 0.6))
    mean, projection = network.head.whitenings["sfm"]["ms"]
    assert mean.shape == (512,)
    np.testing.assert_array_equal(projection, np.eye(512)[:64])
    own = load_network("resnet18", "none", seed=3).backbone.state_dict()
    for key, value in network.backbone.state_dict().items():
        assert torch.equal(value, own[key])


def test_checkpoint_of_another_network_names_it(checkpoint, tmp_path):
    with pytest.raises(UsageError, match=r"another network.*use --network resnet18"):
        load_network("resnet50", str(checkpoint))
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(
        UsageError, match=r"not weights of resnet18.*missing: conv1.weight, .* more"
    ):
        load_network("resnet18", str(tmp_path / "other.pth"))


class _Malice:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize("content", [{"a": _Malice()}, {"a": 1}, [1, 2]])
def test_malicious_or_foreign_checkpoint_is_refused(tmp_path, capsys, content):
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(UsageError, match="weights file"):
        load_network("resnet18", str(tmp_path / "bad.pth"))
    assert "code was run" not in capsys.readouterr().out


def test_unreadable_weights_and_unknown_names_are_usage_errors(tmp_path):
    (tmp_path / "text.pth").write_text("words")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save({"a": torch.zeros(999)}, tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: len(content) // 2])
    for weights, reason in (
        ("text.pth", "found another kind of file"),
        ("empty.pth", "found an empty file"),
        ("cut.pth", "not a readable weights file"),
        ("missing.pth", "no such weights file"),
        ("", "found Is a directory"),
    ):
        with pytest.raises(UsageError, match=reason) as failure:
            load_network("resnet18", str(tmp_path / weights))
        assert len(str(failure.value)) < 300 + len(str(tmp_path))
    with pytest.raises(UsageError, match="unknown --network"):
        load_network("resnet19", "none")
    with pytest.raises(UsageError, match="no up-sampled form"):
        load_network("alexnet", "none", upsample=True)


class _Answer(io.BytesIO):
    """What ``urlopen`` gives."""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints"


@pytest.mark.parametrize(
    "failure", [urllib.error.URLError("no route to host"), TimeoutError("timed out"), OSError(5)]
)
def test_imagenet_weights_out_of_reach_give_up_and_say_what_to_do(cache, monkeypatch, failure):
    waits = []

    def refuse(url, timeout):
        waits.append(timeout)
        raise failure

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(WorkFailed, match=r"cannot be downloaded.*--weights none"):
        load_network("squeezenet1_1", "imagenet")
    assert len(waits) == 1  # no second try
    assert waits[0] <= 10
    assert list(cache.iterdir()) == []


def test_imagenet_weights_that_arrive_damaged_are_not_kept(cache, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: _Answer(b"half a file"))
    with pytest.raises(WorkFailed, match=r"damaged \(expected SHA-256"):
        load_network("squeezenet1_1", "imagenet")
    assert list(cache.iterdir()) == []


def test_imagenet_weights_are_downloaded_once(cache, monkeypatch):
    buffer = io.BytesIO()
    torch.save(seeded_classifier("squeezenet1_1", 5).state_dict(), buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    entry = torchvision.models.SqueezeNet1_1_Weights.DEFAULT
    requests = []

    def answer(url, timeout):
        requests.append(url)
        return _Answer(buffer.getvalue())

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    monkeypatch.setattr(type(entry), "url", f"https://example.org/squeezenet-{digest}.pth")
    network = load_network("squeezenet1_1", "imagenet")
    assert network.trained
    assert network.weights.startswith("imagenet")
    again = load_network("squeezenet1_1", "imagenet")
    assert again.weights_digest == network.weights_digest
    assert len(requests) == 1
