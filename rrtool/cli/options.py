"""Options that several commands share, and what commands do at their end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rrtool.cli.console import EXIT_SKIPPED, Console, emit_path

Output = Annotated[Path, typer.Option("--output", "-o", help="The artifact to write.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an output made with other options or inputs.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Before an error its traceback.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<i>.")]
Workers = Annotated[int, typer.Option(help="Decoding threads; 0 = as many as cores.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]
Images = Annotated[
    str, typer.Argument(help="Folder (recursive), text or CSV list, or - for a list on stdin.")
]
NetworkName = Annotated[
    str,
    typer.Option(
        help="vgg16, resnet18, resnet50, resnet101, squeezenet1_0, squeezenet1_1, "
        "mobilenet_v2 or alexnet."
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        help="Weights file or retrieval checkpoint, 'imagenet' (downloaded once), or 'none' "
        "(untrained)."
    ),
]
MaxSize = Annotated[int, typer.Option(help="Shrink the longer side to this many pixels.")]
MaxPixels = Annotated[int, typer.Option(help="Refuse larger image files unread.")]
Scales = Annotated[str, typer.Option(help="Factors of the image size, comma-separated.")]
Upsample = Annotated[
    bool, typer.Option("--upsample", help="Double the last map's resolution (VGG, ResNet).")
]
Boxes = Annotated[
    str | None,
    typer.Option(
        help="Query boxes: CSV name,x0,y0,x1,y1; revisited or INSTRE ground truth; Oxford5k folder."
    ),
]
Gallery = Annotated[
    str | None,
    typer.Option(help="Only the images in the gallery of this revisited or INSTRE ground truth."),
]
BatchSize = Annotated[int, typer.Option(help="Images of one size run together; 0 = by device.")]
MapsOf = Annotated[
    str | None, typer.Option(help="Activation maps of these images, in place of a network.")
]


def finish(path: Path, as_json: bool) -> None:
    """Print the result; exit with 3 if some inputs were skipped."""
    from rrtool.artifacts import open_artifact

    with open_artifact(path) as artifact:
        facts = {"kind": artifact.kind, "uuid": artifact.uuid, **artifact.extra}
    emit_path(path, as_json, lambda: facts)
    if facts.get("n_skipped"):
        raise typer.Exit(EXIT_SKIPPED)


def say_skipped(console: Console, path: Path) -> None:
    from rrtool.artifacts import open_artifact
    from rrtool.stages.activations.run import skipped_list_path

    with open_artifact(path) as artifact:
        n_skipped = artifact.extra.get("n_skipped", 0)
    if n_skipped:
        console.message(f"{n_skipped} inputs were skipped: see {skipped_list_path(path)}")


def parse_scales(text: str) -> tuple[float, ...]:
    from rrtool.errors import UsageError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError("bad --scales", expected="numbers like 1,0.7071,0.5", found=text) from None


def network_options(
    network: str | None,
    weights: str | None,
    maps: str | None,
    upsample: bool,
    scales: str,
    max_size: int,
    max_pixels: int,
    seed: int,
    device: str,
    workers: int,
    batch_size: int,
) -> Any:
    """``NetworkOptions`` of a command that runs a network, or reads maps in its place."""
    from rrtool.errors import UsageError
    from rrtool.stages.activations.run import NetworkOptions

    if maps is None and (network is None or weights is None):
        raise UsageError("no activations", expected="--network and --weights, or --maps")
    return NetworkOptions(
        network or "", weights or "", upsample, parse_scales(scales), max_size, max_pixels, seed,
        device, workers, batch_size,
    )  # fmt: skip
