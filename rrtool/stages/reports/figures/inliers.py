"""Figure 4.6: how many inliers right and wrong images have."""

from collections.abc import Sequence

import numpy as np

from rrtool.artifacts import Ranking
from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.reports.figures_page import Chart, Figure
from rrtool.reports.line_chart import COLOURS, Line, Vertex
from rrtool.stages.reports.figures.given import Given, chosen_setup

_N_BINS = 24
_COMMON = 0.995  # of the images have no more inliers than the last bin begins with


def figure(given: Given) -> Figure:
    """Distribution of the number of inliers over the verified images of all queries."""
    ranking = given.first(
        Ranking, "a verified ranking, from rerank", lambda ranking: ranking.is_verified
    )
    setups = given.truth(ranking)
    setup = chosen_setup(list(setups))
    right, wrong = inliers_by_truth(ranking, setups[setup])
    edges = bin_edges(np.concatenate([right, wrong]))
    lines = [
        _line("right images", COLOURS[0], right, edges),
        _line("wrong images", COLOURS[1], wrong, edges),
    ]
    ticks = {float(edge): f"{edge}" for edge in edges[:-1]}
    ticks[float(edges[-1])] = f"{edges[-1]}+"
    said = [
        f"{len(counts)} {what} images: half of them have {np.median(counts):.0f} inliers or more, "
        f"one in ten {np.quantile(counts, 0.9):.0f} or more"
        for what, counts in (("right", right), ("wrong", wrong))
        if len(counts)
    ]
    return Figure(
        "4.6", "inliers of right and wrong images",
        f"How many correspondences agree, over the first {ranking.n_verified} images of each of "
        f"{ranking.lengths['q']} queries, in per cent of the right and of the wrong images"
        f"{'' if setup == 'all' else f' (setup {setup})'}. {'. '.join(said)}. Wrong images are "
        "told by few inliers as far as the two lines lie apart; where they overlap, a "
        "threshold would lose right images.",
        charts=[Chart("inliers", "images, %", lines, ticks)],
    )  # fmt: skip


def inliers_by_truth(
    ranking: Ranking, queries: Sequence[QueryGroundTruth]
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of inliers of all verified images that are right, and of those that are wrong.

    What is neither, such as the photo of the query itself, is left out.
    """
    ids = ranking.ids[:, : ranking.n_verified]
    counts = ranking.n_inliers
    right, wrong = [np.zeros(0, counts.dtype)], [np.zeros(0, counts.dtype)]
    for own_ids, own_counts, truth in zip(ids, counts, queries, strict=True):
        is_right = np.isin(own_ids, truth.positives)
        is_wrong = (own_ids >= 0) & ~is_right & ~np.isin(own_ids, truth.junk)
        right.append(own_counts[is_right])
        wrong.append(own_counts[is_wrong])
    return np.concatenate(right), np.concatenate(wrong)


def bin_edges(counts: np.ndarray) -> np.ndarray:
    """Where bins of equal width begin; the last has no end."""
    most = int(np.quantile(counts, _COMMON)) if len(counts) else 0
    width = max(1, -(-most // _N_BINS))
    return np.arange(0, most + 1, width)


def _line(title: str, colour: str, counts: np.ndarray, edges: np.ndarray) -> Line:
    places = np.searchsorted(edges, counts, side="right") - 1
    n = np.bincount(places, minlength=len(edges))
    shares = 100 * n / max(1, len(counts))
    vertices = [
        Vertex(float(edge), float(share), float(share), float(share),
               f"{title}: {share:.1f} % have {span} inliers")
        for edge, share, span in zip(edges, shares, _spans(edges), strict=True)
    ]  # fmt: skip
    return Line(title, colour, "", "circle" if colour == COLOURS[0] else "square", vertices)


def _spans(edges: np.ndarray) -> list[str]:
    ends = [*(edges[1:] - 1).tolist(), None]
    return [
        f"{start} or more" if end is None else f"{start}" if end == start else f"{start} to {end}"
        for start, end in zip(edges.tolist(), ends, strict=True)
    ]
