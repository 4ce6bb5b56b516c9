"""Fully convolutional backbones: torchvision's classifiers, cut after their last ReLU."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torchvision
from torch import nn


@dataclass(frozen=True)
class Architecture:
    """What rrtool knows about a torchvision architecture.

    Attributes:
        n_channels: channels of the last activation map.
        cut: takes the classifier, returns its layers up to the last ReLU as an ``nn.Sequential``
            with the layer numbers that retrieval checkpoints use (``features.<number>``).
        can_upsample: whether ``upsample`` (thesis §4.4.1 "↑") is defined for it.
        min_size: smallest shorter side, in pixels, for which a map comes out.
        classifier: prefixes of the weights that belong to the classifier and are not needed.
    """

    n_channels: int
    cut: Callable[[nn.Module], nn.Sequential]
    can_upsample: bool
    min_size: int
    classifier: tuple[str, ...] = ("classifier.",)


def _features(model: nn.Module) -> nn.Sequential:
    return model.features  # type: ignore[return-value]


def _features_without_last_pool(model: nn.Module) -> nn.Sequential:
    return nn.Sequential(*list(_features(model).children())[:-1])


def _residual_stages(model: nn.Module) -> nn.Sequential:
    return nn.Sequential(*list(model.children())[:-2])


def _resnet(n_channels: int) -> Architecture:
    return Architecture(n_channels, _residual_stages, True, 1, ("fc.",))


ARCHITECTURES: dict[str, Architecture] = {
    "vgg16": Architecture(512, _features_without_last_pool, True, 16),
    "resnet18": _resnet(512),
    "resnet50": _resnet(2048),
    "resnet101": _resnet(2048),
    "squeezenet1_0": Architecture(512, _features, False, 21),
    "squeezenet1_1": Architecture(512, _features, False, 17),
    "mobilenet_v2": Architecture(1280, _features, False, 1),
    "alexnet": Architecture(256, _features_without_last_pool, False, 31),
}


def build_classifier(name: str) -> nn.Module:
    """torchvision's classifier with its own random initialisation."""
    return torchvision.models.get_model(name, weights=None)


def cut_backbone(model: nn.Module, name: str, upsample: bool) -> nn.Sequential:
    """The convolutional part of ``model``, with doubled resolution if ``upsample``."""
    backbone = ARCHITECTURES[name].cut(model)
    if not upsample:
        return backbone
    return upsample_vgg(backbone) if name.startswith("vgg") else upsample_resnet(backbone)


def upsample_resnet(backbone: nn.Sequential) -> nn.Sequential:
    """Double the resolution of the last map: stride 2→1 in conv5's first block, dilation after it.

    Thesis §4.4.1: the stride of the first conv5 block is removed and the 3×3 convolutions after
    the one that strode are dilated by 2, so each sees the same inputs as before. In basic blocks
    (ResNet-18) the strided 3×3 is the first convolution of the block, in bottlenecks the second.
    """
    last_stage = backbone[-1]
    strided_passed = False
    for module in last_stage.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        strided = module.stride == (2, 2)
        module.stride = (1, 1)
        if module.kernel_size == (3, 3):
            if strided_passed:
                _dilate(module)
            strided_passed = strided_passed or strided
    return backbone


def upsample_vgg(backbone: nn.Sequential) -> nn.Sequential:
    """Double the resolution of the last map: pool4 becomes the identity, conv5 is dilated by 2."""
    layers = list(backbone.children())
    last_pool = max(i for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d))
    backbone[last_pool] = nn.Identity()
    for layer in layers[last_pool + 1 :]:
        if isinstance(layer, nn.Conv2d):
            _dilate(layer)
    return backbone


def _dilate(convolution: nn.Conv2d) -> None:
    convolution.dilation = (2, 2)
    convolution.padding = (2, 2)


def seeded_classifier(name: str, seed: int) -> nn.Module:
    """Seeded random initialisation, leaving the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_classifier(name)
