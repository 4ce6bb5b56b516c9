"""Commands of the graph: build-graph, centrality."""

from __future__ import annotations

from typing import Annotated

import typer

from rrtool.cli.console import path_argument, reported
from rrtool.cli.options import (
    Device,
    Json,
    Output,
    Overwrite,
    Quiet,
    Seed,
    Verbose,
    finish,
)

commands = typer.Typer()


@commands.command("build-graph")
def build_graph(
    features: Annotated[str, typer.Argument(help="Features, or regions.")],
    output: Output,
    k: Annotated[
        int | None,
        typer.Option("--k", help="Neighbours of each; default: 50, fewer under 2000 images."),
    ] = None,
    gamma: Annotated[float, typer.Option(help="Exponent of the edge weights.")] = 3.0,
    method: Annotated[
        str, typer.Option(help="exact, or approximate: ivf or hnsw (recall is measured).")
    ] = "exact",
    symmetrize: Annotated[
        str, typer.Option(help="mutual (neighbours that list each other) or sum.")
    ] = "mutual",
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Connect descriptors with their nearest neighbours (graph)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.diffusion import build_graph as stage

        path = stage.run(
            path_argument(features),
            output,
            stage.BuildGraphOptions(k, gamma, method, symmetrize, device, seed),
            overwrite=overwrite,
            progress=console,
        )
        finish(path, json)


@commands.command()
def centrality(
    graph: Annotated[str, typer.Argument(help="A graph, from build-graph.")],
    output: Output,
    measure: Annotated[
        str,
        typer.Option(help="degree, eigenvector, pagerank, katz, betweenness or closeness."),
    ],
    alpha: Annotated[
        float | None, typer.Option(help="Of pagerank (default 0.85) and katz (default 0.99).")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            help="Estimate betweenness or closeness from so many vertices; default: exact, up to "
            "30,000 vertices."
        ),
    ] = None,
    tol: Annotated[
        float | None,
        typer.Option(help="Where the iteration stops; default: 1e-6 katz, else 1e-8."),
    ] = None,
    max_iter: Annotated[
        int | None, typer.Option(help="Most iterations; default: 100 katz, else 1000.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure how significant each vertex of a graph is (centrality)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.discovery import centrality as stage

        path = stage.run(
            path_argument(graph),
            output,
            stage.CentralityOptions(measure, alpha, samples, tol, max_iter, seed, device),
            overwrite=overwrite,
            progress=console,
        )
        finish(path, json)
