"""``rrtool import``: descriptors, rankings or tuples of another program → an artifact."""

from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import (
    Features,
    InputRecord,
    OutputFile,
    Ranking,
    Tuples,
    file_input,
    skipped_list_path,
    write_skipped_list,
)
from rrtool.artifacts.foreign.hloc import read_hloc
from rrtool.errors import WorkFailed
from rrtool.exchange.described import Described, Unit
from rrtool.exchange.names import read_names
from rrtool.exchange.numpy_files import read_npy, read_npz
from rrtool.exchange.parquet import read_parquet
from rrtool.exchange.ranked import Lists, Ranked
from rrtool.exchange.ranking_files import read_ranking
from rrtool.images.collection import collect
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Wanted, make
from rrtool.stages.exchange.options import FEATURES, TUPLES, ImportOptions
from rrtool.stages.exchange.tuples import import_tuples

AS_IMPORTED = "as imported"
# What is not known of descriptors that are not ours, and is no difference between them.
_DESCRIBED: dict[str, Any] = {
    "pool": AS_IMPORTED, "gem_exponent": None, "whitening": AS_IMPORTED, "scales": [],
    "max_size": None,
}  # fmt: skip


def run(options: ImportOptions, progress: Progress) -> Path:
    """Take in a file of descriptors, of a ranking, or of tuples.

    Descriptors become float32 of unit length; those that are not finite or zero keep their row,
    with a reason.

    Raises:
        RrtoolError: the file cannot be read, or is not what it should be.
    """
    inputs = [file_input(role.replace("_", "-"), path) for role, path in _files(options)]
    if options.form == TUPLES:
        return _import_tuples(options, inputs, progress)
    network = _network(options.network_name, inputs[0])

    def work(outputs: list[OutputFile]) -> None:
        publish = _import_features if options.form in FEATURES else _import_ranking
        publish(options, outputs[0], network, progress)

    kind = Features if options.form in FEATURES else Ranking
    wanted = Wanted(options.output, kind, {**options.settings(), **_DESCRIBED})
    return make(
        options, wanted, work, progress, amount=lambda outputs: _amount(options),
        inputs=inputs, network=network,
    )  # fmt: skip


def _import_tuples(options: ImportOptions, inputs: list[InputRecord], progress: Progress) -> Path:
    photos = collect(str(options.images))
    return make(
        options, Tuples, lambda outputs: import_tuples(options, photos, outputs[0], progress),
        progress, amount=lambda outputs: Amount(len(photos), "images", 0),
        inputs=[*inputs, *photos.inputs],
    )  # fmt: skip


def _amount(options: ImportOptions) -> Amount:
    """What the file holds, and of descriptors a copy of unit length.

    Raises:
        RrtoolError: the file is not what it should be.
    """
    if options.form not in FEATURES:
        ranked = _read_ranked(options)
        return Amount(len(ranked.query_names), "queries", 2 * ranked.ids.nbytes)
    described = _read_described(options)
    return Amount(len(described.names), "images", 8 * described.vectors.size)


def _files(options: ImportOptions) -> list[tuple[str, str]]:
    return list(options.of_role("file").items())


def _network(name: str | None, source: InputRecord) -> dict[str, Any]:
    """What stands for the network: two files are of one where the user says so."""
    digest = source.digest if name is None else ""
    return {
        "name": name or f"imported {digest[:12]}", "weights": "imported", "weights_digest": digest,
        "trained": True, "upsample": False,
    }  # fmt: skip


def _import_features(
    options: ImportOptions, output: OutputFile, network: dict[str, Any], progress: Progress
) -> None:
    described = _read_described(options)
    unit = Unit.of(described.vectors)
    _tell(described, unit, progress)
    skipped = [(name, why) for name, why in zip(described.names, unit.reasons, strict=True) if why]
    write_skipped_list(output.path, skipped)
    n = len(described.names)
    if len(skipped) == n:
        raise WorkFailed(
            f"not one of {n} descriptors can be used", where=options.source,
            found=f"{skipped[0][0]}: {skipped[0][1]}", todo=f"see {skipped_list_path(output.path)}",
        )  # fmt: skip
    sizes = described.image_sizes
    sizes = np.zeros((n, 2), dtype=np.int32) if sizes is None else sizes
    output.publish(
        Features.columns(
            names=described.names,
            reasons=unit.reasons,
            status=np.array([bool(why) for why in unit.reasons], dtype=np.uint8),
            image_sizes=sizes,
            boxes=np.concatenate([np.zeros_like(sizes), sizes], axis=1).astype(np.float32),
            file_signatures=np.zeros((n, 2), dtype=np.int64),
            descriptors=unit.vectors,
        ),
        extra={"n_skipped": len(skipped), "n_failed_rows": len(skipped)},
    )


def _read_described(options: ImportOptions) -> Described:
    source, form = options.source, options.form
    names = None if options.names is None else read_names(options.names)
    if form == "npy":
        return Described.of(names or [], read_npy(source), source, from_list=options.names)
    if form == "npz":
        described = read_npz(source, names, options.names)
    elif form == "parquet":
        described = read_parquet(source)
    else:
        own_names, vectors, sizes = read_hloc(source)
        described = Described.of(own_names, vectors, source, image_sizes=sizes)
    if names is None:
        return described
    return described.of_names(names, str(options.names), source)


def _tell(described: Described, unit: Unit, progress: Progress) -> None:
    """What was changed of the values."""
    dtype = described.vectors.dtype
    if dtype != np.float32:
        progress.message(f"the descriptors are {dtype.name} and become float32")
    if unit.n_normalised:
        progress.message(
            f"{unit.n_normalised} of {len(unit.vectors)} descriptors are not of unit length, and "
            "are divided by their length"
        )


def _import_ranking(
    options: ImportOptions, output: OutputFile, network: dict[str, Any], progress: Progress
) -> None:
    ranked = _read_ranked(options)
    if options.names is None:
        progress.message(
            f"the database is the {len(ranked.database_names)} images that are in the rankings; "
            "give the list of all with --names where there are more"
        )
    output.publish(
        Ranking.columns(
            ids=ranked.ids,
            scores=ranked.scores,
            similarities=ranked.similarities,
            query_names=ranked.query_names,
            database_names=ranked.database_names,
            query_boxes=np.zeros((len(ranked.query_names), 4), dtype=np.float32),
        ),
        extra={"description": _description(network)},
    )


def _read_ranked(options: ImportOptions) -> Ranked:
    lists = Lists(
        queries=None if options.query_names is None else read_names(options.query_names),
        queries_path=options.query_names or "",
        database=None if options.names is None else read_names(options.names),
        database_path=options.names or "",
    )
    return read_ranking(options.source, options.form, lists)


def _description(network: dict[str, Any]) -> dict[str, Any]:
    """What a score of an imported ranking carries."""
    return {
        "method": "imported", "network": network, "described_by": AS_IMPORTED, **_DESCRIBED,
        "query_crop": False, "top": None, "mode": "inductive",
    }  # fmt: skip
