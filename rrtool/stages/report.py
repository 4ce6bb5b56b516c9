"""``rrtool report``: a ranking as one HTML page with its images and matches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rrtool import ground_truth as ground_truths
from rrtool.artifacts import Artifact, open_artifact
from rrtool.core.evaluation import QueryGroundTruth, RetrievalScores, retrieval_scores
from rrtool.core.local_features import LocalFeatures
from rrtool.errors import UsageError, WorkFailed, printable
from rrtool.images.decode import ImageError, decode_image
from rrtool.images.listing import list_images
from rrtool.progress import Progress
from rrtool.reports.drawing import (
    Ellipses,
    distinct_colours,
    draw_box,
    draw_matches,
    ellipses_in_pixels,
)
from rrtool.reports.match_page import (
    GENERATOR,
    NOT_COUNTED,
    RIGHT,
    WRONG,
    Found,
    Page,
    QueryResult,
    render_page,
)
from rrtool.stages.compatibility import require_same_names
from rrtool.stages.detect_local import read_local_features

_N_FOUND = 8
_THUMBNAIL, _QUERY_PICTURE, _MATCH_PICTURE = 160, 320, 480  # longer sides in pixels
_MAX_DRAWN = 40  # more ellipses than these hide the images
_CUTOFFS = (1, 5, 10)


def run(
    ranking: str,
    output: str | Path,
    *,
    images: str,
    query_images: str | None = None,
    query_local: str | None = None,
    database_local: str | None = None,
    ground_truth: str | None = None,
    max_queries: int = 50,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Write a page that shows the head of each ranking, and the matches of verified ones.

    Args:
        ranking: a ``ranking`` artifact, reranked or not.
        output: the page; a page of an earlier run is replaced.
        images, query_images: where the images are, as for ``extract``; queries: default the same.
        query_local, database_local: the ``local-features`` that ``rerank`` matched; without them
            no matches are drawn.
        ground_truth: marks right and wrong, and gives scores; see ``ground_truth.load``.
        max_queries: of a longer ranking, this many evenly spaced queries are shown.
        overwrite: replace even a file that is no report.

    Raises:
        RrtoolError: an input does not fit, or the output cannot be written.
    """
    output = Path(output)
    _check(output, max_queries, query_local, database_local, overwrite)
    with open_artifact(ranking, "ranking") as artifact:
        table = _Ranking.of(artifact)
        truth = _Truth.of(artifact, table, ground_truth)
        drawer = _drawer(artifact, table, query_local, database_local)
        pictures = _Pictures.of(images, query_images, table)
        shown = np.unique(np.linspace(0, len(table.ids) - 1, min(max_queries, len(table.ids))))
        results = []
        with progress.task("report", len(shown), "queries") as advance:
            for query in shown.round().astype(int).tolist():
                results.append(_result(query, table, truth, pictures, drawer))
                advance(1)
        page = _page(artifact, table, truth, results)
    if pictures.missing:
        example = min(pictures.missing)
        progress.message(f"{len(pictures.missing)} images cannot be shown, e.g. {example}")
    _write(output, page)
    return output


def _check(
    output: Path,
    max_queries: int,
    query_local: str | None,
    database_local: str | None,
    overwrite: bool,
) -> None:
    if max_queries < 1:
        raise UsageError("bad --max-queries", expected="at least 1", found=max_queries)
    if (query_local is None) != (database_local is None):
        raise UsageError(
            "matches need the local features of both sides",
            expected="--query-local and --database-local",
            found="one of the two",
        )
    if output.is_dir():
        raise UsageError("the output is a folder", where=output, expected="a file name")
    if not output.parent.is_dir():
        raise UsageError("there is no such folder for the output", where=output.parent)
    if output.exists() and not overwrite and not _is_report(output):
        raise UsageError(
            "the output exists and is no report of rrtool",
            where=output,
            todo="use --overwrite to replace it, or choose another -o",
        )


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return f'<meta name="generator" content="{GENERATOR}'.encode() in file.read(1024)
    except OSError:
        return False


