"""Commands on regions: reduce-regions."""

from __future__ import annotations

from typing import Annotated

import typer

from rrtool.cli.console import path_argument, reported
from rrtool.cli.options import Json, Output, Overwrite, Quiet, Seed, Verbose, finish

commands = typer.Typer()


@commands.command("reduce-regions")
def reduce_regions(
    regions: Annotated[str, typer.Argument(help="From extract --regions or saliency fs.")],
    output: Output,
    n_regions: Annotated[int, typer.Option(help="Keep at most so many an image.")],
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Describe every image by fewer regions: the means of a Gaussian mixture (regions)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.retrieval import reduce_regions as stage

        path = stage.run(
            path_argument(regions),
            output,
            stage.ReduceOptions(n_regions, seed),
            overwrite=overwrite,
            progress=console,
        )
        finish(path, json)
