"""Options of build-graph and diffuse (thesis §2.4)."""

from dataclasses import MISSING, dataclass
from typing import Any, ClassVar

from rrtool.engine.options import WorkersOptions
from rrtool.errors import OptionError, UsageError
from rrtool.options import (
    Command,
    DeviceOptions,
    OutputOptions,
    SeedOptions,
    ShareOptions,
    UpdateOptions,
    again,
    argument,
    artifact,
    option,
)

METHODS = ("auto", "exact", "ivf", "hnsw")
SYMMETRIZATIONS = ("mutual", "sum")
MAX_ITERATIONS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class BuildGraphOptions(WorkersOptions, SeedOptions, DeviceOptions, ShareOptions):
    """Connect descriptors with their nearest neighbours (graph)."""

    COMMAND: ClassVar = Command("build-graph", "rrtool.stages.diffusion.build_graph", "§2.4")
    features: str = argument("Features or regions; each descriptor becomes a vertex.")
    k: int | None = option(
        None,
        "Neighbours of each vertex; by default 50, but at most a fortieth of the images; of "
        "regions 200, but at most 2√n of n images.",
        least=1,
    )
    gamma: float = option(
        3.0, "Exponent of the similarity in the weight of an edge.", above=0, most=100
    )
    method: str = option(
        "auto",
        "How neighbours are searched: exact, or approximately and faster by ivf or hnsw, whose "
        "recall is measured; ivf searches as many of its lists as a recall of 0.99 takes, at "
        "most 64 and a sixteenth. auto is exact up to 65,536 descriptors, on a GPU and with "
        "--update or --shard, else ivf.",
        choices=METHODS,
    )
    symmetrize: str = option(
        "mutual",
        "Which edges are kept: mutual keeps those of vertices that list each other, sum adds both "
        "directions.",
        choices=SYMMETRIZATIONS,
    )

    verify: str | None = artifact(
        None,
        "Local features of these photos, from detect-local: each photo and its neighbours are "
        "matched once, and only edges with more inliers than chance gives are kept.",
    )
    update: bool = again(
        UpdateOptions, "update", False,
        help="Bring a graph up to date whose descriptors have changed: lists of neighbours are "
        "kept of descriptors that are the same to the last bit, new ones are searched against "
        "all and all against new ones, and lists that have lost a neighbour are searched anew.",
    )  # fmt: skip
    shard: str | None = again(
        ShareOptions, "shard", None,
        help="Search the neighbours of one of so many shares of the vertices, such as 2/8; rrtool "
        "merge joins the shares (graph-share).",
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.workers_on is not None and self.method == "hnsw":
            raise OptionError(
                "one process builds the index of --method hnsw", option="workers_on",
                found="--workers-on", todo="leave it out, or use --method exact or ivf",
            )  # fmt: skip
        for name in ("update", "shard"):
            if getattr(self, name) and self.verify is not None:
                raise OptionError(
                    f"{self.typed(name)} does not go with --verify", option=name,
                    todo=f"leave {self.typed(name)} out, or verify no edges",
                )  # fmt: skip
            if getattr(self, name) and self.method not in ("auto", "exact"):
                raise OptionError(
                    f"{self.typed(name)} is for exact lists of neighbours", option=name,
                    found=f"--method {self.method}", todo=f"leave {self.typed(name)} out",
                )  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """The exact search knows no chance; what verifies draws pairs."""
        found = super().settings()
        if self.method == "exact" and self.verify is None:
            del found["seed"]
        return found


@dataclass(frozen=True, kw_only=True)
class DiffuseOptions(DeviceOptions, OutputOptions):
    """Rank the database by diffusion on its graph (ranking)."""

    COMMAND: ClassVar = Command("diffuse", "rrtool.stages.diffusion.diffuse", "§2.4, §4.4.1")
    graph: str = artifact(MISSING, "Graph of the database, from build-graph.")
    database: str = artifact(MISSING, "Features or regions of the database.")
    queries: str | None = artifact(
        None, "Features or regions of the queries; needed but for --prepare."
    )
    seeds: str | None = artifact(
        None,
        "Start at the best images of this verified ranking, from rerank; images that are not "
        "reached keep its order.",
    )
    offline: str | None = artifact(
        None, "Combine the solutions that --prepare has made, and solve nothing."
    )
    kq: int | None = option(
        None,
        "Vertices that the diffusion of a query starts from; by default its 10 nearest, but at "
        "most half as many as the graph's k; of each of its regions as many as the graph's k; or "
        "the 5 best of the verified images.",
        least=1, panel="Start",
    )  # fmt: skip
    verified: int = option(
        10, "Of the ranking of --seeds, how many of the best verified images may become seeds.",
        least=1, panel="Start",
    )  # fmt: skip
    verified_by: str = option(
        "ranking",
        "Which verified images are the best: the first of the ranking, whatever ordered it, or "
        "those of most inliers, as in the thesis, which ranks by inliers.",
        choices=("ranking", "inliers"), panel="Start",
    )  # fmt: skip
    transductive: bool = option(
        False, "Let the queries enter the graph, and start at them.", panel="Start"
    )
    alpha: float = option(
        0.99, "How far the diffusion goes: the share that moves on along the edges.",
        above=0, below=1, panel="Solver",
    )  # fmt: skip
    tol: float = option(
        1e-6, "Relative residual at which the solver stops.", above=0, below=1, panel="Solver"
    )
    max_iter: int = option(
        20, "Iterations of conjugate gradients after which the solver stops.",
        least=1, most=MAX_ITERATIONS, panel="Solver",
    )  # fmt: skip
    truncate: int | None = option(
        None,
        "Diffuse on the sub-graph of so many nearest vertices only, with the degrees of the whole "
        "graph; by default on the whole graph, with --prepare among 1000 vertices.",
        least=1, panel="Solver",
    )  # fmt: skip
    prepare: bool = option(
        False,
        "Rank nothing, but solve for every vertex now and keep the solutions for --offline "
        "(offline-diffusion).",
        panel="Solver",
    )
    top: int | None = option(
        None, "Entries that each ranking keeps; by default the whole database.", least=1
    )

    def check(self) -> None:
        super().check()
        queries = (self.queries, self.seeds, self.offline, self.kq, self.top)
        if self.prepare:
            if self.transductive or any(value is not None for value in queries):
                raise UsageError("--prepare knows no queries", expected="--graph and --database")
            return
        if self.queries is None:
            raise UsageError("no queries", expected="--queries, or --prepare")
        if self.transductive and (self.truncate, self.kq) != (None, None):
            raise UsageError("--transductive starts at the queries: no --truncate, no --kq with it")
        if self.transductive and self.seeds is not None:
            raise UsageError("--transductive starts at the queries: no --seeds with it")
        if self.offline is not None and (self.truncate is not None or self.transductive):
            raise UsageError("--offline solves nothing: no --truncate, no --transductive with it")

    def settings(self) -> dict[str, Any]:
        """Those of a ranking; with ``--prepare`` those that shape the offline solutions."""
        found = super().settings()
        if found.pop("prepare"):
            solver = {name: found[name] for name in ("alpha", "tol", "max_iter")}
            return {"truncate": self.size_prepared, **solver}
        return found

    @property
    def size_prepared(self) -> int:
        """Vertices of the sub-graph that ``--prepare`` solves on."""
        return 1000 if self.truncate is None else self.truncate

    def solver(self) -> dict[str, Any]:
        """Arguments of the solvers in ``core.diffusion``."""
        return {"alpha": self.alpha, "tolerance": self.tol, "max_iterations": self.max_iter}