@dataclass(frozen=True)
class _Ranking:
    """The columns of a ranking that the page shows; ``n_inliers`` is None for a plain one."""

    query_names: list[str]
    database_names: list[str]
    query_boxes: np.ndarray
    ids: np.ndarray
    similarities: np.ndarray
    n_inliers: np.ndarray | None

    @staticmethod
    def of(artifact: Artifact) -> _Ranking:
        return _Ranking(
            artifact.read_texts("query_names"),
            artifact.read_texts("database_names"),
            artifact.read("query_boxes"),
            artifact.read("ids"),
            artifact.read("similarities"),
            artifact.read("n_inliers") if "n_inliers" in artifact else None,
        )

    def ids_before(self) -> np.ndarray:
        """The order before verification: by similarity, ties by row, no entry last."""
        keys = np.where(self.ids < 0, np.inf, -self.similarities.astype(np.float64))
        return np.take_along_axis(self.ids, np.lexsort((self.ids, keys), axis=1), axis=1)

    def similarity_of(self, query: int) -> dict[int, float]:
        ids, values = self.ids[query].tolist(), self.similarities[query].tolist()
        return dict(zip(ids, values, strict=True))


@dataclass(frozen=True)
class _Truth:
    """The ground truth of the setup that the page marks by, and the scores of all setups."""

    setup: str = ""
    queries: Sequence[QueryGroundTruth] = ()
    scores: Sequence[tuple[str, RetrievalScores]] = ()

    @staticmethod
    def of(artifact: Artifact, table: _Ranking, source: str | None) -> _Truth:
        if source is None:
            return _Truth()
        truth = ground_truths.load(source)
        names = (table.query_names, table.database_names)
        setups = truth.resolve(*names, artifact.read("query_boxes"))
        method = str(artifact.extra.get("description", {}).get("method", "ranking"))
        orders = [(method, table.ids)]
        if table.n_inliers is not None:
            orders.insert(0, ("before verification", table.ids_before()))
        scores = [
            (label, retrieval_scores(ids, queries, protocol=truth.protocol, setup=setup,
                                     cutoffs=_CUTOFFS))
            for setup, queries in setups.items()
            for label, ids in orders
        ]  # fmt: skip
        setup = "medium" if "medium" in setups else next(iter(setups))
        return _Truth(setup, setups[setup], scores)

    def mark(self, query: int, row: int) -> str | None:
        if not len(self.queries):
            return None
        truth = self.queries[query]
        if row in truth.junk:
            return NOT_COUNTED
        return RIGHT if row in truth.positives else WRONG

    def note(self, query: int) -> str:
        """Average precisions of the query, in the order of ``scores``."""
        found = [
            f"{100 * scores.average_precisions[query]:.1f} ({label})"
            for label, scores in self.scores
            if scores.setup == self.setup and not np.isnan(scores.average_precisions[query])
        ]
        return "average precision " + ", ".join(found) if found else ""


class _Pictures:
    """The images by name, shrunk; thumbnails are kept, for they recur.

    Attributes:
        missing: names of those that could not be shown.
    """

    def __init__(self, database: dict[str, str], queries: dict[str, str]) -> None:
        self._paths = {False: database, True: queries}
        self.missing: set[str] = set()
        self.thumbnail = lru_cache(maxsize=2000)(self._thumbnail)

    @staticmethod
    def of(images: str, query_images: str | None, table: _Ranking) -> _Pictures:
        database = _paths_of(images, table.database_names)
        queries = database if query_images is None else _paths_of(query_images, table.query_names)
        return _Pictures(database, queries)

    def _thumbnail(self, name: str) -> Image.Image | None:
        loaded = self.load(name, _THUMBNAIL)
        return None if loaded is None else loaded[0]

    def load(
        self, name: str, max_size: int, *, is_query: bool = False
    ) -> tuple[Image.Image, float] | None:
        """The upright image and by what factor it is shrunk; None if it cannot be read."""
        path = self._paths[is_query].get(name)
        try:
            decoded = decode_image(path, max_size) if path is not None else None
        except ImageError:
            decoded = None
        if decoded is None:
            self.missing.add(printable(name))
            return None
        return Image.fromarray(decoded.pixels), decoded.pixels.shape[1] / decoded.full_size[0]


