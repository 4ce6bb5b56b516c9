"""Commands that show what there is: inspect, report, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rrtool.cli.options import (
    Json,
    NetworkName,
    Overwrite,
    Quiet,
    Seed,
    Verbose,
)
from rrtool.console import (
    emit_json,
    emit_path,
    path_argument,
    reported,
)

commands = typer.Typer()


@commands.command()
def inspect(
    artifact: Annotated[str, typer.Argument(help="Any artifact.")],
    verify: Annotated[bool, typer.Option("--verify", help="Check the content's digest.")] = False,
    json: Json = False,
) -> None:
    """Tell what an artifact is and where it comes from."""
    with reported():
        from rrtool.stages import inspect as stage
        from rrtool.tables import print_facts

        facts = stage.run(path_argument(artifact), verify=verify)
        if json:
            emit_json(facts)
        else:
            print_facts(facts)


@commands.command()
def report(
    ranking: Annotated[str, typer.Argument(help="A ranking, best from rerank.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page to write.")],
    images: Annotated[str, typer.Option(help="The images of the database, as for extract.")],
    query_images: Annotated[
        str | None, typer.Option(help="Those of the queries; default: the same.")
    ] = None,
    query_local: Annotated[
        str | None, typer.Option(help="Local features of the queries, to draw matches.")
    ] = None,
    database_local: Annotated[
        str | None, typer.Option(help="Local features of the database, to draw matches.")
    ] = None,
    ground_truth: Annotated[
        str | None, typer.Option(help="Marks right and wrong; as for evaluate.")
    ] = None,
    max_queries: Annotated[int, typer.Option(help="Queries on the page.")] = 50,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show rankings and matches as one HTML page."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import report as stage

        path = stage.run(
            path_argument(ranking),
            output,
            images=images,
            query_images=query_images,
            query_local=query_local,
            database_local=database_local,
            ground_truth=ground_truth,
            max_queries=max_queries,
            overwrite=overwrite,
            progress=console,
        )
        emit_path(path, json, dict)


@commands.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put everything.")] = Path("demo"),
    network: NetworkName = "squeezenet1_1",
    weights: Annotated[
        str, typer.Option(help="As for extract; 'auto' = imagenet if it can be had, else none.")
    ] = "auto",
    short: Annotated[bool, typer.Option("--short", help="Fewer and smaller scenes.")] = False,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make scenes with planted objects, run the main job on them, and show the result."""
    with reported(quiet, verbose) as console:
        from rrtool.stages import demo as stage
        from rrtool.stages.evaluate import summarize
        from rrtool.tables import print_scores

        evaluated, page = stage.run(
            folder, network=network, weights=weights, seed=seed, short=short, progress=console
        )
        scores = summarize(evaluated)
        if not json:
            print_scores(scores)
        emit_path(page, json, lambda: {"rankings": scores})
