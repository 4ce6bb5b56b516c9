"""Commands of object discovery: saliency fs, saliency os, discover."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rrtool.cli.console import path_argument, reported
from rrtool.cli.options import (
    BatchSize,
    Device,
    Gallery,
    Images,
    Json,
    MapsOf,
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

saliency_app = typer.Typer(
    help="Find what is salient in images: fs by activations, os by what repeats.",
    no_args_is_help=True,
)
commands.add_typer(saliency_app, name="saliency")

Sigma = Annotated[float, typer.Option(help="Scale of the samples of EGM.")]
Overlap = Annotated[float, typer.Option(help="Threshold of EGM's purge, in (0, 1).")]
Aggregate = Annotated[
    str, typer.Option(help="Add regions up weighted by their saliency, or plainly: sum.")
]
GemExponent = Annotated[float, typer.Option(help="Exponent of GeM.")]


@saliency_app.command("fs")
def saliency_fs(
    images: Images,
    output: Output,
    network: Annotated[str | None, NetworkName.__metadata__[0]] = None,
    weights: Annotated[str | None, Weights.__metadata__[0]] = None,
    maps: MapsOf = None,
    features: Annotated[
        Path | None, typer.Option(help="Write the FS.EGM descriptors of the images here.")
    ] = None,
    keep_maps: Annotated[
        bool, typer.Option("--keep-maps", help="Store the saliency maps too.")
    ] = False,
    rho: Annotated[float, typer.Option(help="Power of the map before detection.")] = 7.0,
    sigma: Sigma = 2.5,
    overlap: Overlap = 0.55,
    gem_exponent: GemExponent = 3.0,
    aggregate: Aggregate = "weighted",
    max_size: MaxSize = 1024,
    scales: Scales = "1,0.7071,0.5",
    upsample: Upsample = False,
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
    """Find and describe the regions of feature saliency (regions)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.discovery import saliency_fs as stage

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
        path = stage.run(
            images,
            output,
            inference,
            stage.RegionOptions(rho, sigma, overlap, gem_exponent, aggregate),
            features_output=features,
            maps=maps,
            gallery=gallery,
            keep_maps=keep_maps,
            overwrite=overwrite,
            progress=console,
        )
        say_skipped(console, path)
        finish(path, json)


@saliency_app.command("os")
def saliency_os(
    images: Images,
    output: Output,
    regions: Annotated[str, typer.Option(help="Regions of the collection, from saliency fs.")],
    centrality: Annotated[str, typer.Option(help="Their centrality.")],
    features: Annotated[Path, typer.Option(help="Write the OS.EGM descriptors here.")],
    network: Annotated[str | None, NetworkName.__metadata__[0]] = None,
    weights: Annotated[str | None, Weights.__metadata__[0]] = None,
    maps: MapsOf = None,
    whitening: Annotated[
        str | None, typer.Option(help="What the regions were whitened with, if they were.")
    ] = None,
    center: Annotated[
        str | None, typer.Option(help="What they were centred on, if they were.")
    ] = None,
    theta: Annotated[float, typer.Option(help="Power of feature saliency.")] = 3.0,
    patch: Annotated[
        int | None, typer.Option(help="Side in cells; default: a third of the shorter side.")
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Regions that a patch is compared with.")] = 50,
    gamma: Annotated[float, typer.Option(help="Exponent of their similarity.")] = 3.0,
    method: Annotated[
        str, typer.Option(help="exact, ivf, hnsw; auto: ivf among more than 10,000 regions.")
    ] = "auto",
    rho: Annotated[float, typer.Option(help="Power of the map before detection.")] = 2.0,
    sigma: Sigma = 2.5,
    overlap: Overlap = 0.55,
    gem_exponent: GemExponent = 3.0,
    aggregate: Aggregate = "weighted",
    max_size: MaxSize = 1024,
    scales: Scales = "1,0.7071,0.5",
    upsample: Upsample = False,
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
    """Map what repeats in a collection, and describe its images by that (saliency, features)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.discovery import saliency_os as stage
        from rrtool.stages.discovery.saliency_fs import RegionOptions

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
        path = stage.run(
            images,
            output,
            inference,
            stage.ObjectSaliencyOptions(
                RegionOptions(rho, sigma, overlap, gem_exponent, aggregate),
                theta,
                patch,
                k,
                gamma,
                method,
            ),
            regions=regions,
            centrality=centrality,
            features_output=features,
            whitening=whitening,
            center=center,
            maps=maps,
            gallery=gallery,
            overwrite=overwrite,
            progress=console,
        )
        say_skipped(console, path)
        finish(path, json)


@commands.command()
def discover(
    regions: Annotated[str, typer.Argument(help="Regions of a collection, from saliency fs.")],
    output: Output,
    graph: Annotated[str, typer.Option(help="Their graph.")],
    centrality: Annotated[str, typer.Option(help="Their centrality.")],
    min_images: Annotated[int, typer.Option(help="Fewest images that an object is seen in.")] = 3,
    quantile: Annotated[
        float, typer.Option(help="Edges below this quantile of all weights do not count.")
    ] = 0.7,
    cohesion: Annotated[
        float, typer.Option(help="Share of an object's regions that each has an edge to.")
    ] = 0.5,
    overlap: Annotated[
        float, typer.Option(help="Regions of one image that overlap more are the same thing.")
    ] = 0.5,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find the objects that repeat in a collection (objects)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.discovery import discover as stage

        path = stage.run(
            path_argument(regions),
            output,
            stage.discovery_options(min_images, quantile, cohesion, overlap),
            graph=graph,
            centrality=centrality,
            overwrite=overwrite,
            progress=console,
        )
        finish(path, json)
