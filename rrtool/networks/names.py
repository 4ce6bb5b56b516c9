"""Names of networks and words for weights; nothing here needs a network.

``DEFAULT`` comes with rrtool, ``TORCHVISION`` are torchvision's by their own names, ``timm:NAME``
is any model of timm that gives a map, and ``onnx:FILE`` a graph in a file.
"""

from difflib import get_close_matches

from rrtool.errors import OptionError

DEFAULT = "efficientnet_lite0"
TORCHVISION = (
    "vgg16", "resnet18", "resnet50", "resnet101", "squeezenet1_0", "squeezenet1_1",
    "mobilenet_v2", "alexnet",
)  # fmt: skip
NAMES = (DEFAULT, *TORCHVISION)
TIMM, ONNX = "timm:", "onnx:"
# What --weights may say in place of a file.
AUTO, IMAGENET, PRETRAINED, NONE = "auto", "imagenet", "pretrained", "none"
WORDS = (AUTO, IMAGENET, PRETRAINED, NONE)

# Size of photos, in pixels of the longer side, and factors of it at which a network describes them
# best (docs/reproduction.md); of all others those of the thesis (§4.4.1).
_OWN_SIZES = {DEFAULT: (512, (1.4142, 1.0, 0.7071))}
_SIZES = (1024, (1.0, 0.7071, 0.5))


def sizes_of(network: str) -> tuple[int, tuple[float, ...]]:
    """Working size and scales of a network where none are asked for."""
    return _OWN_SIZES.get(network, _SIZES)


def nearest(name: str, names: tuple[str, ...] | list[str]) -> str | None:
    """What to do instead of giving a wrong name."""
    found = get_close_matches(name, names, 3, 0.5)
    return f"did you mean {' or '.join(found)}?" if found else None


def check_name(network: str) -> None:
    """A name that is known, or that only timm or a file can tell more of.

    Raises:
        OptionError: neither.
    """
    is_of_others = any(network.startswith(p) and network != p for p in (TIMM, ONNX))
    if network not in NAMES and not is_of_others:
        raise OptionError(
            "unknown --network", option="network", expected=EXPECTED, found=network,
            todo=nearest(network, NAMES) or "see rrtool networks",
        )  # fmt: skip


EXPECTED = f"{', '.join(NAMES)}, timm:NAME or onnx:FILE"


def words_for(network: str) -> tuple[str, ...]:
    """What ``--weights`` may be for a network, a file aside; the usual one first."""
    if network == DEFAULT:
        return AUTO, NONE
    if network.startswith(ONNX):
        return (AUTO,)
    return (PRETRAINED if network.startswith(TIMM) else IMAGENET), NONE


def check_weights(network: str, weights: str) -> None:
    """A file, or a word that this network has a meaning for.

    Raises:
        OptionError: another word.
    """
    words = words_for(network)
    is_graph = network.startswith(ONNX)
    if weights in words or (weights not in WORDS and not is_graph):
        return
    if is_graph:
        expected = "no --weights: the file of the network holds them"
    else:
        expected = f"a file, {' or '.join(words)}"
    raise OptionError(
        f"--weights {weights} is not for {network}" if weights in WORDS else "bad --weights",
        option="weights", expected=expected, found=weights,
    )  # fmt: skip
