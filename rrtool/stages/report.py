"""``rrtool report``: a ranking and its images → one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from rrtool import ground_truth as ground_truths
from rrtool.artifacts import Artifact, open_artifact
from rrtool.core.evaluation import QueryGroundTruth
from rrtool.core.local_features import LocalFeatures
from rrtool.errors import UsageError
from rrtool.images.decode import ImageError, decode_image
from rrtool.images.listing import list_images
from rrtool.progress import Progress
from rrtool.reports.drawing import Ellipses, draw_matches, ellipses_in_pixels
from rrtool.reports.match_page import GENERATOR, Entry, QueryResult, render_page
from rrtool.stages.compatibility import require_same_names
from rrtool.stages.detect_local import read_local_features

N_RANKED = 8
_THUMBNAIL, _DRAWING = 160, 1024
_MAX_PIXELS = 150_000_000


def run(
    ranking: str,
    output: Path,
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
    """Show the first queries of a ranking; of a verified one, also the best match.

    Args:
        images, query_images: of the database and the queries (default: the same), as for extract.
        query_local, database_local: what ``rerank`` was given; needed to draw matches.
        ground_truth: marks right and wrong, as for evaluate.

    Raises:
        RrtoolError: the inputs don't fit each other, or the output is a file of something else.
    """
    _check_output(output, overwrite)
    with ExitStack() as stack:
        ranked = stack.enter_context(open_artifact(ranking, "ranking"))
        locals_ = None
        if query_local and database_local and "inliers" in ranked:
            locals_ = _Locals.of(
                ranked,
                stack.enter_context(open_artifact(query_local, "local-features")),
                stack.enter_context(open_artifact(database_local, "local-features")),
            )
        pictures = _Pictures(_paths(images), _paths(query_images or images))
        truth = _truth(ranked, ground_truth)
        shown = _Shown(ranked, pictures, locals_, truth)
        n_queries = min(max_queries, len(shown.query_names))
        results = []
        with progress.task("report", n_queries, "queries") as advance:
            for query in range(n_queries):
                results.append(shown.result(query))
                advance(1)
        title = f"{ranked.extra['description']['method']}: {n_queries} queries"
        text = render_page(title, _facts(ranked), results)
    temporary = output.with_name(f".{output.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(output)
    return output


def _check_output(output: Path, overwrite: bool) -> None:
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError("the page cannot be written here", where=output, expected="a file name")
    if output.exists() and not overwrite:
        with output.open("rb") as file:
            if GENERATOR.encode() not in file.read(1000):
                raise UsageError(
                    "a file that is no report is in the way",
                    where=output,
                    todo="choose another -o, or use --overwrite",
                )


def _paths(images: str) -> dict[str, str]:
    listed = list_images(images)
    return dict(zip(listed.names, listed.paths, strict=True))


def _truth(ranking: Artifact, source: str | None) -> Sequence[QueryGroundTruth] | None:
    """The ground truth of the last setup: of the revisited protocol the one named last."""
    if source is None:
        return None
    setups = ground_truths.load(source).resolve(
        ranking.read_texts("query_names"),
        ranking.read_texts("database_names"),
        ranking.read("query_boxes"),
    )
    return list(setups.values())[-1]


def _facts(ranking: Artifact) -> list[str]:
    how = ranking.extra["description"]
    trained = "" if how["network"]["trained"] else " — untrained: only a demonstration"
    return [
        f"network {how['network']['name']}, weights {how['network']['weights']}{trained}",
        f"pooling {how['pool']}, scales {', '.join(f'{s:g}' for s in how['scales'])}, "
        f"{how['max_size']} pixels, query crop {'yes' if how['query_crop'] else 'no'}",
        f"ranking {ranking.path}, made {ranking.created}",
    ]


@dataclass(frozen=True)
class _Pictures:
    """Loads images by name; one that cannot be read is shown as a grey field."""

    database: dict[str, str]
    query: dict[str, str]

    def load(self, name: str, is_query: bool, size: int) -> tuple[Image.Image, float]:
        """The picture, and its pixels per pixel of the full image."""
        path = (self.query if is_query else self.database).get(name, "")
        try:
            decoded = decode_image(path, size, None, _MAX_PIXELS)
        except ImageError:
            return Image.new("RGB", (size, size * 3 // 4), "gray"), 1.0
        return Image.fromarray(decoded.pixels), decoded.pixels.shape[1] / decoded.full_size[0]


@dataclass(frozen=True)
class _Locals:
    """Local features of both sides, and what leads from cells to pixels."""

    features: tuple[LocalFeatures, LocalFeatures]
    map_sizes: tuple[np.ndarray, np.ndarray]
    boxes: tuple[np.ndarray, np.ndarray]

    @staticmethod
    def of(ranking: Artifact, query: Artifact, database: Artifact) -> _Locals:
        for names, local in (("query_names", query), ("database_names", database)):
            require_same_names(
                ranking.read_texts(names), ranking.path, local.read_texts("names"), local.path
            )
        sides = (query, database)
        return _Locals(
            (read_local_features(query), read_local_features(database)),
            (sides[0].read("map_sizes"), sides[1].read("map_sizes")),
            (sides[0].read("boxes"), sides[1].read("boxes")),
        )

    def ellipses(self, side: int, image: int, scale: int, rows: np.ndarray) -> Ellipses:
        """Of some features of an image, in pixels of the full image."""
        features = self.features[side]
        ids = features.offsets[image * features.n_scales] + rows
        return ellipses_in_pixels(
            features.means[ids],
            features.covariances[ids],
            self.map_sizes[side][image, scale],
            self.boxes[side][image],
        )


class _Shown:
    """What the page shows of each query."""

    def __init__(
        self,
        ranking: Artifact,
        pictures: _Pictures,
        local: _Locals | None,
        truth: Sequence[QueryGroundTruth] | None,
    ) -> None:
        self.query_names = ranking.read_texts("query_names")
        self._names = ranking.read_texts("database_names")
        self._ids = ranking.read("ids")
        self._similarities = ranking.read("similarities")
        self._boxes = ranking.read("query_boxes")
        self._pictures, self._local, self._truth = pictures, local, truth
        self._verified = (
            {
                name: ranking.read(name)
                for name in ("n_inliers", "scale_pairs", "offsets", "inliers")
            }
            if "inliers" in ranking
            else None
        )

    def result(self, query: int) -> QueryResult:
        name = self.query_names[query]
        positions = [
            position
            for position, i in enumerate(self._ids[query])
            if i >= 0 and self._names[i] != name
        ]
        ranked = [self._entry(query, position) for position in positions[:N_RANKED]]
        return QueryResult(self._query_entry(query), ranked, self._drawing(query, positions))

    def _query_entry(self, query: int) -> Entry:
        name = self.query_names[query]
        picture, factor = self._pictures.load(name, True, 2 * _THUMBNAIL)
        if self._boxes[query].any():
            outline = [float(edge) * factor for edge in self._boxes[query]]
            ImageDraw.Draw(picture).rectangle(outline, outline="yellow", width=3)
        return Entry(name, picture, None, "query")

    def _entry(self, query: int, position: int) -> Entry:
        i = int(self._ids[query, position])
        picture, _ = self._pictures.load(self._names[i], False, _THUMBNAIL)
        caption = f"similarity {self._similarities[query, position]:.3f}"
        if self._verified is not None and position < self._verified["n_inliers"].shape[1]:
            caption += f", {self._verified['n_inliers'][query, position]} inliers"
        return Entry(self._names[i], picture, self._is_right(query, i), caption)

    def _is_right(self, query: int, i: int) -> bool | None:
        if self._truth is None or i in self._truth[query].junk:
            return None
        return bool(i in self._truth[query].positives)

    def _drawing(self, query: int, positions: Sequence[int]) -> Entry | None:
        """The match with the first of the ranking, if anything was matched there."""
        if self._local is None or self._verified is None or not positions:
            return None
        n_verified = self._verified["n_inliers"].shape[1]
        position = positions[0]
        if position >= n_verified or self._verified["n_inliers"][query, position] == 0:
            return None
        group = query * n_verified + position
        start, stop = self._verified["offsets"][group : group + 2]
        pairs = self._verified["inliers"][start:stop]
        scales = self._verified["scale_pairs"][query, position]
        images = (query, int(self._ids[query, position]))
        names = (self.query_names[query], self._names[images[1]])
        pictures, ellipses = [], []
        for side in (0, 1):
            picture, factor = self._pictures.load(names[side], side == 0, _DRAWING)
            found = self._local.ellipses(side, images[side], int(scales[side]), pairs[:, side])
            pictures.append(picture)
            ellipses.append(Ellipses(found.means * factor, found.axes * factor))
        drawing = draw_matches(pictures[0], pictures[1], ellipses[0], ellipses[1])
        title = f"{names[0]} — {names[1]}"
        return Entry(title, drawing, self._is_right(query, images[1]), f"{len(pairs)} inliers")
