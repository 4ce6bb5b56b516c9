"""The command of the agreement study: al-agree."""

from __future__ import annotations

from typing import Annotated

import typer

from rrtool.cli.console import emit_json, path_argument, reported
from rrtool.cli.options import Device, Json, Output, Overwrite, Quiet, Seed, Verbose

commands = typer.Typer()


@commands.command("al-agree")
def al_agree(
    state: Annotated[str, typer.Argument(help="A state, from al-cycle.")],
    output: Output,
    truth: Annotated[
        str, typer.Option(help="True labels: CSV or TSV name,label; or mnist:FOLDER and the like.")
    ],
    strategies: Annotated[
        str, typer.Option(help="Compared with the reference: random, entropy, coreset, jlp.")
    ] = "random,coreset,jlp",
    reference: Annotated[str, typer.Option(help="What they are compared with.")] = "entropy",
    budget: Annotated[
        int | None, typer.Option(help="Images each acquires; default: as many as the state did.")
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Neighbours in the graph of features.")] = 50,
    max_iter: Annotated[int, typer.Option(help="Most iterations of label propagation.")] = 20,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure how far acquisition strategies agree (al-agreement)."""
    with reported(quiet, verbose) as console:
        from rrtool.artifacts import open_artifact
        from rrtool.cli.tables import print_rows
        from rrtool.reports.agreement_page import table_rows
        from rrtool.stages.learning import agree as stage

        names = tuple(part.strip() for part in strategies.split(",") if part.strip())
        path = stage.run(
            path_argument(state),
            output,
            stage.AgreeOptions(names, reference, budget, k, max_iter, seed, device),
            truth=truth,
            overwrite=overwrite,
            progress=console,
        )
        with open_artifact(path) as artifact:
            extra = artifact.extra
        if json:
            emit_json({"output": str(path), **extra})
            return
        agreement, correlations = table_rows(extra)
        print_rows(agreement)
        print_rows(correlations)
