"""Networks to choose from, with what people ask of them before they choose."""

from dataclasses import dataclass
from importlib.util import find_spec

from rrtool.networks.names import DEFAULT, ONNX, TIMM, TORCHVISION


@dataclass(frozen=True)
class Entry:
    """A network, or a family of them.

    Attributes:
        name: for ``--network``.
        weights: where they come from.
        licence: of the weights, by those who offer them.
        dimension: channels of the map.
        stride: pixels from one position of the map to the next.
        how: to get it.
    """

    name: str
    weights: str
    licence: str
    dimension: int | None
    stride: int | None
    how: str


_SHAPES = {
    "vgg16": (512, 16), "resnet18": (512, 32), "resnet50": (2048, 32), "resnet101": (2048, 32),
    "squeezenet1_0": (512, 16), "squeezenet1_1": (512, 16), "mobilenet_v2": (1280, 32),
    "alexnet": (256, 16),
}  # fmt: skip
# Of the families that people ask for first; every other model of timm is taken as well.
_OF_TIMM = {
    "vit_small_patch14_dinov2.lvd142m": ("Apache-2.0", 384, 14),
    "vit_small_patch16_dinov3.lvd1689m": ("DINOv3-License", 384, 16),
    "vit_base_patch16_siglip_224.v2_webli": ("Apache-2.0", 768, 16),
    "vit_base_patch16_clip_224.openai": ("Apache-2.0", 768, 16),
    "convnext_tiny.fb_in22k": ("Apache-2.0", 768, 32),
    "tf_efficientnetv2_s.in21k": ("Apache-2.0", 1280, 32),
}

CATALOGUE = (
    Entry(DEFAULT, "ImageNet, a package", "Apache-2.0", 1280, 32, "comes with rrtool"),
    *(
        Entry(name, "ImageNet, torchvision", "BSD-3-Clause", *_SHAPES[name], "--weights imagenet")
        for name in TORCHVISION
    ),
    *(
        Entry(TIMM + name, "timm", *about, "--weights pretrained")
        for name, about in _OF_TIMM.items()
    ),
    Entry(f"{TIMM}NAME", "timm, or a file", "each its own", None, None,
          "--weights pretrained, or a file"),
    Entry(f"{ONNX}FILE", "in the file", "its own", None, None, "pip install onnxruntime"),
)  # fmt: skip


def is_installed(name: str) -> bool:
    """Whether a network of the catalogue runs with its weights without a download."""
    if name == DEFAULT:
        from rrtool.networks.packaged import package_file

        return package_file().is_file()
    if name in TORCHVISION:
        from rrtool.networks.imagenet import cached_weights

        return cached_weights(name).is_file()
    if name.startswith(ONNX):
        return find_spec("onnxruntime") is not None
    if name == f"{TIMM}NAME":
        return find_spec("timm") is not None
    from rrtool.networks.foreign.timm_weights import is_cached

    return is_cached(name.removeprefix(TIMM))
