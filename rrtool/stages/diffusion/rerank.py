"""``rrtool rerank``: a ranking in another order, by whichever method."""

from pathlib import Path

from rrtool.artifacts import Regions
from rrtool.errors import OptionError
from rrtool.progress import Progress
from rrtool.stages.matching.options import RerankOptions
from rrtool.stages.retrieval.descriptors import open_described


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
        from rrtool.stages.diffusion.reciprocal import rerank_reciprocal, rerank_regions

        by = rerank_regions if _is_regional(options) else rerank_reciprocal
        return by.run(options, progress)
    if options.method == "refine":
        from rrtool.stages.matching import rerank_refine

        return rerank_refine.run(options, progress)
    from rrtool.stages.matching import rerank

    return rerank.run(options, progress)


def _is_regional(options: RerankOptions) -> bool:
    """Whether the database has several descriptors an image.

    Raises:
        OptionError: there is a graph, which is of images.
    """
    with open_described(options.database or "") as database:
        if not isinstance(database, Regions):
            return False
    if options.graph is not None:
        raise OptionError(
            "--graph is for one descriptor an image", option="graph", found=options.graph,
            todo="leave it out: the neighbours of regions are searched",
        )  # fmt: skip
    return True
