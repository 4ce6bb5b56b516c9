"""Commands that rank and score: search, rerank, diffuse, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rrtool.cli.console import emit_json, path_argument, reported
from rrtool.cli.options import (
    Device,
    Json,
    Output,
    Overwrite,
    Quiet,
    Verbose,
    finish,
)

commands = typer.Typer()


@commands.command()
def search(
    queries: Annotated[str, typer.Argument(help="Features or regions of the queries.")],
    database: Annotated[str, typer.Argument(help="Features or regions of the database.")],
    output: Output,
    top: Annotated[int | None, typer.Option(help="Entries per query; default: all.")] = None,
    expand: Annotated[
        int, typer.Option(help="Average each query with its nearest N and search again; 0 = no.")
    ] = 0,
    expand_alpha: Annotated[
        float, typer.Option(help="Weigh what is averaged by similarity to this power.")
    ] = 0.0,
    augment: Annotated[
        int, typer.Option(help="First average each database image with its nearest N; 0 = no.")
    ] = 0,
    regional: Annotated[
        bool, typer.Option("--regional", help="Insist on cross-matching: both must be regions.")
    ] = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Rank the database by similarity to each query (ranking)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.retrieval import search as stage

        path = stage.run(
            path_argument(queries),
            path_argument(database),
            output,
            stage.SearchOptions(top, expand, expand_alpha, augment),
            regional=regional,
            overwrite=overwrite,
            progress=console,
        )
        finish(path, json)


@commands.command()
def rerank(
    ranking: Annotated[str, typer.Argument(help="The initial ranking, from search.")],
    output: Output,
    query_local: Annotated[str, typer.Option(help="Local features of the queries.")],
    database_local: Annotated[str, typer.Option(help="Local features of the database.")],
    shortlist: Annotated[int, typer.Option(help="Entries per query to verify.")] = 100,
    score: Annotated[
        str, typer.Option(help="fused (similarity and matches) or inliers (the thesis's).")
    ] = "fused",
    inlier_threshold: Annotated[
        float, typer.Option(help="Largest transfer error, in cells of the activation map.")
    ] = 2.0,
    max_scale_change: Annotated[float, typer.Option(help="Of the transform.")] = 3.0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Verify the head of each ranking spatially and re-order it (ranking)."""
    with reported(quiet, verbose) as console:
        from rrtool.stages.matching import rerank as stage

        path = stage.run(
            path_argument(ranking),
            output,
            stage.RerankOptions(shortlist, score, inlier_threshold, max_scale_change, device),
            query_local=path_argument(query_local),
            database_local=path_argument(database_local),
            overwrite=overwrite,
            progress=console,
        )
        finish(path, json)


@commands.command()
def diffuse(
    output: Output,
    graph: Annotated[str, typer.Option(help="Graph of the database, from build-graph.")],
    database: Annotated[str, typer.Option(help="Features of the database.")],
    queries: Annotated[str | None, typer.Option(help="Features of the queries.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Start at the best images of this verified ranking.")
    ] = None,
    kq: Annotated[
        int | None,
        typer.Option(
            "--kq", help="Where to start; default: 10 nearest, or 5 best verified images."
        ),
    ] = None,
    verified: Annotated[
        int, typer.Option(help="Of the seeds' ranking, the images that may become seeds.")
    ] = 10,
    alpha: Annotated[float, typer.Option(help="How far to diffuse, in (0, 1).")] = 0.99,
    tol: Annotated[float, typer.Option(help="Relative residual to stop at.")] = 1e-6,
    max_iter: Annotated[int, typer.Option(help="Iterations of conjugate gradients.")] = 20,
    truncate: Annotated[
        int | None, typer.Option(help="Diffuse among so many nearest vertices only.")
    ] = None,
    prepare: Annotated[
        bool,
        typer.Option("--prepare", help="Solve for every vertex now (offline-diffusion)."),
    ] = False,
    offline: Annotated[
        str | None, typer.Option(help="Combine solutions from --prepare, solve nothing.")
    ] = None,
    transductive: Annotated[
        bool, typer.Option("--transductive", help="Let the queries enter the graph.")
    ] = False,
    top: Annotated[int | None, typer.Option(help="Entries per query; default: all.")] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Rank the database by diffusion on its graph (ranking)."""
    with reported(quiet, verbose) as console:
        from rrtool.errors import UsageError
        from rrtool.stages.diffusion import diffuse as stage
        from rrtool.stages.diffusion import diffuse_prepare

        if prepare:
            if transductive or any(x is not None for x in (queries, seeds, offline, kq, top)):
                raise UsageError("--prepare knows no queries", expected="--graph and --database")
            prepared = diffuse_prepare.run(
                path_argument(graph),
                path_argument(database),
                output,
                diffuse_prepare.PrepareOptions(
                    1000 if truncate is None else truncate, alpha, tol, max_iter
                ),
                overwrite=overwrite,
                progress=console,
            )
            finish(prepared, json)
            return
        if queries is None:
            raise UsageError("no queries", expected="--queries, or --prepare")
        path = stage.run(
            path_argument(graph),
            path_argument(queries),
            path_argument(database),
            output,
            stage.DiffuseOptions(
                kq, verified, alpha, tol, max_iter, truncate, transductive, top, device
            ),
            seeds=seeds and path_argument(seeds),
            offline=offline and path_argument(offline),
            overwrite=overwrite,
            progress=console,
        )
        finish(path, json)


@commands.command()
def evaluate(
    rankings: Annotated[
        list[str], typer.Argument(help="One or more rankings; with --boxes, saliency or regions.")
    ],
    ground_truth: Annotated[
        str | None,
        typer.Option(
            help="prefix:REGEX, folder, a CSV name,label, a revisited or INSTRE .pkl or .mat, or "
            "an Oxford5k folder."
        ),
    ] = None,
    boxes: Annotated[
        str | None, typer.Option(help="True boxes of the objects, as for extract.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="groups, revisited, instre or oxford5k; default: by ground truth."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Artifact for the scores of every query.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Score rankings by a protocol, or saliency by true boxes, side by side (evaluation)."""
    with reported(quiet, verbose) as console:
        from rrtool.cli.tables import print_rows, print_scores
        from rrtool.errors import UsageError
        from rrtool.stages.evaluation import evaluate as stage

        if (ground_truth is None) == (boxes is None):
            raise UsageError("say what to score by", expected="--ground-truth or --boxes")
        if boxes is not None:
            from rrtool.stages.evaluation import evaluate_saliency

            scores = evaluate_saliency.run(
                [path_argument(path) for path in rankings],
                output,
                boxes=boxes,
                overwrite=overwrite,
                progress=console,
            )
            rows = [score.summary() for score in scores]
            emit_json(rows) if json else print_rows(rows)
            return
        evaluated = stage.run(
            [path_argument(ranking) for ranking in rankings],
            output,
            ground_truth=str(ground_truth),
            protocol=protocol,
            overwrite=overwrite,
            progress=console,
        )
        if json:
            emit_json(stage.summarize(evaluated))
        else:
            print_scores(stage.summarize(evaluated))
