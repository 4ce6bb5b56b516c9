"""``rrtool diffuse``: graph + features → ranking by diffusion (thesis §2.4, §4.4.1)."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Artifact, OutputFile, Provenance, create, encode_texts, open_artifact
from rrtool.artifacts.compatibility import require_graph_of, require_same_names
from rrtool.devices import resolve_device
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Progress
from rrtool.stages.diffusion.graph_input import require_iterations
from rrtool.stages.diffusion.ranker import Ranker
from rrtool.stages.parts import parts_of
from rrtool.stages.retrieval.descriptors import require_comparable
from rrtool.stages.retrieval.search import SearchOptions, describe

_QUERIES_PER_PART = 64
# Measured on groups of 3 to 70 images: beyond these diffusion loses, with few exceptions
# (docs/methods.md).
WIDE_SPREAD, SMALL_COLLECTION = 0.4, 20


@dataclass(frozen=True)
class DiffuseOptions:
    """Options of ``diffuse`` (METHODS §6).

    Attributes:
        kq: vertices that the diffusion of a query starts from; None: 10 nearest neighbours, but
            at most half as many as the graph's k, or the 5 best of the verified images.
        n_verified: of a verified ranking, how many of the first images may become seeds.
        alpha: how far the diffusion goes.
        tolerance, max_iterations: of conjugate gradients.
        truncate: diffuse on the sub-graph of so many nearest vertices only; None: on the whole.
        transductive: the queries enter the graph.
        top: entries of each ranking; None ranks the whole database.
        device: of the solver.
    """

    kq: int | None = None
    n_verified: int = 10
    alpha: float = 0.99
    tolerance: float = 1e-6
    max_iterations: int = 20
    truncate: int | None = None
    transductive: bool = False
    top: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise UsageError("bad --alpha", expected="between 0 and 1", found=self.alpha)
        if not 0 < self.tolerance < 1:
            raise UsageError("bad --tol", expected="between 0 and 1", found=self.tolerance)
        if self.transductive and (self.truncate, self.kq) != (None, None):
            raise UsageError("--transductive starts at the queries: no --truncate, no --kq with it")
        limits = {"--verified": self.n_verified, "--kq": self.kq, "--truncate": self.truncate,
                  "--top": self.top}  # fmt: skip
        for name, value in limits.items():
            if value is not None and value < 1:
                raise UsageError(f"bad {name}", expected="at least 1", found=value)
        require_iterations(self.max_iterations)

    def identity(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "device"}


def run(
    graph: str,
    queries: str,
    database: str,
    output: str | Path,
    options: DiffuseOptions,
    *,
    seeds: str | None = None,
    offline: str | None = None,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Rank the database by diffusion from what resembles each query.

    Args:
        graph: of the database, from ``build-graph``.
        queries, database: ``features``.
        seeds: a spatially verified ranking: the diffusion starts at its best images, and images
            that it does not reach keep the order of that ranking.
        offline: solutions of every vertex from ``diffuse --prepare``: nothing is left to solve.

    Returns:
        The path of the ``ranking`` artifact.

    Raises:
        RrtoolError: the artifacts do not belong together.
    """
    device = "cpu" if options.truncate else resolve_device(options.device)
    with ExitStack() as stack:
        g = stack.enter_context(open_artifact(graph, "graph"))
        q = stack.enter_context(open_artifact(queries, "features", "regions"))
        d = stack.enter_context(open_artifact(database, "features", "regions"))
        verified = stack.enter_context(open_artifact(seeds, "ranking")) if seeds else None
        prepared = (
            stack.enter_context(open_artifact(offline, "offline-diffusion")) if offline else None
        )
        _check(g, q, d, verified, options)
        _check_offline(g, prepared, options)
        inputs = [g.as_input("graph"), q.as_input("queries"), d.as_input("database")]
        if verified is not None:
            inputs.append(verified.as_input("seeds"))
        if prepared is not None:
            inputs.append(prepared.as_input("offline"))
        provenance = Provenance("ranking", options.identity(), inputs, d.network, device)
        description = _description(q, d, verified, options)
        target = stack.enter_context(create(output, provenance, overwrite=overwrite))
        if target.is_current:
            progress.message(f"{target.path} is up to date")
            return target.path
        _warn_of_graph(g, progress)
        ranker = Ranker.of(g, q, d, verified, prepared, options, device, progress)
        n_parts = _rank_all(ranker, target, progress)
        convergence = _convergence(target, n_parts, options, progress)
        return target.publish(
            {
                **encode_texts(q.read_texts("names"), "query_names"),
                **encode_texts(d.read_texts("names"), "database_names"),
                "query_boxes": q.read("boxes"),
            },
            n_parts=n_parts,
            extra={"description": description, "convergence": convergence},
        )


