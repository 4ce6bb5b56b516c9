"""Loading a network by its name, with the weights that are asked for."""

from rrtool.errors import UsageError
from rrtool.networks.names import DEFAULT, ONNX, TIMM, check_name, check_weights
from rrtool.networks.network import Network
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
    elif name == DEFAULT:
        network = load_packaged(name, weights, upsample, seed)
    else:
        from rrtool.networks.backbones import load_torchvision

        network = load_torchvision(name, weights, upsample, seed)
    network.backbone.eval().requires_grad_(False).to(device)
    return network
