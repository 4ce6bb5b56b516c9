"""``rrtool extract``: images → global descriptors (and their activation maps, if wanted)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rrtool.artifacts import OutputFile, Provenance, create
from rrtool.core.retrieval.pooling import POOLINGS, combine_scales, l2_normalize, pool
from rrtool.core.retrieval.whitening import apply_whitening
from rrtool.devices import resolve_device
from rrtool.errors import UsageError
from rrtool.images.collection import Collection, collect
from rrtool.networks import Network
from rrtool.progress import Progress
from rrtool.stages.activations.run import NetworkOptions, publish_rows, run_parts
from rrtool.stages.parts import parts_of


@dataclass(frozen=True)
class ExtractOptions:
    """Options of ``extract`` (METHODS §1).

    Attributes:
        inference: how images go through the network.
        pool: one of ``POOLINGS``; None takes the checkpoint's own, else GeM.
        gem_exponent: ω of eq. 2.13; None takes the checkpoint's own, else 3.
        whitening: ``auto`` applies the checkpoint's if it carries exactly one set, ``none``
            never, any other text names the set.
    """

    inference: NetworkOptions
    pool: str | None = None
    gem_exponent: float | None = None
    whitening: str = "auto"

    def __post_init__(self) -> None:
        if self.pool is not None and self.pool not in POOLINGS:
            raise UsageError("unknown --pool", expected=", ".join(POOLINGS), found=self.pool)
        if self.gem_exponent is not None and not 0 < self.gem_exponent <= 100:
            raise UsageError("bad --gem-exponent", expected="(0, 100]", found=self.gem_exponent)


def run(
    images: str,
    output: str | Path,
    options: ExtractOptions,
    *,
    boxes: str | None = None,
    gallery: str | None = None,
    maps_output: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Describe every image (or every box) by one l2-normalised vector.

    Returns:
        The path of the ``features`` artifact.

    Raises:
        RrtoolError: see ``collect``, ``load_network`` and ``artifacts.create``.
    """
    if maps_output is not None and Path(maps_output).absolute() == Path(output).absolute():
        raise UsageError("--save-maps and --output name the same file", found=output)
    collection = collect(images, boxes, gallery)
    network = options.inference.load()
    describer = Describer.of(network, options)
    device = resolve_device(options.inference.device)
    provenance = Provenance(
        "features",
        {**options.inference.identity(), **describer.identity(), "boxes": boxes is not None},
        collection.inputs,
        network.describe(),
        device,
    )
    with ExitStack() as stack:
        features = stack.enter_context(create(output, provenance, overwrite=overwrite))
        maps = None
        if maps_output is not None:
            maps_provenance = _maps_provenance(provenance, options)
            maps = stack.enter_context(create(maps_output, maps_provenance, overwrite=overwrite))
        if not network.trained:
            progress.message("the network is untrained (seeded random weights)")
        return _extract(collection, network, describer, options, features, maps, progress)


def _maps_provenance(provenance: Provenance, options: ExtractOptions) -> Provenance:
    return Provenance(
        "activation-maps",
        options.inference.identity(),
        provenance.inputs,
        provenance.network,
        provenance.device,
    )


@dataclass(frozen=True)
class Describer:
    """From activation maps at several scales to one descriptor (§4.4.1)."""

    pool: str
    gem_exponent: float
    n_channels: int
    whitening_name: str
    whitening: tuple[np.ndarray, np.ndarray] | None
    projection: tuple[torch.Tensor, torch.Tensor] | None

    @staticmethod
    def of(network: Network, options: ExtractOptions) -> Describer:
        """Resolve the options against what the checkpoint says.

        Raises:
            UsageError: a whitening is named that the checkpoint does not carry.
        """
        method = options.pool or _known_pooling(network.pooling)
        exponent = options.gem_exponent or network.gem_exponent or 3.0
        name, whitening = _choose_whitening(network, options)
        projection = None
        if network.projection is not None and options.whitening != "none":
            device = resolve_device(options.inference.device)
            weight, bias = network.projection
            projection = (weight.to(device), bias.to(device))
        return Describer(method, exponent, network.n_channels, name, whitening, projection)

    def identity(self) -> dict[str, Any]:
        whitening = self.whitening_name
        if self.projection is not None:
            whitening = "learned layer" + (f", {whitening}" if self.whitening else "")
        return {
            "pool": self.pool,
            "gem_exponent": self.gem_exponent if self.pool == "gem" else None,
            "whitening": whitening,
        }

    @property
    def dimension(self) -> int:
        """Of the descriptors."""
        if self.whitening is not None:
            return len(self.whitening[1])
        return self.n_channels if self.projection is None else len(self.projection[0])

    def __call__(self, maps: Sequence[torch.Tensor]) -> np.ndarray:
        """``(b, k, h, w)`` per scale → ``(b, d)`` float32 on the CPU."""
        with torch.inference_mode():
            per_scale = [self._describe(scale) for scale in maps if scale.shape[-1]]
            # The generalized mean needs non-negative entries, which whitening does not leave.
            non_negative = self.pool == "gem" and self.projection is None
            exponent = self.gem_exponent if non_negative else 1.0
            combined = combine_scales(per_scale, exponent).cpu().numpy()
        if self.whitening is None:
            return combined
        return apply_whitening(combined, *self.whitening)

    def _describe(self, activations: torch.Tensor) -> torch.Tensor:
        descriptors = l2_normalize(pool(activations, self.pool, self.gem_exponent))
        if self.projection is None:
            return descriptors
        weight, bias = self.projection
        return l2_normalize(torch.nn.functional.linear(descriptors, weight, bias))