def _paths_of(source: str, names: Sequence[str]) -> dict[str, str]:
    listed = list_images(source)
    paths = dict(zip(listed.names, listed.paths, strict=True))
    if not any(name in paths for name in names):
        raise UsageError(
            "none of the ranking's images is among these",
            where=source,
            expected=", ".join(names[:3]),
            found=", ".join(listed.names[:3]),
        )
    return paths


@dataclass(frozen=True)
class _Side:
    """The local features of one side of the matching."""

    features: LocalFeatures
    map_sizes: np.ndarray
    boxes: np.ndarray

    @staticmethod
    def of(artifact: Artifact) -> _Side:
        return _Side(
            read_local_features(artifact), artifact.read("map_sizes"), artifact.read("boxes")
        )

    def rows(self, image: int, indices: np.ndarray) -> np.ndarray:
        return int(self.features.offsets[image * self.features.n_scales]) + indices

    def ellipses(self, image: int, scale: int, indices: np.ndarray) -> Ellipses:
        """Features ``indices`` of the image, all at ``scale``, in pixels of the whole image."""
        rows = self.rows(image, indices)
        width, height = self.map_sizes[image, scale].tolist()
        x0, y0, x1, y1 = self.boxes[image].tolist()
        features = self.features
        return ellipses_in_pixels(
            features.means[rows], features.covariances[rows], (width, height), (x0, y0, x1, y1)
        )


@dataclass(frozen=True)
class _Drawer:
    """Draws the best verified match of a query."""

    query: _Side
    database: _Side
    scale_pairs: np.ndarray
    offsets: np.ndarray
    inliers: np.ndarray

    def draw(
        self, query: int, table: _Ranking, pictures: _Pictures
    ) -> tuple[Image.Image, str] | None:
        position = self._best(query, table)
        if position is None:
            return None
        row = int(table.ids[query, position])
        name, other = table.query_names[query], table.database_names[row]
        first = pictures.load(name, _MATCH_PICTURE, is_query=True)
        second = pictures.load(other, _MATCH_PICTURE)
        if first is None or second is None:
            return None
        group = query * self.scale_pairs.shape[1] + position
        inliers = self.inliers[self.offsets[group] : self.offsets[group + 1]]
        drawn = self._strongest(query, inliers)
        scales = self.scale_pairs[query, position].tolist()
        picture = draw_matches(
            draw_box(first[0], _scaled(table.query_boxes[query], first[1])),
            second[0],
            self.query.ellipses(query, scales[0], drawn[:, 0]).resized(first[1]),
            self.database.ellipses(row, scales[1], drawn[:, 1]).resized(second[1]),
            colours=distinct_colours(len(drawn)),
        )
        return picture, _caption(name, other, len(inliers), len(drawn))

    def _best(self, query: int, table: _Ranking) -> int | None:
        """The first verified position that has inliers and is not the query's own image."""
        for position in range(self.scale_pairs.shape[1]):
            row, group = int(table.ids[query, position]), query * self.scale_pairs.shape[1]
            n = self.offsets[group + position + 1] - self.offsets[group + position]
            if row >= 0 and n and table.database_names[row] != table.query_names[query]:
                return position
        return None

    def _strongest(self, query: int, inliers: np.ndarray) -> np.ndarray:
        """At most ``_MAX_DRAWN`` inliers, strongest query features first, each feature once."""
        strengths = self.query.features.strengths[self.query.rows(query, inliers[:, 0])]
        chosen, taken = [], (set(), set())  # type: tuple[list, tuple[set, set]]
        for i in np.argsort(-strengths, kind="stable"):
            first, second = inliers[i].tolist()
            if first not in taken[0] and second not in taken[1]:
                chosen.append(i)
                taken[0].add(first)
                taken[1].add(second)
        return inliers[chosen[:_MAX_DRAWN]]


def _scaled(box: np.ndarray, factor: float) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (box * factor).tolist()
    return x0, y0, x1, y1


