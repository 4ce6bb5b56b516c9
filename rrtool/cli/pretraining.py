"""The command al-pretrain: learning features without labels."""

from __future__ import annotations

from typing import Annotated

import typer

from rrtool.cli.console import reported
from rrtool.cli.options import (
    Device,
    Json,
    MaxPixels,
    Output,
    Overwrite,
    Quiet,
    Seed,
    Verbose,
    Workers,
    finish,
    say_skipped,
)

commands = typer.Typer()


@commands.command("al-pretrain")
def al_pretrain(
    images: Annotated[
        str,
        typer.Argument(
            help="mnist:FOLDER, cifar10:FOLDER, cifar100:FOLDER or svhn:FOLDER with the standard "
            "files, or a folder or list of photos."
        ),
    ],
    output: Output,
    classes: Annotated[
        int | None,
        typer.Option(help="How many classes there are; default: the data set's own number."),
    ] = None,
    clusters_per_class: Annotated[int, typer.Option(help="Clusters for each class.")] = 5,
    epochs: Annotated[int, typer.Option(help="Rounds of clustering and learning.")] = 250,
    kmeans_iterations: Annotated[int, typer.Option(help="Of each clustering.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Images in a mini-batch.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Constant.")] = 0.02,
    momentum: Annotated[float, typer.Option(help="Of gradient descent.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Of all parameters.")] = 1e-5,
    translate: Annotated[int, typer.Option(help="Random shift of up to so many pixels.")] = 4,
    flip: Annotated[
        bool | None,
        typer.Option(help="Mirror images at random; default: yes, but not the digits."),
    ] = None,
    width: Annotated[
        float, typer.Option(help="Factor on the network's channels; less is faster.")
    ] = 1.0,
    image_size: Annotated[int, typer.Option(help="Photos become squares so wide.")] = 32,
    limit: Annotated[int | None, typer.Option(help="Only the first so many images.")] = None,
    max_pixels: MaxPixels = 150_000_000,
    workers: Workers = 0,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn a network's features from unlabelled images, by DeepCluster (al-pretraining)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.learning import pretrain as stage
        from rrtool.training.pretraining import PretrainingOptions

        pretraining = PretrainingOptions(
            epochs, clusters_per_class, kmeans_iterations, batch_size, learning_rate, momentum,
            weight_decay, translate, flip, width, device,
        )  # fmt: skip
        options = stage.AlPretrainOptions(
            pretraining, classes, image_size, limit, max_pixels, workers, seed
        )
        path = stage.run(images, output, options, overwrite=overwrite, progress=console)
        say_skipped(console, path)
        finish(path, json)
