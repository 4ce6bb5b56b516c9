"""Options of every command that runs a network over images (METHODS §1)."""

from dataclasses import dataclass
from typing import ClassVar

from rrtool.declared import MAX_SEED
from rrtool.engine.options import WorkersOptions
from rrtool.errors import OptionError
from rrtool.networks.names import (
    AUTO,
    DEFAULT,
    ONNX,
    check_name,
    check_weights,
    sizes_of,
)
from rrtool.options import (
    Command,
    DeviceOptions,
    Options,
    ShareOptions,
    UpdateOptions,
    again,
    argument,
    artifact,
    option,
)

_NETWORK = (
    "The network: efficientnet_lite0, which comes with rrtool; one of torchvision's; timm:NAME, "
    "any model of timm that gives a map; or onnx:FILE (see rrtool networks)."
)
_WEIGHTS = (
    "The weights: auto, those that come with the network; a file of its own state dict or a "
    "retrieval checkpoint; imagenet (torchvision's) or pretrained (timm's), which are downloaded "
    "once; or none, for seeded random weights."
)
MAX_PIXELS = 150_000_000
# Preparing and comparing an engine takes seconds, which fewer photos do not give back.
WORTH_IT = 64


@dataclass(frozen=True, kw_only=True)
class ImagesOptions(Options):
    """Which images."""

    images: str = argument(
        "A folder of images (with its subfolders), a text or CSV list of them, or - for a list on "
        "standard input.",
        role="images",
    )
    gallery: str | None = option(
        None,
        "Take only the images in the gallery of this revisited or INSTRE ground truth.",
        role="file",
        panel="Images",
    )


@dataclass(frozen=True, kw_only=True)
class BoxesOptions(ImagesOptions):
    """Images, or boxes in them."""

    boxes: str | None = option(
        None,
        "Describe these boxes in place of whole images, as queries: a CSV name,x0,y0,x1,y1 in "
        "pixels, COCO's JSON, a revisited or INSTRE ground truth, or an Oxford5k folder.",
        role="file",
        panel="Images",
    )


@dataclass(frozen=True, kw_only=True)
class DecodingOptions(Options):
    """How image files are read."""

    max_pixels: int = option(
        MAX_PIXELS, "Refuse image files of more pixels before they are decoded.",
        least=1, panel="Images",
    )  # fmt: skip
    workers: int = option(
        0, "Threads that decode images; 0 takes a third of the cores, beside a GPU all.",
        least=0, most=1024, shapes=False, panel="Running",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EngineOptions(DecodingOptions, DeviceOptions):
    """How photos are read, and what runs the network."""

    engine: str = option(
        "auto",
        "What runs the network on a CPU; auto takes the fastest that is installed and gives the "
        "descriptors of torch.",
        choices=("auto", "torch", "openvino", "onnxruntime"), shapes=False, panel="Running",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OverImagesOptions(WorkersOptions, ImagesOptions, EngineOptions, ShareOptions):
    """How an artifact over images follows them, which of them it is of, and who makes it."""

    update: bool = again(
        UpdateOptions, "update", False,
        help="Bring an output up to date whose images have changed: rows of unchanged and of "
        "renamed images are kept, new and changed ones are computed, those of images that are gone "
        "are dropped.",
    )  # fmt: skip
    shard: str | None = again(
        ShareOptions, "shard", None,
        help="Work on one of so many shares of the images, such as 2/8; rrtool merge joins the "
        "shares.",
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.update and getattr(self, "boxes", None) is not None:
            raise OptionError(
                "--update is for whole images", option="update", found="--boxes",
                todo="leave out --update",
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class InferenceOptions(EngineOptions):
    """How images go through a network, whichever it is."""

    upsample: bool = option(
        False,
        "Double the resolution of the last activation map (efficientnet_lite0, VGG and ResNet; "
        "thesis §4.4.1).",
        role="network",
        panel="Network",
    )
    seed: int = option(
        0, "Seed of the random weights of --weights none.",
        least=0, most=MAX_SEED, role="network", panel="Network",
    )  # fmt: skip
    max_size: int | None = option(
        None,
        "Shrink the longer side to this many pixels; smaller images stay as they are. By default "
        "512 for efficientnet_lite0, else 1024.",
        least=1, panel="Images",
    )  # fmt: skip
    scales: tuple[float, ...] | None = option(
        None,
        "Factors of the image size at which the network runs, comma-separated. By default "
        "1.4142,1,0.7071 for efficientnet_lite0, else 1,0.7071,0.5.",
        above=0, most=4, panel="Images",
    )  # fmt: skip
    precision: str = option(
        "auto",
        "Of the numbers inside the network on a CPU; auto takes bfloat16 for descriptors where "
        "the processor has it.",
        choices=("auto", "float32", "bfloat16"), shapes=False, panel="Running",
    )  # fmt: skip
    batch_size: int = option(
        0, "Images of one size that go through the network together; 0 chooses by the device.",
        least=0, most=4096, shapes=False, panel="Running",
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.scales is not None and len(set(self.scales)) < max(1, len(self.scales)):
            raise OptionError(
                "bad --scales: each factor stands there once", option="scales",
                expected="one or more factors", found=",".join(map(str, self.scales)),
            )  # fmt: skip

    @property
    def working_size(self) -> int:
        """Pixels of the longer side: what is asked for, else the network's own."""
        return self.max_size or sizes_of(self._network)[0]

    @property
    def working_scales(self) -> tuple[float, ...]:
        """Factors of it, likewise."""
        return self.scales or sizes_of(self._network)[1]

    @property
    def _network(self) -> str:
        return str(getattr(self, "network", ""))

    def inference(self) -> dict[str, object]:
        """What activations depend on beside the images and the network, JSON-compatible."""
        return {
            "max_size": self.working_size,
            "max_pixels": self.max_pixels,
            "scales": list(self.working_scales),
        }


@dataclass(frozen=True, kw_only=True)
class NamedNetworkOptions(Options):
    """Which network."""

    network: str = option(
        DEFAULT, _NETWORK, role="network", names_file=True, file_prefix=ONNX, panel="Network"
    )
    weights: str = option(AUTO, _WEIGHTS, role="network", names_file=True, panel="Network")

    def check(self) -> None:
        super().check()
        check_name(self.network)
        if self.uses_network:
            check_weights(self.network, self.weights)

    @property
    def uses_network(self) -> bool:
        """Whether the network runs at all."""
        return True


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(NamedNetworkOptions, ImagesOptions, InferenceOptions):
    """A network over images."""


@dataclass(frozen=True, kw_only=True)
class ActivationsOptions(NetworkOptions):
    """A network, or the activation maps that it gave before."""

    maps: str | None = artifact(
        None, "In place of a network, activation maps of these images (from extract --save-maps)."
    )

    @property
    def uses_network(self) -> bool:
        """Not where the maps are there."""
        return self.maps is None


@dataclass(frozen=True, kw_only=True)
class NetworksOptions(Options):
    """List the networks that --network takes, and which are installed with their weights."""

    COMMAND: ClassVar = Command(
        "networks", "rrtool.stages.activations.networks", "§2.5", "docs/networks.md",
        python="list_networks",
    )  # fmt: skip
