"""``rrtool rerank --method reciprocal`` of images that have several descriptors: regions."""

from pathlib import Path

from rrtool.artifacts import OutputFile, Ranking, Regions
from rrtool.core.diffusion.reciprocal import ReciprocalOptions
from rrtool.core.diffusion.reciprocal_regions import RegionEncoder, region_neighbors
from rrtool.core.retrieval.ranking import BLOCK_BYTES, top_rows
from rrtool.core.retrieval.regional import best_of_images
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.amount import Amount, parts_of
from rrtool.stages.diffusion.reciprocal.rerank_reciprocal import reciprocal_options
from rrtool.stages.driver import Datasets, Wanted, fill, make
from rrtool.stages.matching.options import RerankOptions
from rrtool.stages.matching.rerank_descriptors import (
    OrderedRows,
    RegionInputs,
    open_region_inputs,
    publish_reordered,
)
from rrtool.stages.retrieval.descriptors import Descriptors, read_descriptors
from rrtool.stages.retrieval.regions.search_regions import N_BOXES

BY_REGIONS = "reciprocal regions"  # the name of the method
_MIXTURE = 0.1  # of similarities of regions: most of what is similar is background
# Each is compared with each: an hour and a half of two cores.
_MOST_REGIONS = 500_000


def run(options: RerankOptions, progress: Progress) -> Path:
    """Re-order rankings by the neighbours that regions share.

    Raises:
        RrtoolError: the artifacts are about other images or not made alike, or there are too many
            regions.
    """
    with open_region_inputs(options) as inputs:
        chosen = reciprocal_options(options, inputs.database, _MIXTURE)
        settings = {**vars(chosen), "k1": [*chosen.k1]}
        _require_few(inputs.database)

        def work(outputs: list[OutputFile]) -> None:
            d, q = (read_descriptors(each, progress) for each in (inputs.database, inputs.queries))
            encoder = _encoder(d, chosen, progress)

            def rows_of(rows: range) -> Datasets:
                return _reordered(inputs, q, d, encoder, rows)

            n_queries = inputs.ranking.lengths["q"]
            n_parts = fill(outputs[0], n_queries, rows_of, progress, label="rerank", unit="queries")
            description = {"method": BY_REGIONS, "reciprocal": settings}
            publish_reordered(inputs.ranking, outputs[0], n_parts, description)

        return make(
            options,
            Wanted(options.output, Ranking, {"method": BY_REGIONS, **settings}),
            work, progress, network=inputs.ranking.network,
            amount=lambda outputs: _amount(inputs, chosen), inputs=inputs.records(),
        )  # fmt: skip


def _require_few(database: Regions) -> None:
    n_regions = database.lengths["r"]
    if n_regions > _MOST_REGIONS:
        raise UsageError(
            "so many regions take too long to compare with each other", where=database.path,
            expected=f"at most {_MOST_REGIONS:,}", found=f"{n_regions:,}",
            todo="reduce-regions, or use --lists",
        )  # fmt: skip


def _amount(inputs: RegionInputs, chosen: ReciprocalOptions) -> Amount:
    """Descriptors, a block of similarities, lists of neighbours, and the encodings of regions."""
    n_regions, d = inputs.database.lengths["r"], inputs.database.lengths["d"]
    n_queries = inputs.ranking.lengths["q"]
    lists = sum(20 * k1 for k1 in chosen.k1) + 8 * chosen.n_neighbors
    memory = n_regions * (4 * d + lists) + 2 * BLOCK_BYTES
    return Amount(n_queries, "queries", memory, parts_of(n_queries))


def _encoder(d: Descriptors, chosen: ReciprocalOptions, progress: Progress) -> RegionEncoder:
    with progress.task("rerank", len(d.vectors), "regions") as advance:
        lists = region_neighbors(d.vectors, d.is_vertex, d.offsets, chosen.n_neighbors, advance)
    return RegionEncoder(d.vectors, d.is_vertex, d.offsets, lists, chosen)


def _reordered(
    inputs: RegionInputs, q: Descriptors, d: Descriptors, encoder: RegionEncoder, rows: range
) -> Datasets:
    """The columns of some queries; one without a region has an empty ranking."""
    n_entries = inputs.ranking.lengths["L"]
    ordered = OrderedRows(len(rows), n_entries, min(N_BOXES, n_entries))
    of_regions = inputs.database.region_boxes
    for place, row in enumerate(rows):
        own = slice(*q.offsets[row : row + 2].tolist())
        regions = q.vectors[own][q.usable[own]]
        if not len(regions):
            continue
        found = encoder.scores(regions)
        best = top_rows(found.scores, n_entries)
        where = best_of_images(found.regions, d.offsets, best[:N_BOXES])
        alike, scores = found.similarities[best], found.scores[best]
        ordered.put(place, best, alike, scores, of_regions[where])
    return ordered.columns()
