"""Figure 5.10: several vectors an image, matched one by one, against one."""

from rrtool.artifacts import Ranking
from rrtool.core.evaluation.evaluation import retrieval_scores
from rrtool.reports.figures_page import Chart, Figure
from rrtool.reports.line_chart import COLOURS, Line, Vertex
from rrtool.stages.amount import in_time
from rrtool.stages.reports.figures.given import Given, Missing, chosen_setup

_UNIFORM = "R-Match"
_DIFFUSED = " + D"


def figure(given: Given) -> Figure:
    """mAP by the number of vectors an image, with and without diffusion, with query times."""
    series = _series(given)
    if _UNIFORM not in series:
        raise Missing("rankings of regions and of whole images; pipelines/regional.mk makes them")
    names = list(dict.fromkeys(name.removesuffix(_DIFFUSED) for name in series))
    lines = [
        Line(
            name,
            COLOURS[names.index(name.removesuffix(_DIFFUSED)) % len(COLOURS)],
            "6 4" if name.endswith(_DIFFUSED) else "",
            "circle" if name.startswith(_UNIFORM) else "diamond",
            sorted(points, key=lambda point: point.x),
        )
        for name, points in series.items()
    ]
    sizes = sorted({point.x for points in series.values() for point in points})
    return Figure(
        "5.10", "one vector an image, or several",
        "mAP by the number of vectors that an image takes in memory: regions of a uniform grid, "
        "each compared with each of the query's (R-Match), all of them or as many as a Gaussian "
        "mixture leaves; and descriptors of one vector. What is named + D is diffused. Beside each "
        "point of R-Match stands the time that a query took, with the reading of the descriptors, "
        "in the run that made the ranking; the table has all of them.",
        charts=[
            Chart("vectors an image", "mAP, %", lines, {size: f"{size:g}" for size in sizes})
        ],
        columns=["ranking", "vectors an image", "mAP, %", "time a query"],
        cells=[
            [line.title, f"{point.x:g}", f"{point.y:.2f}", point.tooltip.rsplit(", ")[-1]]
            for line in lines
            for point in line.vertices
        ],
    )  # fmt: skip


def _series(given: Given) -> dict[str, list[Vertex]]:
    """The points of each line, by its name; of one descriptor the first ranking counts."""
    found: dict[str, list[Vertex]] = {}
    for ranking in given.all(Ranking):
        description = ranking.extra["description"]
        first, *steps = str(description.get("method")).split(" + ")
        if first not in ("global", "R-Match") or steps not in ([], ["D"]):
            continue
        by = str(description.get("described_by"))
        is_uniform = by.startswith("uniform")
        name = _UNIFORM if is_uniform else by.replace("whole images", "GeM")
        name += _DIFFUSED if steps else ""
        if is_uniform or name not in found:
            found.setdefault(name, []).append(_point(given, ranking, name))
    return found


def _point(given: Given, ranking: Ranking, name: str) -> Vertex:
    setups = given.truth(ranking)
    setup = chosen_setup(list(setups))
    scores = retrieval_scores(ranking.ids, setups[setup], protocol="", setup=setup)
    percent = 100 * scores.mean_average_precision
    size = round(float(ranking.extra["description"]["vectors_per_image"]), 1)
    took = ranking.microseconds_a_row
    time = "–" if not took else f"{took / 1000:.3g} ms" if took < 1e6 else in_time(took / 1e6)
    tooltip = f"{name}, {size:g} vectors an image: {percent:.2f}, {time}"
    label = time if name.startswith(_UNIFORM) else ""
    return Vertex(size, percent, percent, percent, tooltip, label)
