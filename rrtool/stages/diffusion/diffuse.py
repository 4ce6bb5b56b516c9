"""``rrtool diffuse``: graph + features → ranking by diffusion (thesis §2.4, §4.4.1)."""

from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Graph, OutputFile, OverImages, Ranking
from rrtool.core.diffusion.neighbors import is_too_many
from rrtool.devices import resolve_device
from rrtool.progress import Progress
from rrtool.stages.amount import Amount, parts_of
from rrtool.stages.diffusion import diffuse_prepare
from rrtool.stages.diffusion.inputs import DiffusionInputs, open_inputs
from rrtool.stages.diffusion.options import DiffuseOptions
from rrtool.stages.diffusion.ranker import Ranker
from rrtool.stages.driver import fill, make
from rrtool.stages.retrieval.search import describe

_QUERIES_PER_PART = 64
# Measured on groups of 3 to 70 images: beyond it diffusion loses, with few exceptions, as it does
# with too many neighbours (docs/methods.md).
WIDE_SPREAD = 0.4


def run(options: DiffuseOptions, progress: Progress) -> Path:
    """Rank the database by diffusion from what resembles each query.

    Raises:
        RrtoolError: the artifacts do not belong together.
    """
    if options.prepare:
        return diffuse_prepare.run(options, progress)
    device = "cpu" if options.truncate else resolve_device(options.device)
    with open_inputs(options) as inputs:

        def work(outputs: list[OutputFile]) -> None:
            (output,) = outputs
            _warn_of_graph(inputs.graph, progress)
            ranker = Ranker.of(inputs, options, device, progress)
            n_parts = fill(
                output, ranker.n_queries, ranker.rank, progress,
                label="diffuse", unit="queries", rows_per_part=_QUERIES_PER_PART,
            )  # fmt: skip
            convergence = _convergence(output, n_parts, options, progress)
            output.publish(
                Ranking.columns(
                    query_names=OverImages.names.encoded(inputs.queries),
                    database_names=OverImages.names.encoded(inputs.database),
                    query_boxes=inputs.queries.boxes,
                ),
                n_parts=n_parts,
                extra={"description": _description(inputs, options), "convergence": convergence},
            )

        return make(
            options, Ranking, work, progress, amount=lambda outputs: _amount(inputs, options),
            inputs=inputs.records(), network=inputs.database.network, device=device,
        )  # fmt: skip


def _amount(inputs: DiffusionInputs, options: DiffuseOptions) -> Amount:
    """The graph, the vectors to start from, and the solutions of the queries of a part."""
    graph, n_queries = inputs.graph, inputs.queries.lengths["n"]
    n, d = graph.lengths["v"], inputs.database.lengths["d"]
    memory = 2 * graph.adjacency_bytes + 4 * n * d
    memory += 16 * n * min(n_queries, _QUERIES_PER_PART)
    return Amount(n_queries, "queries", memory, parts_of(n_queries, _QUERIES_PER_PART))


def _description(inputs: DiffusionInputs, options: DiffuseOptions) -> dict[str, Any]:
    """What a score of this ranking has to carry."""
    before: dict[str, Any] = (
        describe(inputs.queries, inputs.database, "global", options.top)
        if inputs.seeds is None
        else inputs.seeds.extra["description"]
    )
    return {
        **before,
        "method": f"{before.get('method')} + D",
        "top": options.top,
        "mode": "transductive" if options.transductive else "inductive",
        "diffusion": options.settings(),
    }


def _warn_of_graph(graph: Graph, progress: Progress) -> None:
    """Say it beforehand if the graph looks as if diffusion would rank worse than similarity."""
    k, n = graph.options["k"], graph.lengths["n"]
    spread = graph.statistic("diffusion_spread")
    if not graph.statistic("n_edges"):
        progress.message(f"{graph.path} has no edges: the order stays as it is")
    elif spread > WIDE_SPREAD or is_too_many(k, n, graph.lengths["v"]):
        progress.message(
            f"{graph.path}: k = {k} neighbours of {n} images are more than belong together, "
            f"it seems (a diffusion spreads over {100 * spread:.0f} % of the collection): expect "
            "it to rank worse than similarity alone; try build-graph with a smaller --k"
        )


def _convergence(
    output: OutputFile, n_parts: int, options: DiffuseOptions, progress: Progress
) -> dict[str, Any]:
    """How far the solver came, for the record and for the user."""
    iterations = np.concatenate([[0], *output.read_parts(Ranking.n_iterations, n_parts)])
    residuals = np.concatenate([[0.0], *output.read_parts(Ranking.residuals, n_parts)])
    n_open = int((residuals > options.tol).sum())
    if n_open:
        progress.message(
            f"{n_open} of {len(residuals) - 1} queries did not reach the tolerance "
            f"{options.tol:g} in {options.max_iter} iterations: residuals up to "
            f"{residuals.max():.1e} (--max-iter allows more; rankings have mostly settled)"
        )
    return {
        "max_iterations": int(iterations.max()),
        "median_residual": float(np.median(residuals[1:])) if len(residuals) > 1 else 0.0,
        "max_residual": float(residuals.max()),
        "n_not_converged": n_open,
    }
