"""Fully convolutional backbones: torchvision's classifiers, cut after their last ReLU."""

from dataclasses import dataclass, replace
from functools import cache

import torch
import torchvision
from torch import nn

from rrtool.errors import UsageError
from rrtool.networks.checkpoints import Checkpoint, digest_of_state, read_checkpoint
from rrtool.networks.fitting import Names, best_match, fill, needed
from rrtool.networks.imagenet import read_imagenet_weights
from rrtool.networks.names import DEFAULT, IMAGENET, NONE
from rrtool.networks.network import Network, require_architecture, seeded


@dataclass(frozen=True)
class Architecture:
    """What rrtool knows about a torchvision architecture.

    Attributes:
        n_channels: channels of the last activation map.
        n_cut: layers after the last ReLU, of ``features`` where the classifier has them.
        can_upsample: whether ``upsample`` (thesis §4.4.1 "↑") is defined for it.
        min_size: smallest shorter side, in pixels, for which a map comes out.
        classifier: prefixes of the weights that belong to the classifier and are not needed.
    """

    n_channels: int
    n_cut: int
    can_upsample: bool
    min_size: int
    classifier: tuple[str, ...] = ("classifier.",)


ARCHITECTURES: dict[str, Architecture] = {
    "vgg16": Architecture(512, 1, True, 16),
    "resnet18": Architecture(512, 2, True, 1, ("fc.",)),
    "resnet50": Architecture(2048, 2, True, 1, ("fc.",)),
    "resnet101": Architecture(2048, 2, True, 1, ("fc.",)),
    "squeezenet1_0": Architecture(512, 0, False, 21),
    "squeezenet1_1": Architecture(512, 0, False, 17),
    "mobilenet_v2": Architecture(1280, 0, False, 1),
    "alexnet": Architecture(256, 1, False, 31),
}


def build_classifier(name: str) -> nn.Module:
    """torchvision's classifier with its own random initialisation."""
    return torchvision.models.get_model(name, weights=None)


def empty_classifier(name: str) -> nn.Module:
    """torchvision's classifier without values (on the device ``meta``), which takes no time."""
    with torch.device("meta"):
        return build_classifier(name)


def cut_backbone(model: nn.Module, name: str, upsample: bool) -> nn.Sequential:
    """The layers of ``model`` up to its last ReLU, with doubled resolution if ``upsample``.

    They have the numbers that retrieval checkpoints use (``features.<number>``).
    """
    layers = list(getattr(model, "features", model).children())
    backbone = nn.Sequential(*layers[: len(layers) - ARCHITECTURES[name].n_cut])
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
    """torchvision's classifier with seeded random values."""
    with seeded(seed):
        return build_classifier(name)


def load_torchvision(name: str, weights: str, upsample: bool, seed: int) -> Network:
    """One of torchvision's; see ``load_network``."""
    known = ARCHITECTURES[name]
    if upsample and not known.can_upsample:
        expected = f"VGG, ResNet or {DEFAULT}"
        raise UsageError(f"no up-sampled form of {name} is defined", expected=expected)
    model = seeded_classifier(name, seed) if weights == NONE else empty_classifier(name)
    network = Network(
        cut_backbone(model, name, upsample), name, known.n_channels, known.min_size,
        upsample=upsample,
    )  # fmt: skip
    if weights == NONE:
        return replace(network, weights_digest=digest_of_state(model.state_dict()))
    checkpoint = read_imagenet_weights(name) if weights == IMAGENET else read_checkpoint(weights)
    require_architecture(checkpoint, name)
    own = {key: value.shape for key, value in model.state_dict().items()}
    namings = _namings(network.backbone, model)
    notes = fill(network.backbone, namings, own, checkpoint, name, fitting_architectures)
    return network.filled(checkpoint, notes)


def _namings(backbone: nn.Module, model: nn.Module) -> tuple[Names, Names]:
    """torchvision's names, and the numbers of layers that retrieval checkpoints use."""
    return _torchvision_names(backbone, model), {key: key for key in needed(backbone)}


def _torchvision_names(backbone: nn.Module, model: nn.Module) -> Names:
    """The name in torchvision's classifier of each tensor of a backbone, which numbers layers."""
    features = getattr(model, "features", None)
    layers = [name for name, _ in (features or model).named_children()]
    prefix = "features." if features else ""
    names = {}
    for key in needed(backbone):
        number, _, rest = key.partition(".")
        names[key] = f"{prefix}{layers[int(number)]}.{rest}"
    return names


def names_in_file(backbone: nn.Module, name: str) -> Names:
    """torchvision's name of each tensor that a backbone needs."""
    return _torchvision_names(backbone, empty_classifier(name))


def fitting_architectures(checkpoint: Checkpoint) -> list[str]:
    """Those of torchvision's that a checkpoint fits."""
    return [name for name in ARCHITECTURES if _fits(name, checkpoint)]


@cache
def _layers_alone(name: str) -> tuple[nn.Module, tuple[Names, Names]]:
    """A backbone without values, and the ways to name its tensors."""
    model = empty_classifier(name)
    backbone = cut_backbone(model, name, False)
    return backbone, _namings(backbone, model)


def _fits(name: str, checkpoint: Checkpoint) -> bool:
    try:
        return best_match(*_layers_alone(name), checkpoint.state, checkpoint.source).is_full
    except UsageError:
        return False
