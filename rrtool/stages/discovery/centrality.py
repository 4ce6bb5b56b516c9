"""``rrtool centrality``: graph → significance of each of its vertices."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from rrtool.artifacts import Centrality, Graph, InputRecord, OutputFile, open_artifact
from rrtool.core.discovery import centrality as measures
from rrtool.core.discovery.centrality import CentralityResult
from rrtool.devices import resolve_device
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.discovery.options import CentralityOptions
from rrtool.stages.driver import Wanted, as_inputs, make

MAX_EXACT = 30_000

_SHORTEST_PATH = ("betweenness", "closeness")


def run(options: CentralityOptions, progress: Progress) -> Path:
    """Measure how significant each vertex of a graph is (thesis §5.3.7).

    Every measure has the mean 1 over the rows that haven't failed; failed rows have 0.

    Raises:
        RrtoolError: the input is no graph or damaged, has no usable row, or is too large for an
            exact measure.
    """
    device = resolve_device(options.device, gpu=options.measure == "katz")
    with open_artifact(options.graph, Graph) as graph:

        def work(outputs: list[OutputFile]) -> None:
            status = graph.status
            values, extra = _measure(graph, np.flatnonzero(status == 0), options, device, progress)
            columns = Centrality.columns(names=graph.names, centrality=values, status=status)
            outputs[0].publish(columns, extra=extra)

        settings = {"measure": options.measure, **options.parameters()}
        return make(
            options, Wanted(options.output, Centrality, settings), work, progress,
            amount=lambda outputs: _amount(graph),
            inputs=[*as_inputs(graph=graph), _vertices_of(graph)], network=graph.network,
            device=device,
        )  # fmt: skip


def _vertices_of(graph: Graph) -> InputRecord:
    """What the graph was built from: others may have an equal graph, but not this centrality."""
    return replace(graph.input("features"), role="vertices")


def _amount(graph: Graph) -> Amount:
    """The graph, as it is and normalised."""
    memory = 2 * graph.adjacency_bytes
    return Amount(graph.lengths["v"], "vertices", memory)


def _measure(
    graph: Graph, good: np.ndarray, options: CentralityOptions, device: str, progress: Progress
) -> tuple[np.ndarray, dict[str, Any]]:
    if not len(good):
        raise ArtifactError("no row is usable", where=graph.path)
    _require_feasible(graph, len(good), options)
    adjacency = graph.adjacency()
    if options.measure in _SHORTEST_PATH:
        result = _shortest_path(graph, adjacency, good, options, progress)
    else:
        result = _spectral(_among(adjacency, good), options, device)
    values = np.zeros(graph.lengths["v"], dtype=np.float32)
    values[good] = measures.normalize_to_mean_one(result.values)
    n_isolated = int(np.count_nonzero(measures.degree(adjacency).values[good] == 0))
    _tell(graph, options, result, n_isolated, progress)
    is_sampled = options.samples is not None and options.samples < len(good)
    extra = {
        "measure": options.measure,
        "parameters": options.parameters(),
        "n_iterations": result.n_iterations,
        "residual": result.residual,
        "converged": result.converged,
        "samples": options.samples if is_sampled else None,
        "seed": options.seed if is_sampled else None,
        "n_isolated": n_isolated,
        "vertices": _vertices_of(graph).digest,
        "n_zero": int(np.count_nonzero(result.values == 0)),
        "n_failed": len(values) - len(good),
    }
    return values, extra


def _spectral(adjacency: csr_array, options: CentralityOptions, device: str) -> CentralityResult:
    parameters = options.parameters()
    if options.measure == "degree":
        return measures.degree(adjacency)
    stopping = {"tolerance": parameters["tol"], "max_iterations": parameters["max_iter"]}
    if options.measure == "eigenvector":
        return measures.eigenvector(adjacency, **stopping)
    if options.measure == "pagerank":
        return measures.pagerank(adjacency, alpha=parameters["alpha"], **stopping)
    return measures.katz(adjacency, alpha=parameters["alpha"], **stopping, device=device)


def _shortest_path(
    graph: Graph,
    adjacency: csr_array,
    good: np.ndarray,
    options: CentralityOptions,
    progress: Progress,
) -> CentralityResult:
    # Here, because numba takes its time to import.
    from rrtool.core.discovery import shortest_path_centrality as paths

    samples = options.samples
    if samples is not None and samples >= len(good):
        samples = None  # all vertices: the exact value
    try:
        costs = paths.edge_costs(adjacency, graph.neighbor_ids, graph.similarities)
    except ValueError as error:
        raise graph.damaged(str(error)) from None
    costs = _among(costs, good)
    if options.measure == "betweenness":
        return CentralityResult(paths.betweenness(costs, samples=samples, seed=options.seed))
    if samples is None:
        return CentralityResult(paths.closeness(costs))
    with progress.task("closeness", samples, "samples") as advance:
        return CentralityResult(
            paths.closeness(costs, samples=samples, seed=options.seed, advance=advance)
        )


def _among(matrix: csr_array, good: np.ndarray) -> csr_array:
    """The rows and columns of the good vertices, without a copy where all are."""
    return matrix if len(good) == matrix.shape[0] else matrix[good][:, good]


def _require_feasible(graph: Graph, n: int, options: CentralityOptions) -> None:
    if options.measure in _SHORTEST_PATH and options.samples is None and n > MAX_EXACT:
        raise UsageError(
            f"too many vertices for exact {options.measure}",
            where=graph.path,
            expected=f"at most {MAX_EXACT}",
            found=n,
            todo=f"estimate it with --samples, or insist with --samples {n}",
        )


def _tell(
    graph: Graph,
    options: CentralityOptions,
    result: CentralityResult,
    n_isolated: int,
    progress: Progress,
) -> None:
    n = len(result.values)
    if n_isolated:
        progress.message(f"{graph.path}: {n_isolated} of {n} vertices are isolated")
    if options.samples is not None and options.samples < n:
        progress.message(
            f"{options.measure} is estimated from {options.samples} of {n} vertices; "
            "few samples may order even the first vertices badly"
        )
    if not result.converged:
        progress.message(
            f"{options.measure} has not converged: residual {result.residual:.1e} after "
            f"{result.n_iterations} iterations, expected {options.parameters()['tol']:.1e}; "
            "raise --max-iter"
        )
    n_zero = int(np.count_nonzero(result.values == 0))
    if n_zero == n:
        progress.message(f"{options.measure} is 0 for all {n} vertices")
    elif options.measure == "eigenvector" and n_zero > n_isolated:
        progress.message(
            f"eigenvector is 0 for {n_zero - n_isolated} vertices outside the leading component"
        )
