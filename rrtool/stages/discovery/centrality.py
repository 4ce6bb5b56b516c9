"""``rrtool centrality``: graph → significance of each of its vertices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from rrtool.artifacts import Artifact, Provenance, create, open_artifact
from rrtool.core.discovery import centrality as measures
from rrtool.core.discovery.centrality import CentralityResult
from rrtool.devices import resolve_device
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Progress
from rrtool.stages.diffusion.graph_input import (
    damaged_graph,
    read_adjacency,
    require_iterations,
)

MAX_EXACT = 30_000

_SHORTEST_PATH = ("betweenness", "closeness")
# What each measure takes, and the defaults; a smaller tolerance costs float64 iterations little.
_PARAMETERS: dict[str, dict[str, Any]] = {
    "degree": {},
    "eigenvector": {"tol": 1e-8, "max_iter": 1000},
    "pagerank": {"alpha": 0.85, "tol": 1e-8, "max_iter": 1000},
    "katz": {"alpha": 0.99, "tol": 1e-6, "max_iter": 100},
    "betweenness": {"samples": None},
    "closeness": {"samples": None},
}


@dataclass(frozen=True)
class CentralityOptions:
    """Options of ``centrality``; None is the measure's own default.

    Attributes:
        measure: degree, eigenvector, pagerank, katz, betweenness or closeness.
        alpha: of pagerank (0.85) and katz (0.99), in (0, 1).
        samples: source vertices from which betweenness or closeness is estimated.
        tol: at which an iteration stops; as ``core.centrality`` defines it for each measure.
        max_iter: most iterations.
        seed: of the samples.
        device: where to solve for katz; the other measures run on the CPU.
    """

    measure: str
    alpha: float | None = None
    samples: int | None = None
    tol: float | None = None
    max_iter: int | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.measure not in _PARAMETERS:
            expected = ", ".join(_PARAMETERS)
            raise UsageError("unknown --measure", expected=expected, found=self.measure)
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise UsageError("bad --alpha", expected="between 0 and 1", found=self.alpha)
        if self.samples is not None and self.samples < 2:
            raise UsageError("bad --samples", expected="at least 2", found=self.samples)
        if self.tol is not None and not 0 < self.tol < 1:
            raise UsageError("bad --tol", expected="between 0 and 1", found=self.tol)
        if self.max_iter is not None:
            require_iterations(self.max_iter)
        if not 0 <= self.seed < 2**63:
            raise UsageError("bad --seed", expected="0 or more", found=self.seed)
        for name in ("alpha", "samples", "tol", "max_iter"):
            if getattr(self, name) is not None and name not in _PARAMETERS[self.measure]:
                takers = [measure for measure in _PARAMETERS if name in _PARAMETERS[measure]]
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"{self.measure} takes no {option}", expected=f"{' or '.join(takers)} with it"
                )

    def parameters(self) -> dict[str, Any]:
        """What the measure is computed with: its own parameters only, defaults filled in."""
        given = {name: getattr(self, name) for name in _PARAMETERS[self.measure]}
        known = _PARAMETERS[self.measure]
        filled = {name: known[name] if value is None else value for name, value in given.items()}
        return {**filled, "seed": self.seed} if self.samples is not None else filled


def run(
    graph: str,
    output: str | Path,
    options: CentralityOptions,
    *,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Measure how significant each vertex of a graph is (thesis §5.3.7).

    Every measure has the mean 1 over the rows that haven't failed; failed rows have 0.

    Returns:
        The path of the ``centrality`` artifact.

    Raises:
        RrtoolError: the input is no graph or damaged, has no usable row, or is too large for an
            exact measure.
    """
    device = _resolve_device(options)
    with open_artifact(graph, "graph") as source:
        provenance = Provenance(
            "centrality",
            {"measure": options.measure, **options.parameters()},
            [source.as_input("graph")],
            source.network,
            device,
        )
        with create(output, provenance, overwrite=overwrite) as target:
            if target.is_current:
                progress.message(f"{target.path} is up to date")
                return target.path
            values, status, extra = _measure(source, options, device, progress)
            names = {name: source.read(name) for name in ("names/bytes", "names/offsets")}
            return target.publish({"centrality": values, "status": status, **names}, extra=extra)


def _measure(
    graph: Artifact, options: CentralityOptions, device: str, progress: Progress
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    status = graph.read("status")
    good = np.flatnonzero(status == 0)
    if not len(good):
        raise ArtifactError("no row is usable", where=graph.path)
    _require_feasible(graph, len(good), options)
    adjacency = read_adjacency(graph)
    if options.measure in _SHORTEST_PATH:
        result = _shortest_path(graph, adjacency, good, options, progress)
    else:
        result = _spectral(_among(adjacency, good), options, device)
    values = np.zeros(len(status), dtype=np.float32)
    values[good] = measures.normalize_to_mean_one(result.values)
    n_isolated = int(np.count_nonzero(measures.is_isolated(adjacency)[good]))
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
        "vertices": graph.inputs[0].digest if graph.inputs else "",
        "n_zero": int(np.count_nonzero(result.values == 0)),
        "n_failed": int(len(status) - len(good)),
    }
    return values, status, extra


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
    graph: Artifact,
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
    neighbor_ids, similarities = graph.read("neighbor_ids"), graph.read("similarities")
    n = adjacency.shape[0]
    if neighbor_ids.shape != similarities.shape or neighbor_ids.shape[:1] != (n,):
        raise damaged_graph(
            graph, f"lists {neighbor_ids.shape}, {similarities.shape} of {n} vertices"
        )
    try:
        costs = _among(paths.edge_costs(adjacency, neighbor_ids, similarities), good)
    except ValueError as error:
        raise damaged_graph(graph, str(error)) from None
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


def _require_feasible(graph: Artifact, n: int, options: CentralityOptions) -> None:
    if options.measure in _SHORTEST_PATH and options.samples is None and n > MAX_EXACT:
        raise UsageError(
            f"too many vertices for exact {options.measure}",
            where=graph.path,
            expected=f"at most {MAX_EXACT}",
            found=n,
            todo=f"estimate it with --samples, or insist with --samples {n}",
        )


def _resolve_device(options: CentralityOptions) -> str:
    if options.measure != "katz" and options.device == "auto":
        return "cpu"
    device = resolve_device(options.device)
    return device if options.measure == "katz" else "cpu"


def _tell(
    graph: Artifact,
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
