"""Figures 5.6 and 5.7: how much of the saliency lies on the object, image by image."""

import numpy as np

from rrtool.artifacts import Centrality, Regions, Saliency
from rrtool.reports.figures_page import Chart, Figure
from rrtool.reports.line_chart import COLOURS, Line, Vertex
from rrtool.stages.evaluation.saliency_scores import saliency_precisions
from rrtool.stages.reports.figures.given import Given, Missing

_N_BINS = 20


def figure(given: Given) -> Figure:
    """Histograms of saliency precision, and a table of their means."""
    artifacts = [each for each in given.all(Regions) if each.has_maps][:1] + _by_centrality(given)
    if not artifacts:
        raise Missing("saliency, from saliency os, or regions with maps")
    titled = [
        (_title(given, artifact, method), values[~np.isnan(values)])
        for artifact in artifacts
        for method, values in saliency_precisions(artifact, given.boxes(artifact.names)).items()
    ]
    lines = [
        Line(title, COLOURS[i % len(COLOURS)], "" if i < len(COLOURS) else "6 4",
             ("circle", "square", "diamond")[i % 3], _vertices(title, values))
        for i, (title, values) in enumerate(titled)
    ]  # fmt: skip
    n = max(len(values) for _, values in titled)
    return Figure(
        "5.7", "how much of the saliency lies on the object (with figure 5.6)",
        f"Saliency precision is the share of a map's mass inside the true boxes. Of {n} photos "
        "with boxes, the lines tell how many per cent have a precision in each of "
        f"{_N_BINS} equal steps: the farther to the right, the more of what is salient is the "
        "object. The table has the means.",
        charts=[Chart("saliency precision, %", "photos, %", lines,
                      {float(v): str(v) for v in range(0, 101, 10)})],
        columns=["maps", "mean precision, %", "photos"],
        cells=[[title, f"{100 * values.mean():.2f}" if len(values) else "–", str(len(values))]
               for title, values in titled],
    )  # fmt: skip


def _by_centrality(given: Given) -> list[Saliency]:
    """The first saliency of each centrality; others are of other parameters."""
    found: dict[str, Saliency] = {}
    for saliency in given.all(Saliency):
        found.setdefault(saliency.input("centrality").digest, saliency)
    return list(found.values())


def _title(given: Given, artifact: Regions | Saliency, method: str) -> str:
    if isinstance(artifact, Regions):
        return method
    centrality = given.made_from(artifact, "centrality", Centrality)
    by = artifact.input("centrality").path if centrality is None else centrality.extra["measure"]
    return f"OS, {by}"


def histogram(values: np.ndarray, n_bins: int = _N_BINS) -> np.ndarray:
    """Per cent of values in [0, 1] that lie in each of so many equal steps; the last is closed."""
    counts = np.histogram(values, bins=n_bins, range=(0.0, 1.0))[0]
    return 100 * counts / max(1, len(values))


def _vertices(title: str, values: np.ndarray) -> list[Vertex]:
    shares = histogram(values)
    width = 100 / len(shares)
    return [
        Vertex((i + 0.5) * width, share, share, share,
               f"{title}: {share:.1f} % of the photos between {i * width:.0f} and "
               f"{(i + 1) * width:.0f} %")
        for i, share in enumerate(shares.tolist())
    ]  # fmt: skip
