"""``build-graph --verify``: lists of neighbours of which only what matches is kept (§6.3.1)."""

from __future__ import annotations

import numpy as np

from rrtool.artifacts import Graph, LocalFeaturesFile, OutputFile, require_same_names
from rrtool.core.diffusion.verified_lists import Pairs, chance_of, verified_lists
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.amount import parts_of
from rrtool.stages.diffusion.finish_graph import Lists
from rrtool.stages.matching.pairs import PairMatcher
from rrtool.stages.retrieval.descriptors import Described

# Of photos that do not list each other: what they share is chance, but for a few.
_CHANCE_PAIRS, FEWEST_DRAWN = 1000, 20
_PAIRS_PER_PART, _MOST_PARTS = 4096, 1000


def require_verifiable(source: Described, local: LocalFeaturesFile) -> None:
    """The local features are of the images of the graph, each one vertex.

    Raises:
        RrtoolError: they are of others, or the vertices are regions.
    """
    require_same_names(source.names, source.path, local.names, local.path)
    if "r" in source.lengths:
        raise UsageError(
            "--verify is for a graph of images: local features are of whole photos",
            where=source.path, expected="features", found="regions",
        )  # fmt: skip


def verify(
    output: OutputFile, lists: Lists, matcher: PairMatcher, seed: int, progress: Progress
) -> Lists:
    """Match each vertex and its neighbours once, and keep what matches beyond chance.

    Counts are kept in parts behind those of the lists, so that an interrupted run goes on.

    Raises:
        RrtoolError: local features are damaged, or the disk is full or fails.
    """
    pairs = Pairs.of_lists(lists.neighbor_ids)
    vertices = np.flatnonzero((lists.neighbor_ids >= 0).any(axis=1))
    others = pairs.others(vertices, _CHANCE_PAIRS, seed)
    ends = np.concatenate([pairs.ends, others.ends])
    n_inliers, _ = counted(output, lists.n_parts, ends, matcher, progress, label="build-graph")
    listed, drawn = np.split(n_inliers, [len(pairs)])
    chance = chance_of(listed, drawn)
    counts = pairs.spread(listed, lists.neighbor_ids)
    ids, similarities, counts = verified_lists(
        lists.neighbor_ids, lists.similarities, counts, chance.level
    )
    n_kept = int((listed > chance.level).sum())
    if len(pairs) and len(drawn) < FEWEST_DRAWN:
        progress.message("these are too few photos to tell what matches from chance")
    progress.message(
        f"{n_kept} of {len(pairs)} pairs of neighbours match: more than {chance.level} inliers. "
        f"{100 * chance.share:.0f} % of the pairs match as {len(drawn)} that were drawn by chance"
    )
    facts = {"n_pairs": len(pairs), "n_verified": n_kept, **vars(chance)}
    return Lists(ids, similarities, n_inliers=counts, facts={"verification": facts})


def counted(
    output: OutputFile,
    first: int,
    pairs: np.ndarray,
    matcher: PairMatcher,
    progress: Progress,
    *,
    label: str,
) -> tuple[np.ndarray, int]:
    """Inliers of pairs, in parts of the output, so that an interrupted run goes on.

    Args:
        first: number of the first part that holds some.
        pairs: ``(m, 2)``, see ``PairMatcher.count``.
        label: of the progress.

    Returns:
        ``(m,)`` int32, and the number of the part behind them.
    """
    step = max(_PAIRS_PER_PART, -(-len(pairs) // _MOST_PARTS))
    counts, number = [np.zeros(0, dtype=np.int32)], first
    with progress.task(label, len(pairs), "pairs") as advance:
        for rows in parts_of(len(pairs), step):
            part = output.read_part(number)
            if part is None:
                part = Graph.columns(n_inliers=matcher.count(pairs[rows.start : rows.stop]))
                output.write_part(number, part)
            counts.append(part[Graph.n_inliers.name])
            advance(len(rows))
            number += 1
    return np.concatenate(counts), number
