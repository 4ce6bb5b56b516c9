"""``rrtool search``: query and database features → ranking."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from rrtool.artifacts import Features, OutputFile, OverImages, Ranking, Regions
from rrtool.artifacts.digests import digests_of_rows
from rrtool.core.retrieval.ranking import (
    BLOCK_BYTES,
    ROWS_PER_BLOCK,
    Nearest,
    in_blocks,
)
from rrtool.errors import ArtifactError
from rrtool.progress import Progress, Silent
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Wanted, as_inputs, make
from rrtool.stages.retrieval.descriptors import (
    DESCRIPTION,
    Described,
    is_regional,
    open_described,
    read_blocks,
    read_usable,
    require_comparable,
)
from rrtool.stages.retrieval.options import SearchOptions
from rrtool.stages.retrieval.regions.search_regions import GROUP_BYTES, RegionSearch
from rrtool.stages.retrieval.search_update import Search, ranked, updated_ranking


def run(options: SearchOptions, progress: Progress) -> Path:
    """Rank the database by cosine similarity to each query (thesis §2.5).

    Images of several descriptors (``regions``) are compared by cross-matching: for each region
    of the query its best region of the image, averaged (R-Match, [Raz+16] in the thesis). The
    first hits come with the region of the image that is most similar to any of the query.

    Rows that failed in ``extract`` are in no ranking; a failed query has an empty one. With
    query expansion or database augmentation the similarities are those of the last search.

    Raises:
        RrtoolError: the two are no features, or were not made alike.
    """
    with (
        open_described(options.queries) as queries,
        open_described(options.database) as database,
    ):
        for artifact in (queries, database) if options.regional else ():
            _require_regions(artifact)
        require_comparable(queries, database)

        def work(outputs: list[OutputFile]) -> None:
            if top != options.top:
                progress.message(f"each ranking keeps the first {top} of {n_images} images (--top)")
            search: Search
            if isinstance(queries, Features) and isinstance(database, Features):
                search = _ImageSearch(queries, database, asked, progress)
            else:
                search = RegionSearch(queries, database, asked, progress)
            if options.update:
                columns = updated_ranking(outputs[0], search, queries, database, asked, progress)
            else:
                start = time.monotonic()
                columns = ranked(search, queries.lengths["n"])
                outputs[0].took(time.monotonic() - start, queries.lengths["n"])
            if isinstance(search, RegionSearch):
                columns["hit_boxes"] = search.boxes(columns["ids"])
            outputs[0].publish(
                Ranking.columns(
                    **columns,
                    query_names=OverImages.names.encoded(queries),
                    database_names=OverImages.names.encoded(database),
                    query_boxes=queries.boxes,
                ),
                extra={"description": describe(queries, database, options.method(), top)},
            )

        n_images = database.lengths["n"]
        top = options.top_of(n_images)
        asked = replace(options, top=top)
        # A number of entries that is found from the number of images may follow it.
        follows = ("queries", "database", *(("top",) if options.top is None else ()))
        wanted = Wanted(
            str(options.output), Ranking, asked.settings(), asks=options, follows=follows
        )
        inputs = as_inputs(queries=queries, database=database)
        return make(
            options, wanted, work, progress,
            amount=lambda outputs: _amount(queries, database, asked),
            inputs=inputs, network=database.network,
        )  # fmt: skip


def _amount(queries: Described, database: Described, options: SearchOptions) -> Amount:
    """The queries, and a block of the database or, where it is looked at again, all of it."""
    n_images, d = database.lengths["n"], database.lengths["d"]
    n_queries, top = queries.lengths["n"], min(options.top or n_images, n_images)
    held = 2 * (n_images if options.expand or options.augment else ROWS_PER_BLOCK) * d
    vectors = queries.lengths.get("r", n_queries) * d
    memory = 4 * (held + vectors) + 8 * n_queries * top + BLOCK_BYTES
    if is_regional(queries, database):
        memory += min(GROUP_BYTES, 4 * queries.lengths.get("r", n_queries) * n_images)
    return Amount(n_queries, "queries", memory)


def _require_regions(artifact: Described) -> None:
    if not isinstance(artifact, Regions):
        raise ArtifactError(
            "--regional matches regions of images, and this has one descriptor an image",
            where=artifact.path,
            expected="regions",
            found=artifact.kind,
            todo="make both with extract --regions, or leave --regional out",
        )


def describe(
    queries: Described, database: Described, method: str, top: int | None
) -> dict[str, object]:
    """What a score that is computed from this ranking has to carry."""
    made = database.options
    regions = made.get("regions")
    if "zoom" in made:
        regions = f"{regions}, zoomed to {made['zoom']} pixels"
    return {
        "method": "R-Match" if is_regional(queries, database) else method,
        "network": database.network,
        "described_by": made.get("described_by", regions) or "whole images",
        "vectors_per_image": _vectors_per_image(database),
        **{key: made.get(key) for key in DESCRIPTION},
        "query_crop": bool(queries.options.get("boxes")),
        "top": top,
        "mode": "inductive",
        "n_failed_queries": int(np.count_nonzero(queries.status)),
        "n_failed_database": int(np.count_nonzero(database.status)),
    }


def _vectors_per_image(artifact: Described) -> float:
    """Mean over the images that did not fail."""
    n_images = np.count_nonzero(artifact.status == 0)
    if not isinstance(artifact, Regions) or not n_images:
        return 1.0
    return artifact.lengths["r"] / n_images


class _ImageSearch:
    """Ranks images by their one descriptor, after what the options average."""

    def __init__(
        self, queries: Features, database: Features, options: SearchOptions, progress: Progress
    ) -> None:
        self._vectors, self._usable = read_usable(queries, progress)
        self._queries, self._database = queries, database
        self._options, self._progress = options, progress
        self._telling = progress  # of the database, when it is read for the first time

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        telling, self._telling = self._telling, Silent()
        return read_blocks(self._database, telling)

    def digests(self) -> tuple[np.ndarray, np.ndarray]:
        database = [digests_of_rows(*block) for block in self._blocks()]
        return digests_of_rows(self._vectors, self._usable), np.concatenate(database)

    def __call__(
        self, rows: np.ndarray, chosen: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        places = np.flatnonzero(self._usable[rows])
        searched, n_images = self._vectors[rows[places]], self._database.lengths["n"]
        options = self._options
        if options.augment or options.expand:
            names = self._queries.names
            asked = [names[row] for row in rows[places]]
            images = _image_ids(asked, self._database.names)
            held = read_usable(self._database, self._telling)
            searched, vectors = _average(searched, *held, images, options, self._progress)
            blocks = in_blocks(vectors, held[1])
        else:
            blocks = self._blocks()
        of_all = np.arange(n_images) if chosen is None else np.flatnonzero(chosen)
        nearest = Nearest(searched, min(options.top or n_images, len(of_all)))
        with self._progress.task("search", n_images, "images") as advance:
            start = 0
            for vectors, usable in blocks:
                own = slice(None) if chosen is None else chosen[start : start + len(vectors)]
                nearest.add(vectors[own], usable[own])
                start += len(vectors)
                advance(len(vectors))
        found, values = nearest.ranking()
        ids = np.full((len(rows), found.shape[1]), -1, dtype=np.int32)
        similarities = np.full(ids.shape, -np.inf, dtype=np.float32)
        ids[places] = np.where(found < 0, -1, of_all[found])
        similarities[places] = values
        return ids, similarities


def _average(
    queries: np.ndarray,
    database: np.ndarray,
    usable: np.ndarray,
    images: tuple[np.ndarray, np.ndarray],
    options: SearchOptions,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Queries and database after the averaging that the options ask for."""
    # Here, because scipy.sparse takes its time to import.
    from rrtool.core.retrieval.query_expansion import augment_database, expand_queries

    alpha = options.expand_alpha
    if options.augment:
        with progress.task("augment", int(usable.sum()), "images") as advance:
            database = augment_database(database, usable, options.augment, alpha, advance)
    if options.expand:
        with progress.task("expand", len(queries), "queries") as advance:
            queries = expand_queries(
                queries, database, usable, options.expand, alpha, images, advance
            )
    return queries, database


def _image_ids(query_names: list[str], database_names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Equal integers where the names are equal."""
    ids = {name: i for i, name in enumerate(dict.fromkeys([*query_names, *database_names]))}
    queries, database = ([ids[name] for name in each] for each in (query_names, database_names))
    return np.array(queries, dtype=np.int64), np.array(database, dtype=np.int64)
