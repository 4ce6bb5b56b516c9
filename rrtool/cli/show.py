"""Commands that show what there is: inspect, report, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rrtool.cli.console import emit_json, emit_path, path_argument, reported
from rrtool.cli.options import (
    Json,
    NetworkName,
    Overwrite,
    Quiet,
    Seed,
    Verbose,
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
        from rrtool.cli.tables import print_facts
        from rrtool.stages import inspect as stage

        facts = stage.run(path_argument(artifact), verify=verify)
        if json:
            emit_json(facts)
        else:
            print_facts(facts)


@commands.command()
def report(
    artifacts: Annotated[
        list[str],
        typer.Argument(
            help="A ranking, best from rerank; saliency or objects; an al-agreement; or al-states "
            "of any runs."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page to write.")],
    images: Annotated[
        str | None, typer.Option(help="The images of a ranking's database, as for extract.")
    ] = None,
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
    objects: Annotated[str | None, typer.Option(help="Saliency: objects of its regions.")] = None,
    regions: Annotated[str | None, typer.Option(help="Saliency: its regions, with maps.")] = None,
    boxes: Annotated[str | None, typer.Option(help="Saliency: true boxes to draw.")] = None,
    max_queries: Annotated[
        int,
        typer.Option("--max-queries", "--max-images", help="Queries, or images, on the page."),
    ] = 50,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what an artifact holds as one HTML page: rankings, objects, learning curves."""
    with reported(quiet, verbose) as console:
        from rrtool.cli.tables import print_rows
        from rrtool.stages.reports import report_agreement, report_learning, report_saliency
        from rrtool.stages.reports import report_ranking as stage
        from rrtool.stages.reports.report_output import kind_of

        paths = [path_argument(artifact) for artifact in artifacts]
        common: dict[str, Any] = {"overwrite": overwrite, "progress": console}
        of_rankings: dict[str, Any] = {
            "query_images": query_images,
            "query_local": query_local,
            "database_local": database_local,
            "ground_truth": ground_truth,
        }
        of_saliency: dict[str, Any] = {"objects": objects, "regions": regions, "boxes": boxes}
        kind = kind_of(paths)
        if kind != "ranking":
            _refuse(of_rankings, "a ranking")
        if kind not in report_saliency.KINDS:
            _refuse(of_saliency, "saliency")
        data: dict[str, Any] = {}
        if kind == "al-state":
            _refuse({"images": images}, "rankings and saliency")
            path, data = report_learning.run(paths, output, **common)
            if not json:
                print_rows(data["table"])
        elif kind == "al-agreement":
            _refuse({"images": images}, "rankings and saliency")
            path = report_agreement.run(paths[0], output, **common)
        elif kind in report_saliency.KINDS:
            path = report_saliency.run(
                paths[0], output, images=images, max_images=max_queries, **of_saliency, **common
            )
        else:
            path = stage.run(
                paths[0], output, images=images, max_queries=max_queries, **of_rankings, **common
            )
        emit_path(path, json, lambda: data)


def _refuse(options: dict[str, Any], what: str) -> None:
    """Options that another kind of artifact takes."""
    from rrtool.errors import UsageError

    for name, value in options.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} goes with {what}", found=value)


@commands.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put everything.")] = Path("demo"),
    network: NetworkName = "squeezenet1_1",
    weights: Annotated[
        str, typer.Option(help="As for extract; 'auto' = imagenet if it can be had, else none.")
    ] = "auto",
    short: Annotated[bool, typer.Option("--short", help="Fewer and smaller scenes.")] = False,
    scenes_only: Annotated[
        bool, typer.Option("--scenes-only", help="Make the scenes and stop.")
    ] = False,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make scenes with planted objects, run the main job on them, and show the result."""
    with reported(quiet, verbose) as console:
        from rrtool.cli.tables import print_scores
        from rrtool.stages import demo as stage
        from rrtool.stages.evaluation.evaluate import summarize

        if scenes_only:
            scenes, _ = stage.make(folder, seed=seed, short=short)
            emit_path(scenes.images, False, dict)
            return
        evaluated, page = stage.run(
            folder, network=network, weights=weights, seed=seed, short=short, progress=console
        )
        scores = summarize(evaluated)
        if not json:
            print_scores(scores)
        emit_path(page, json, lambda: {"rankings": scores})
