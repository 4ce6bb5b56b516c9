"""Any model of timm: its map or a clear refusal, its weights, and what tokens become."""

from __future__ import annotations

import urllib.error
import urllib.request

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from rrtool.errors import UsageError, WorkFailed
from rrtool.networks import load_network
from rrtool.networks.foreign import timm_models, timm_weights
from rrtool.networks.foreign.layout import MapsOf, find_layout
from tests.tiny import CPU, assert_done, assert_fails, make_pictures, picture, rrtool

# Channels, pixels a position, class token and registers; as their papers and timm's cards say.
WITH_MAP = {
    "convnext_atto": (320, 32, 0),
    "edgenext_xx_small": (168, 32, 0),
    "mobilenetv3_small_050": (288, 32, 0),
    "mobilenetv4_conv_small_035": (336, 32, 0),
    "regnetx_002": (368, 32, 0),
    "resnet50": (2048, 32, 0),
    "swin_tiny_patch4_window7_224": (768, 32, 0),
    "test_byobnet": (256, 32, 0),
    "test_mambaout": (64, 32, 0),
    "test_nfnet": (192, 32, 0),
    "tf_efficientnetv2_b0": (1280, 32, 0),
    "vgg11": (512, 32, 0),
    "vit_small_patch14_dinov2": (384, 14, 1),
    "vit_small_patch14_reg4_dinov2": (384, 14, 5),
    "vit_small_patch16_dinov3": (384, 16, 5),
    "vit_base_patch16_siglip_224": (768, 16, 0),
    "vit_base_patch32_clip_224": (768, 32, 1),
    "eva02_tiny_patch14_224": (192, 14, 1),
}
WITHOUT_MAP = ("beit_base_patch16_224", "crossvit_9_240", "mixer_s32_224", "pit_ti_224")


@pytest.mark.parametrize("name", WITH_MAP)
def test_family_gives_a_map_of_images_of_any_size(name):
    n_channels, stride, n_prefix = WITH_MAP[name]
    _, model = timm_models._without_values(name)
    layout = find_layout(model)
    assert (layout.n_channels, layout.n_prefix) == (n_channels, n_prefix)
    for height, width in ((224, 224), (229, 331), (256, 97)):
        shape = MapsOf(model, layout)(torch.zeros(2, 3, height, width, device="meta")).shape
        assert shape[:2] == (2, n_channels)
        # Rounded up, down or to the nearest, by how a family pads.
        assert abs(shape[2] - height / stride) < 1
        assert abs(shape[3] - width / stride) < 1


@pytest.mark.parametrize("name", WITHOUT_MAP)
def test_model_without_a_map_is_refused(name):
    with pytest.raises(UsageError, match=f"timm:{name} gives no map of images of any size"):
        load_network(f"timm:{name}", "none")


def _image(height, width):
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height))


def test_map_is_the_positive_part_of_what_timm_gives():
    for name, order in (("test_resnet", (0, 1, 2, 3)), ("test_mambaout", (0, 3, 1, 2))):
        network = load_network(f"timm:{name}", "none", seed=3)
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(3)
            expected = timm.create_model(name).eval().forward_features(_image(70, 101))
            found = network.backbone(_image(70, 101))
        assert torch.equal(found, expected.permute(order).clamp(min=0))
        assert found.any()


@pytest.fixture(scope="module")
def tokens():
    return load_network("timm:test_vit", "none")


def test_tokens_lie_where_timm_lays_them(tokens):
    with torch.inference_mode():
        image = _image(48, 96)
        (expected,) = tokens.backbone.model.forward_intermediates(
            image, indices=1, norm=True, intermediates_only=True
        )
        assert torch.equal(tokens.backbone(image), expected.relu())


def test_image_between_two_multiples_of_the_patch_is_resized_to_the_nearest(tokens):
    layout = tokens.backbone.layout
    assert layout.fitted(_image(48, 96)).shape[2:] == (48, 96)
    assert layout.fitted(_image(55, 57)).shape[2:] == (48, 64)
    assert layout.fitted(_image(9, 200)).shape[2:] == (16, 208)
    assert tokens.min_size == 16


