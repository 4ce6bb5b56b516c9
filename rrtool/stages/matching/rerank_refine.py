"""``rrtool rerank --method refine``: descriptors → ranking whose head is refined (SuperGlobal)."""

from pathlib import Path

import numpy as np

from rrtool.artifacts import OutputFile, Ranking
from rrtool.core.diffusion.neighbors import default_k
from rrtool.core.retrieval.ranking import reorder_shortlist
from rrtool.core.retrieval.refinement import RefinementOptions, refined_scores
from rrtool.progress import Progress
from rrtool.stages.amount import Amount, parts_of
from rrtool.stages.driver import Wanted, make
from rrtool.stages.matching.options import RerankOptions
from rrtool.stages.matching.rerank_descriptors import RerankInputs, open_inputs, write_reordered
from rrtool.stages.retrieval.descriptors import read_descriptors


def run(options: RerankOptions, progress: Progress) -> Path:
    """Re-order the head of each ranking by descriptors that are averaged among themselves.

    Raises:
        RrtoolError: the artifacts are about other images, or were not made alike.
    """
    with open_inputs(options) as inputs:
        n_images = inputs.database.lengths["n"]
        n_neighbors = options.neighbors
        if n_neighbors is None:  # as many as a graph would have
            n_neighbors = min(RefinementOptions.n_neighbors, default_k(n_images, n_images))
        settings = {"top": options.top, "neighbors": n_neighbors, "beta": options.beta}
        chosen = RefinementOptions(n_neighbors, options.beta)

        def work(outputs: list[OutputFile]) -> None:
            d = read_descriptors(inputs.database, progress)

            def reorder(
                query: np.ndarray, listed: np.ndarray
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
                similarities = d.vectors[listed] @ query
                head = refined_scores(query, d.vectors[listed[: options.top]], chosen)
                order = reorder_shortlist(listed, head)
                scores = np.concatenate([head, similarities[len(head) :]])
                return listed[order], similarities[order], scores[order]

            description = {"method": "refine", "refinement": settings}
            q = read_descriptors(inputs.queries, progress)
            write_reordered(inputs, q, reorder, outputs[0], description, progress)

        return make(
            options, Wanted(options.output, Ranking, {"method": "refine", **settings}),
            work, progress, network=inputs.ranking.network,
            amount=lambda outputs: _amount(inputs, options.top), inputs=inputs.records(),
        )  # fmt: skip


def _amount(inputs: RerankInputs, n_refined: int) -> Amount:
    """The descriptors, and of one query those refined and what each weighs."""
    database, n_queries = inputs.database, inputs.queries.lengths["n"]
    n, d = database.lengths["n"], database.lengths["d"]
    m = min(n_refined, inputs.ranking.lengths["L"])
    return Amount(n_queries, "queries", 4 * (n * d + 3 * m * (m + d)), parts_of(n_queries))