def _rank_all(ranker: Ranker, target: OutputFile, progress: Progress) -> int:
    """Write the parts that are missing; returns how many there are in all."""
    parts = parts_of(ranker.n_queries, _QUERIES_PER_PART)
    missing = target.missing_parts(len(parts))
    with progress.task("diffuse", ranker.n_queries, "queries") as advance:
        advance(ranker.n_queries - sum(len(parts[number]) for number in missing))
        for number in missing:
            target.write_part(number, ranker.rank(parts[number]))
            advance(len(parts[number]))
    return len(parts)


def _check(
    graph: Artifact,
    queries: Artifact,
    database: Artifact,
    verified: Artifact | None,
    options: DiffuseOptions,
) -> None:
    """All must be about the same database, described alike.

    Raises:
        ArtifactError: they are not.
        UsageError: regions are to be diffused in a way that is only defined for images.
    """
    require_comparable(queries, database)
    require_graph_of(graph, database)
    if "regions" in (queries.kind, database.kind) and (verified or options.transductive):
        raise UsageError("regional diffusion has neither --seeds nor --transductive")
    if verified is None:
        return
    if options.transductive:
        raise UsageError("--transductive starts at the queries: no --seeds with it")
    if "n_inliers" not in verified:
        raise ArtifactError(
            "the seeds are no verified ranking",
            where=verified.path,
            expected="a ranking from rerank",
            todo="leave --seeds out to start at the nearest neighbours",
        )
    for column, features in (("query_names", queries), ("database_names", database)):
        require_same_names(
            features.read_texts("names"), features.path, verified.read_texts(column), verified.path
        )


def _check_offline(graph: Artifact, prepared: Artifact | None, options: DiffuseOptions) -> None:
    """Offline solutions must be of this graph and at these settings.

    Raises:
        ArtifactError: they are not.
        UsageError: the options ask for another solver at the same time.
    """
    if prepared is None:
        return
    if options.truncate is not None or options.transductive:
        raise UsageError("--offline solves nothing: no --truncate, no --transductive with it")
    made_from = next(record for record in prepared.inputs if record.role == "graph")
    if made_from.digest != graph.digest:
        raise ArtifactError(
            "the offline solutions are of another graph",
            where=prepared.path,
            expected=graph.path,
            found=made_from.path,
            todo="make them again with diffuse --prepare",
        )
    if prepared.options["alpha"] != options.alpha:
        raise ArtifactError(
            "the offline solutions were made with another --alpha",
            where=prepared.path,
            expected=options.alpha,
            found=prepared.options["alpha"],
        )


def _description(
    queries: Artifact, database: Artifact, verified: Artifact | None, options: DiffuseOptions
) -> dict[str, Any]:
    """What a score of this ranking has to carry."""
    global_search = describe(queries, database, SearchOptions(options.top))
    before = verified.extra["description"] if verified is not None else global_search
    return {
        **before,
        "method": f"{before['method']} + D",
        "top": options.top,
        "mode": "transductive" if options.transductive else "inductive",
        "diffusion": options.identity(),
    }


def _warn_of_graph(graph: Artifact, progress: Progress) -> None:
    """Say it beforehand if the graph looks as if diffusion would rank worse than similarity."""
    statistics, k = graph.extra["statistics"], graph.options["k"]
    n, spread = statistics["n_vertices"], statistics["diffusion_spread"]
    if not statistics["n_edges"]:
        progress.message(f"{graph.path} has no edges: the order stays as it is")
    elif spread > WIDE_SPREAD or k * SMALL_COLLECTION > n:
        progress.message(
            f"{graph.path}: k = {k} neighbours of {n} images are more than belong together, "
            f"it seems (a diffusion spreads over {100 * spread:.0f} % of the collection): expect "
            "it to rank worse than similarity alone; try build-graph with a smaller --k"
        )


def _convergence(
    target: OutputFile, n_parts: int, options: DiffuseOptions, progress: Progress
) -> dict[str, Any]:
    """How far the solver came, for the record and for the user."""
    iterations = np.concatenate([[0], *target.read_parts("n_iterations", n_parts)])
    residuals = np.concatenate([[0.0], *target.read_parts("residuals", n_parts)])
    n_open = int((residuals > options.tolerance).sum())
    if n_open:
        progress.message(
            f"{n_open} of {len(residuals) - 1} queries did not reach the tolerance "
            f"{options.tolerance:g} in {options.max_iterations} iterations: residuals up to "
            f"{residuals.max():.1e} (--max-iter allows more; rankings have mostly settled)"
        )
    return {
        "max_iterations": int(iterations.max()),
        "median_residual": float(np.median(residuals[1:])) if len(residuals) > 1 else 0.0,
        "max_residual": float(residuals.max()),
        "n_not_converged": n_open,
    }