def test_map_follows_an_image_that_is_turned_or_enlarged(tokens):
    image, network = _image(64, 112), load_network("timm:test_resnet", "none")
    with torch.inference_mode():
        for each, stride in ((tokens, 16), (network, 32)):
            wide, high, large = (
                each.backbone(x) for x in (image, image.rot90(1, (2, 3)), image.tile(1, 1, 2, 2))
            )
            assert wide.shape[2:] == (-(-64 // stride), -(-112 // stride))
            assert high.shape[2:] == wide.shape[:1:-1]
            assert large.shape[2:] == (128 // stride, 224 // stride)
            assert min(float(m.min()) for m in (wide, high, large)) == 0


def test_class_token_is_described_and_asked_for_where_there_is_one(tmp_path, tokens):
    images = make_pictures(tmp_path / "images", 2)
    common = ("--weights", "none", "--scales", "1", "--pool", "cls", *CPU)
    assert_done(
        rrtool("extract", images, "-o", tmp_path / "f.h5", "--network", "timm:test_vit", *common)
    )
    from rrtool.artifacts import Features, open_artifact

    with open_artifact(tmp_path / "f.h5", Features) as features:
        found, pool = features.descriptors[:], features.options["pool"]
    assert pool == "cls"
    pixels = np.asarray(picture(0)).astype(np.float32) / 255
    pixels = (pixels - np.float32(tokens.mean)) / np.float32(tokens.std)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    with torch.inference_mode():
        token = tokens.backbone.model.forward_features(tokens.backbone.layout.fitted(image))[0, 0]
    np.testing.assert_allclose(found[0], token / token.norm(), atol=1e-5)
    for name in ("timm:test_resnet", "squeezenet1_1"):
        result = rrtool("extract", images, "-o", tmp_path / "g.h5", "--network", name, *common)
        assert_fails(result, 2, f"{name} has no class token")


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_state_dict_in_timms_names_is_taken(tmp_path, ending):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        model = timm.create_model("test_resnet", num_classes=7).eval()
    path = tmp_path / f"net.{ending}"
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    save_file(state, path) if ending == "safetensors" else torch.save({"model": state}, path)
    network = load_network("timm:test_resnet", str(path))
    assert network.trained
    (note,) = network.notes
    assert note.startswith("leaves out the layers for classes fc.")
    with torch.inference_mode():
        expected = model.forward_features(_image(64, 64)).relu()
        assert torch.equal(network.backbone(_image(64, 64)), expected)


def test_weights_of_another_model_are_told(tmp_path):
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "net.pth")
    with pytest.raises(UsageError, match=r"not weights of timm:test_resnet \(found \d+ missing"):
        load_network("timm:test_resnet", str(tmp_path / "net.pth"))


def test_pretrained_weights_that_are_cached_are_read_as_they_are(tmp_path, monkeypatch):
    model = timm.create_model("test_resnet").eval()
    path = tmp_path / "model.safetensors"
    save_file(model.state_dict(), path)
    monkeypatch.setattr(timm_weights, "_cached", lambda places: str(path))
    network = load_network("timm:test_resnet", "pretrained")
    assert network.weights == "pretrained (test_resnet.r160_in1k)"
    assert network.describe()["trained"]
    with torch.inference_mode():
        expected = model.forward_features(_image(64, 64)).relu()
        assert torch.equal(network.backbone(_image(64, 64)), expected)
    path.write_bytes(b"half a file")
    with pytest.raises(WorkFailed, match=r"model.safetensors: timm cannot load its weights"):
        load_network("timm:test_resnet", "pretrained")


def test_pretrained_weights_out_of_reach_give_up_and_say_what_to_do(monkeypatch):
    waits = []

    def refuse(request, timeout):
        waits.append(timeout)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(timm_weights, "_cached", lambda places: None)
    with pytest.raises(WorkFailed, match=r"cannot be downloaded \(found no route to host\); give"):
        load_network("timm:test_vit", "pretrained")
    assert len(waits) == 1
    assert waits[0] <= 10
    with pytest.raises(UsageError, match="timm offers no weights of coatnet_0_224"):
        timm_weights.pretrained_path("coatnet_0_224")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vit_small_patch14_dino2", "no such model; did you mean vit_small_patch14_dinov2"),
        ("resnet50.a9_in1k", r"no such weights of this model \(expected resnet50.a1_in1k"),
        ("zzzzzzzzzz", r"no such model; see timm.list_models\(\)"),
        ("local-dir:/tmp", "no such model"),
    ],
)
def test_unknown_name_shows_the_nearest(name, text):
    with pytest.raises(UsageError, match=text):
        load_network(f"timm:{name}", "none")
    with pytest.raises(UsageError, match="no up-sampled form"):
        load_network("timm:test_vit", "none", upsample=True)
