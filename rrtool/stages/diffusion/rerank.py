"""``rrtool rerank``: a ranking in another order, by whichever method."""

from pathlib import Path

from rrtool.progress import Progress
from rrtool.stages.matching.options import RerankOptions


def run(options: RerankOptions, progress: Progress) -> Path:
    """Re-order each ranking.

    Raises:
        RrtoolError: see the stage of the method.
    """
    # Each where it is wanted: their libraries take their time to import.
    if options.method == "reciprocal" and options.lists is not None:
        from rrtool.stages.diffusion.reciprocal import rerank_lists

        return rerank_lists.run(options, progress)
    if options.method == "reciprocal":
        from rrtool.stages.diffusion.reciprocal import rerank_reciprocal

        return rerank_reciprocal.run(options, progress)
    if options.method == "refine":
        from rrtool.stages.matching import rerank_refine

        return rerank_refine.run(options, progress)
    from rrtool.stages.matching import rerank

    return rerank.run(options, progress)
