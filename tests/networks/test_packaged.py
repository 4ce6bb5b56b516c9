"""The network that comes with rrtool: layers, weights, and what may go wrong."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from rrtool.errors import OptionError, UsageError, WorkFailed
from rrtool.networks import load_network, packaged
from rrtool.networks.names import DEFAULT
from tests.shared_data import ROOT, needs_shared_data
from tests.tiny import CPU, assert_done, make_pictures, rrtool


@pytest.fixture(scope="module")
def oracle():
    """timm's own model, filled in the order of the package's tensors."""
    model = timm.create_model("tf_efficientnet_lite0").eval()
    state = torch.load(packaged.package_file(), weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    return model


@pytest.fixture(scope="module")
def network():
    return load_network(DEFAULT, "auto")


@pytest.fixture
def unfolded(monkeypatch):
    """Keep the normalisations, which would change the last bits."""
    monkeypatch.setattr(packaged, "folded", lambda module: module.eval())


@pytest.mark.usefixtures("unfolded")
@pytest.mark.parametrize("size", [(64, 96), (97, 131), (33, 1), (1, 1)])
def test_maps_and_logits_are_timms_to_the_last_bit(oracle, size):
    network = load_network(DEFAULT, "auto")
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        maps = network.backbone(images)
        assert torch.equal(maps, oracle.forward_features(images))
        assert torch.equal(oracle.forward_head(maps), oracle(images))
    assert maps.shape[1:] == (network.n_channels, *(-(-side // packaged.STRIDE) for side in size))
    assert network.notes == ()
    assert network.mean == (127 / 255,) * 3


@pytest.mark.usefixtures("unfolded")
def test_upsampled_map_is_that_of_timms_output_stride(oracle):
    dilated = timm.create_model("tf_efficientnet_lite0", output_stride=packaged.STRIDE_UPSAMPLED)
    dilated.load_state_dict(oracle.state_dict())
    images = torch.randn(1, 3, 97, 131, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = dilated.eval().forward_features(images)
        assert torch.equal(load_network(DEFAULT, "auto", upsample=True).backbone(images), expected)


def test_normalisations_are_folded_into_the_convolutions(oracle, network):
    assert not any(isinstance(each, nn.BatchNorm2d) for each in network.backbone.modules())
    exact = copy.deepcopy(oracle).double()
    own = packaged.folded(packaged.up_to(copy.deepcopy(exact), packaged.LAYER))
    images = torch.randn(1, 3, 97, 131, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = exact.forward_features(images.double())
        torch.testing.assert_close(own(images.double()), expected, rtol=0, atol=1e-10)
        found = network.backbone(images).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_upsampled_map_agrees_with_the_original_at_every_second_cell(network):
    double = load_network(DEFAULT, "auto", upsample=True)
    images = torch.rand(1, 3, 320, 320, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        plain, fine = network.backbone(images), double.backbone(images)
    assert fine.shape[-2:] == (20, 20)
    # With TensorFlow's padding a stride of two starts at the second of two cells.
    torch.testing.assert_close(
        fine[..., 7:13:2, 7:13:2], plain[..., 3:6, 3:6], rtol=0, atol=1e-4 * float(plain.max())
    )
    assert double.describe() == network.describe() | {"upsample": True}


@pytest.mark.usefixtures("unfolded")
@pytest.mark.parametrize(
    ("layer", "n_channels"), [("blocks.6", 320), ("blocks.5.0.bn1", 672), ("blocks.4", 112)]
)
def test_any_layer_can_be_the_map(monkeypatch, oracle, layer, n_channels):
    monkeypatch.setattr(packaged, "LAYER", layer)
    seen = []
    hook = oracle.get_submodule(layer).register_forward_hook(lambda *given: seen.append(given[2]))
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        oracle.forward_features(images)
        maps = load_network(DEFAULT, "auto").backbone(images)
    hook.remove()
    assert maps.shape[1] == n_channels
    assert torch.equal(maps, seen[0].relu())


@needs_shared_data
def test_photos_of_known_classes_are_recognised(oracle, network):
    folder = ROOT / "weights" / "check_photos"
    labels = (folder / "imagenet_labels.txt").read_text().splitlines()[1:]  # but background
    mean, std = (torch.tensor(each) for each in (network.mean, network.std))
    found = {}
    for name in ("dragonfly.bmp", "hot_dog.jpg", "parrot.jpg"):
        pixels = np.asarray(Image.open(folder / name).convert("RGB").resize((224, 224)))
        image = ((torch.from_numpy(pixels / 255).float() - mean) / std).permute(2, 0, 1)
        with torch.inference_mode():
            best = int(oracle.forward_head(network.backbone(image[None])).argmax())
        found[name] = labels[best].split(",")[0]
    assert found == {"dragonfly.bmp": "dragonfly", "hot_dog.jpg": "hotdog", "parrot.jpg": "macaw"}


@pytest.mark.usefixtures("unfolded")
def test_own_names_of_timm_and_of_the_package_are_taken_from_a_file(tmp_path):
    network = load_network(DEFAULT, "auto")
    model = packaged.build_model(False)
    torch.save(model.state_dict(), tmp_path / "net.pth")
    own = load_network(DEFAULT, str(tmp_path / "net.pth"))
    assert torch.equal(own.backbone[0][0].weight, model.conv_stem.weight)
    same = load_network(DEFAULT, str(packaged.package_file()))
    assert torch.equal(same.backbone[0][0].weight, network.backbone[0][0].weight)
    assert same.weights_digest == network.weights_digest
    torch.save({"_conv_stem.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(UsageError, match="these are not weights of efficientnet_lite0"):
        load_network(DEFAULT, str(tmp_path / "other.pth"))


def test_seeded_weights_are_the_same_again_and_untrained():
    first, again, other = (load_network(DEFAULT, "none", seed=seed) for seed in (1, 1, 2))
    assert first.weights_digest == again.weights_digest != other.weights_digest
    assert first.describe()["weights"] == "none (untrained)"


def test_package_that_is_missing_or_of_another_digest_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(WorkFailed, match=r"not installed; install the package efficientnet-lite0"):
        load_network(DEFAULT, "auto")
    (tmp_path / "net.pth").write_bytes(b"something else")
    monkeypatch.setattr(packaged, "package_file", lambda: Path(tmp_path / "net.pth"))
    with pytest.raises(WorkFailed, match=r"not those that are known \(expected BLAKE2b 0a19"):
        load_network(DEFAULT, "auto")


@pytest.mark.parametrize(
    ("network", "weights", "text"),
    [
        ("squeezenet1_1", "auto", "--weights auto is not for squeezenet1_1 (expected a file, "
                                  "imagenet or none, found auto)"),
        (DEFAULT, "imagenet", "expected a file, auto or none"),
        ("timm:test_vit", "auto", "expected a file, pretrained or none"),
        ("onnx:net.onnx", "none", "expected no --weights: the file of the network holds them"),
        ("onnx:net.onnx", "net.pth", "bad --weights (expected no --weights"),
        ("efficientnet_lite1", "auto", "did you mean efficientnet_lite0?"),
        ("timm:", "none", "unknown --network"),
        ("resnet19", "none", "did you mean resnet18 or resnet101 or resnet50?"),
    ],
)  # fmt: skip
def test_names_and_words_that_mean_nothing_are_refused(network, weights, text):
    with pytest.raises(OptionError) as error:
        load_network(network, weights)
    assert text in str(error.value)


def test_extract_needs_no_option_of_a_network(tmp_path):
    images = make_pictures(tmp_path / "images", 1)
    result = rrtool("extract", images, "-o", tmp_path / "f.h5", *CPU)
    assert_done(result)
    assert "untrained" not in result.stderr
