"""Loading a network by its name, with the weights that are asked for."""

from dataclasses import replace

from rrtool.errors import UsageError
from rrtool.networks.backbones import (
    ARCHITECTURES,
    cut_backbone,
    empty_classifier,
    seeded_classifier,
)
from rrtool.networks.checkpoints import digest_of_state, read_checkpoint
from rrtool.networks.fitting import fill
from rrtool.networks.imagenet import read_imagenet_weights
from rrtool.networks.names import DEFAULT, IMAGENET, NONE, ONNX, TIMM, check_name, check_weights
from rrtool.networks.network import Network, require_architecture
from rrtool.networks.packaged import load_packaged


def load_network(
    name: str, weights: str, *, upsample: bool = False, seed: int = 0, device: str = "cpu",
    class_token: bool = False,
) -> Network:  # fmt: skip
    """Build the named network and fill it.

    Args:
        name: see ``networks.names``.
        weights: ``auto`` (those that come with the network), ``none`` (seeded initialisation),
            ``imagenet`` (torchvision's own) or ``pretrained`` (timm's), which are cached or
            downloaded, or the path of a state dict or of a retrieval checkpoint.
        upsample: double the resolution of the last map.
        seed: of the initialisation with ``none``.
        device: torch device.
        class_token: give the class token, as a map of one cell, in place of the map.

    Raises:
        UsageError: unknown network, no up-sampled form, no class token, or a weights file that
            does not fit.
        WorkFailed: weights that are not installed, not cached or cannot be downloaded.
    """
    check_name(name)
    check_weights(name, weights)
    if name.startswith(TIMM):
        from rrtool.networks.foreign.timm_models import load_timm

        network = load_timm(name, weights, upsample=upsample, seed=seed, class_token=class_token)
    elif class_token:
        raise UsageError(
            f"{name} has no class token", found="--pool cls", todo="use another --pool"
        )
    elif name.startswith(ONNX):
        from rrtool.networks.foreign.onnx_graph import load_onnx

        network = load_onnx(name, upsample=upsample)
    else:
        load = load_packaged if name == DEFAULT else _load_torchvision
        network = load(name, weights, upsample, seed)
    network.backbone.eval().requires_grad_(False).to(device)
    return network


def _load_torchvision(name: str, weights: str, upsample: bool, seed: int) -> Network:
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
    return network.filled(checkpoint, fill(network.backbone, model, name, checkpoint))
