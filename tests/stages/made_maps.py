"""Activation maps as the network gives them, without the rounding of those that are saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rrtool.artifacts import ActivationMaps, Provenance, create, open_artifact
from rrtool.stages.activations.input import open_network
from rrtool.stages.retrieval.options import ExtractOptions


def network_maps(
    photos: Path, *, scales: tuple[float, ...] = (1.0,), max_size: int = 96
) -> dict[int, list[np.ndarray]]:
    """The maps ``(k, h, w)`` float32 at each scale by row, of the photos that can be used."""
    options = ExtractOptions(
        images=str(photos), output="none.h5", network="squeezenet1_1", weights="none",
        scales=scales, max_size=max_size, device="cpu",
    )  # fmt: skip
    _, activations = open_network(options)
    batches = activations.source.batches([(0, range(len(activations.collection)))])
    return {
        row: [scale[i].numpy() for scale in batch.maps]
        for batch in batches
        if batch.failure is None
        for i, row in enumerate(batch.rows)
    }


def write_as_before(source: Path, target: Path, exact: Mapping[int, list[np.ndarray]]) -> Path:
    """Maps as older versions stored them: float32, with all zeros.

    Args:
        source: saved maps of the same photos.
        exact: the maps by row.
    """
    with open_artifact(source, ActivationMaps) as maps:
        datasets = {
            name: maps.read_named(name)
            for name in maps.dataset_names()
            if name != "units" and not name.startswith("nonzero/")
        }
        provenance = Provenance(maps.kind, maps.options, maps.inputs, maps.network, maps.device)
        n_scales, extra = maps.n_scales, maps.extra
        rows = [exact.get(row, []) for row in range(len(maps.status))]
    lengths = [scale.size for row in rows for scale in row or [np.zeros(0)] * n_scales]
    datasets["offsets"] = np.cumsum([0, *lengths])
    datasets["activations"] = np.concatenate([scale.ravel() for row in rows for scale in row])
    with create(target, provenance, overwrite=True) as output:
        output.is_current = False
        output.publish(datasets, extra=extra)
    return target