def _known_pooling(name: str | None) -> str:
    return name if name in POOLINGS else "gem"


def _choose_whitening(
    network: Network, options: ExtractOptions
) -> tuple[str, tuple[np.ndarray, np.ndarray] | None]:
    wanted, carried = options.whitening, network.whitenings
    if wanted == "none" or (wanted == "auto" and not carried):
        return "none", None
    if wanted == "auto":
        if len(carried) > 1:
            raise UsageError(
                "the checkpoint carries several whitenings",
                expected="--whitening with one of " + ", ".join(carried) + " or none",
            )
        wanted = next(iter(carried))
    if wanted not in carried:
        raise UsageError(
            "the checkpoint carries no such whitening",
            expected=", ".join(carried) or "none",
            found=wanted,
        )
    scales = "ms" if len(options.inference.scales) > 1 else "ss"
    if scales not in carried[wanted]:
        scales = next(iter(carried[wanted]))
    return f"{wanted}/{scales}", carried[wanted][scales]


def _extract(
    collection: Collection,
    network: Network,
    describer: Describer,
    options: ExtractOptions,
    features: OutputFile,
    maps: OutputFile | None,
    progress: Progress,
) -> Path:
    outputs = [output for output in (features, maps) if output is not None]
    todo = [output for output in outputs if not output.is_current]
    if not todo:
        progress.message(f"{features.path} is up to date")
        return features.path
    parts, n_scales = parts_of(len(collection)), len(options.inference.scales)
    missing = sorted({number for output in todo for number in output.missing_parts(len(parts))})
    batches = options.inference.source(network, collection).batches(
        [(number, parts[number]) for number in missing]
    )

    def work(maps: list[torch.Tensor]) -> list[tuple[np.ndarray, list[np.ndarray]]]:
        kept = [scale.cpu().numpy() for scale in maps] if maps_wanted else []
        return [(vector, [scale[i] for scale in kept]) for i, vector in enumerate(describer(maps))]

    maps_wanted = maps is not None and not maps.is_current
    finished = run_parts(batches, parts, missing, work, progress, "extract")
    for number, common, results in finished:
        rows = parts[number]
        if not features.is_current:
            features.write_part(number, common | _descriptors(rows, results, describer.dimension))
        if maps is not None and not maps.is_current:
            maps.write_part(number, common | _map_datasets(rows, results, n_scales))
    for output in todo:
        publish_rows(output, collection, len(parts), {"n_channels": network.n_channels})
    return features.path


def _descriptors(
    rows: range, results: Mapping[int, tuple[np.ndarray, list[np.ndarray]]], dimension: int
) -> dict[str, np.ndarray]:
    """Descriptors of the rows of a part; rows that failed are zero."""
    descriptors = np.zeros((len(rows), dimension), dtype=np.float32)
    for row, (vector, _) in results.items():
        descriptors[row - rows.start] = vector
    return {"descriptors": descriptors}


def _map_datasets(
    rows: range, results: Mapping[int, tuple[np.ndarray, list[np.ndarray]]], n_scales: int
) -> dict[str, np.ndarray]:
    """Activations of the rows of a part: flat, in the order row, scale, channel, y, x."""
    map_sizes = np.zeros((len(rows), n_scales, 2), dtype=np.int32)
    counts = np.zeros((len(rows), n_scales), dtype=np.int64)
    flat = [np.zeros(0, dtype=np.float32)]
    for row in sorted(results):
        for scale, activations in enumerate(results[row][1]):
            map_sizes[row - rows.start, scale] = activations.shape[2], activations.shape[1]
            counts[row - rows.start, scale] = activations.size
            flat.append(activations.ravel())
    return {
        "map_sizes": map_sizes,
        "activations": np.concatenate(flat),
        "offsets": np.concatenate([[0], np.cumsum(counts)]),
    }