def _caption(query: str, other: str, n_inliers: int, n_drawn: int) -> str:
    which = "all drawn" if n_drawn == n_inliers else f"the {n_drawn} strongest one-to-one drawn"
    return f"{query} and {other}: {n_inliers} inliers, {which}; one colour per correspondence"


def _drawer(
    artifact: Artifact, table: _Ranking, query_local: str | None, database_local: str | None
) -> _Drawer | None:
    if table.n_inliers is None or query_local is None or database_local is None:
        return None
    with (
        open_artifact(query_local, "local-features") as q,
        open_artifact(database_local, "local-features") as d,
    ):
        for names, local in ((table.query_names, q), (table.database_names, d)):
            require_same_names(names, artifact.path, local.read_texts("names"), local.path)
        parts = (artifact.read(name) for name in ("scale_pairs", "offsets", "inliers"))
        return _Drawer(_Side.of(q), _Side.of(d), *parts)


def _result(
    query: int, table: _Ranking, truth: _Truth, pictures: _Pictures, drawer: _Drawer | None
) -> QueryResult:
    name = table.query_names[query]
    loaded = pictures.load(name, _QUERY_PICTURE, is_query=True)
    picture = loaded and draw_box(loaded[0], _scaled(table.query_boxes[query], loaded[1]))
    similarities = table.similarity_of(query)

    def found(ids: np.ndarray, with_inliers: bool) -> list[Found]:
        return [
            Found(
                table.database_names[row],
                pictures.thumbnail(table.database_names[row]),
                truth.mark(query, row),
                similarities[row],
                _inliers_at(table, query, position) if with_inliers else None,
            )
            for position, row in enumerate(ids[:_N_FOUND].tolist())
            if row >= 0
        ]

    return QueryResult(
        name,
        picture,
        found(table.ids[query], True),
        found(table.ids_before()[query], False) if table.n_inliers is not None else (),
        drawer.draw(query, table, pictures) if drawer is not None else None,
        truth.note(query),
    )


def _inliers_at(table: _Ranking, query: int, position: int) -> int | None:
    if table.n_inliers is None or position >= table.n_inliers.shape[1]:
        return None
    return int(table.n_inliers[query, position])


def _page(
    artifact: Artifact, table: _Ranking, truth: _Truth, results: Sequence[QueryResult]
) -> Page:
    description = artifact.extra.get("description", {})
    untrained = not artifact.network.get("trained", True)
    n_shown, n_queries = len(results), len(table.ids)
    facts = {**_facts(description), "ranking": artifact.path, "made": artifact.created}
    if n_shown < n_queries:
        facts["queries shown"] = f"{n_shown} of {n_queries}, evenly spaced"
    return Page(
        f"Ranked images of {n_queries} queries",
        results,
        facts,
        ("order", "setup", "mAP", *(f"mP@{k}" for k in _CUTOFFS), "queries"),
        [_score_row(label, scores) for label, scores in truth.scores],
        "The network is untrained (seeded random weights)." if untrained else "",
    )


def _score_row(label: str, scores: RetrievalScores) -> list[str]:
    means = [scores.mean_average_precision, *(scores.precisions[k] for k in _CUTOFFS)]
    texts = ["–" if np.isnan(mean) else f"{100 * mean:.1f}" for mean in means]
    return [label, scores.setup, *texts, str(scores.n_queries - scores.n_left_out)]


def _facts(description: dict[str, Any]) -> dict[str, str]:
    """How a ranking was made, in words."""
    facts = {}
    for key, value in description.items():
        if key == "network":
            facts["network"], facts["weights"] = str(value.get("name")), str(value.get("weights"))
        elif isinstance(value, dict):
            facts[_label(key)] = ", ".join(f"{_label(k)} {v}" for k, v in value.items())
        elif isinstance(value, list):
            facts[_label(key)] = ", ".join(map(str, value))
        elif value is not None:
            facts[_label(key)] = str(value)
    return facts


def _label(key: str) -> str:
    return key.replace("_", " ")


def _write(output: Path, page: Page) -> None:
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(render_page(page))
        temporary.replace(output)
    except OSError as error:
        raise WorkFailed(
            "cannot write the page", where=output, found=error.strerror or str(error)
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
