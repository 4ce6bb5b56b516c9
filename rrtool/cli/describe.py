"""Commands that describe images: extract, detect-local, whiten."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rrtool.cli.console import path_argument, reported
from rrtool.cli.options import (
    BatchSize,
    Boxes,
    Device,
    Gallery,
    Images,
    Json,
    MaxPixels,
    MaxSize,
    NetworkName,
    Output,
    Overwrite,
    Quiet,
    Scales,
    Seed,
    Upsample,
    Verbose,
    Weights,
    Workers,
    finish,
    network_options,
    say_skipped,
)

commands = typer.Typer()

whiten_app = typer.Typer(
    help="Learn a whitening of features, apply it, or take over a checkpoint's.",
    no_args_is_help=True,
)
commands.add_typer(whiten_app, name="whiten")


@commands.command()
def extract(
    images: Images,
    output: Output,
    network: NetworkName,
    weights: Weights,
    pool: Annotated[
        str | None,
        typer.Option(help="gem, mac, spoc, rmac or crow; default: the checkpoint's, gem."),
    ] = None,
    gem_exponent: Annotated[
        float | None, typer.Option(help="Exponent of GeM; default: the checkpoint's, 3.")
    ] = None,
    whitening: Annotated[
        str, typer.Option(help="The checkpoint's whitening: auto, none, or the name of its set.")
    ] = "auto",
    max_size: MaxSize = 1024,
    scales: Scales = "1,0.7071,0.5",
    upsample: Upsample = False,
    boxes: Boxes = None,
    gallery: Gallery = None,
    regions: Annotated[
        int | None,
        typer.Option(help="Describe regions instead, uniform at so many levels (regions)."),
    ] = None,
    save_maps: Annotated[
        Path | None, typer.Option(help="Write the activation maps too, to this artifact.")
    ] = None,
    max_pixels: MaxPixels = 150_000_000,
    device: Device = "auto",
    workers: Workers = 0,
    batch_size: BatchSize = 0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Describe every image by one vector (features)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.retrieval import extract as stage

        inference = network_options(
            network,
            weights,
            None,
            upsample,
            scales,
            max_size,
            max_pixels,
            seed,
            device,
            workers,
            batch_size,
        )
        options = stage.ExtractOptions(inference, pool, gem_exponent, whitening)
        if regions is not None:
            from rrtool.errors import UsageError
            from rrtool.stages.retrieval import extract_regions

            if save_maps is not None:
                raise UsageError("--regions and --save-maps do not go together")
            path = extract_regions.run(
                images,
                output,
                options,
                regions,
                boxes=boxes,
                gallery=gallery,
                overwrite=overwrite,
                progress=console,
            )
            say_skipped(console, path)
            finish(path, json)
            return
        path = stage.run(
            images,
            output,
            options,
            boxes=boxes,
            gallery=gallery,
            maps_output=save_maps,
            overwrite=overwrite,
            progress=console,
        )
        say_skipped(console, path)
        finish(path, json)


@commands.command("detect-local")
def detect_local(
    images: Images,
    output: Output,
    network: Annotated[str | None, NetworkName.__metadata__[0]] = None,
    weights: Annotated[str | None, Weights.__metadata__[0]] = None,
    maps: Annotated[
        str | None, typer.Option(help="Activation maps of these images, in place of a network.")
    ] = None,
    role: Annotated[str, typer.Option(help="query or database.")] = "database",
    max_features: Annotated[
        int | None, typer.Option(help="Per image, over all scales; default: number of channels.")
    ] = None,
    max_per_channel: Annotated[
        int | None, typer.Option(help="Drop fuller channels; default: 20 query, 10 database.")
    ] = None,
    nms_iou: Annotated[
        float | None,
        typer.Option(help="Overlap that suppresses; default: none query, 0.2 database."),
    ] = None,
    min_diversity: Annotated[float, typer.Option(help="Of MSER.")] = 0.7,
    max_variation: Annotated[float, typer.Option(help="Of MSER.")] = 0.5,
    delta: Annotated[
        int | None, typer.Option(help="MSER's step in 8-bit levels; default: from the images.")
    ] = None,
    levels_from: Annotated[
        str | None, typer.Option(help="Local features whose levels to take over.")
    ] = None,
    max_size: MaxSize = 1024,
    scales: Scales = "1,0.7071,0.5",
    upsample: Upsample = False,
    boxes: Boxes = None,
    gallery: Gallery = None,
    max_pixels: MaxPixels = 150_000_000,
    device: Device = "auto",
    workers: Workers = 0,
    batch_size: BatchSize = 0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Detect local features in the activation maps of every image (local-features)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.matching import detect_local as stage

        inference = network_options(
            network,
            weights,
            maps,
            upsample,
            scales,
            max_size,
            max_pixels,
            seed,
            device,
            workers,
            batch_size,
        )
        options = stage.DetectLocalOptions.of(
            inference, delta, role, min_diversity, max_variation, max_per_channel, nms_iou,
            max_features,
        )  # fmt: skip
        path = stage.run(
            images,
            output,
            options,
            boxes=boxes,
            gallery=gallery,
            maps=maps and path_argument(maps),
            levels_from=levels_from and path_argument(levels_from),
            overwrite=overwrite,
            progress=console,
        )
        say_skipped(console, path)
        finish(path, json)


@whiten_app.command("fit")
def whiten_fit(
    features: Annotated[str, typer.Argument(help="Features, not whitened.")],
    output: Output,
    groups: Annotated[
        str | None,
        typer.Option(help="Images of one label match: prefix:REGEX, folder, a CSV name,label."),
    ] = None,
    pairs: Annotated[
        str | None, typer.Option(help="Matching images: a CSV of two names a row.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="supervised, pca, or center (the mean only).")
    ] = "supervised",
    dim: Annotated[int | None, typer.Option(help="Dimensions to keep; default: all.")] = None,
    shrinkage: Annotated[
        float | None,
        typer.Option(help="Of the covariance, in [0, 1]; default: by the number of images."),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn a whitening from features and matching images (whitening)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.retrieval import whiten_fit as stage

        path = stage.run(
            path_argument(features),
            output,
            stage.FitOptions(method, dim, shrinkage, groups, pairs),
            overwrite=overwrite,
            progress=console,
        )
        finish(path, json)


@whiten_app.command("apply")
def whiten_apply(
    features: Annotated[str, typer.Argument(help="Features, not whitened.")],
    whitening: Annotated[str, typer.Argument(help="From whiten fit or whiten export.")],
    output: Output,
    center: Annotated[
        str | None,
        typer.Option(help="Subtract the mean of these features (the database's) instead."),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Whiten features (features)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.retrieval import whiten as stage

        path = stage.apply(
            path_argument(features),
            path_argument(whitening),
            output,
            center=center and path_argument(center),
            overwrite=overwrite,
            progress=console,
        )
        finish(path, json)


@whiten_app.command("export")
def whiten_export(
    checkpoint: Annotated[str, typer.Argument(help="A retrieval checkpoint.")],
    output: Output,
    set: Annotated[
        str | None,
        typer.Option(help="Of several, the whitening of this set; NAME/ss is for one scale."),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Take a checkpoint's own whitening out of it (whitening)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.retrieval import whiten as stage

        path = stage.export(checkpoint, output, set_name=set, overwrite=overwrite, progress=console)
        finish(path, json)
