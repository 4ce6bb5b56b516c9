"""``rrtool saliency os``: what repeats in a collection → saliency, features (§5.3.8–5.3.10)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from rrtool.artifacts import Artifact, Provenance, create, open_artifact
from rrtool.core.discovery.region_description import DescribedImage
from rrtool.errors import ArtifactError
from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput, open_activations
from rrtool.stages.activations.run import NetworkOptions
from rrtool.stages.discovery.saliency_mapper import Mapper, ObjectSaliencyOptions
from rrtool.stages.discovery.saliency_output import (
    Columns,
    describe_all,
    feature_columns,
    map_columns,
    region_columns,
)
from rrtool.stages.retrieval.whiten import read_whitening


def run(
    images: str,
    output: str | Path,
    inference: NetworkOptions,
    options: ObjectSaliencyOptions,
    *,
    regions: str,
    centrality: str,
    features_output: str | Path,
    whitening: str | None = None,
    center: str | None = None,
    maps: str | None = None,
    gallery: str | None = None,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Map where each image shows what is central in the collection, and describe it by that.

    Args:
        regions: of the collection, from ``saliency fs``, whitened or not.
        centrality: of these regions.
        features_output: where to write the OS.EGM descriptors.
        whitening, center: what the regions were whitened with, for patches to be whitened alike.
        maps: activation maps to read in place of running the network.

    Returns:
        The path of the ``saliency`` artifact.

    Raises:
        RrtoolError: the artifacts do not belong together.
    """
    with ExitStack() as stack:
        r = stack.enter_context(open_artifact(regions, "regions"))
        c = stack.enter_context(open_artifact(centrality, "centrality"))
        activations = open_activations(images, inference, stack, gallery=gallery, maps=maps)
        _check(r, c, activations, options)
        whiten = _whitener(r, whitening, center, stack, progress)
        inputs = [
            *activations.collection.inputs,
            r.as_input("regions"),
            c.as_input("centrality"),
        ]
        n_regions = r.shape("descriptors")[0]
        identity = {**activations.options, **options.identity(n_regions), "boxes": False}
        outputs = [
            stack.enter_context(
                create(
                    path,
                    Provenance(
                        kind, {**identity, "described_by": "OS.EGM"}, inputs,
                        activations.network, activations.device,
                    ),
                    overwrite=overwrite,
                )
            )
            for path, kind in ((output, "saliency"), (features_output, "features"))
        ]  # fmt: skip
        if all(target.is_current for target in outputs):
            progress.message(f"{outputs[0].path} is up to date")
            return outputs[0].path
        activations.mention_untrained(progress)
        mapper = Mapper.of(r, c, whiten, options, progress)
        channels, n_scales = activations.n_channels, activations.n_scales

        def columns(
            rows: range, common: Mapping[str, np.ndarray], found: Mapping[int, DescribedImage]
        ) -> list[Columns]:
            regions = region_columns(rows, common, found, channels, with_descriptors=False)
            saliency = regions | map_columns(rows, found, n_scales)
            return [saliency, feature_columns(rows, found, channels)]

        describe_all(activations, mapper, columns, outputs, progress, "saliency os")
        return outputs[0].path


def _check(
    regions: Artifact,
    centrality: Artifact,
    activations: ActivationInput,
    options: ObjectSaliencyOptions,
) -> None:
    made_of = centrality.extra.get("vertices")
    if made_of != regions.digest:
        raise ArtifactError(
            "the centrality is not that of these regions",
            where=centrality.path,
            expected=f"that of a graph of {regions.path}",
            todo="build-graph on these regions, then centrality on the graph",
        )
    if "region_saliencies" not in regions:
        raise ArtifactError(
            "these regions have no saliency", where=regions.path, todo="make them by saliency fs"
        )
    for key in ("name", "weights_digest", "upsample"):
        if regions.network.get(key) != activations.network.get(key):
            raise ArtifactError(
                f"the regions were made with another network ({key})",
                where=regions.path,
                expected=activations.network.get(key),
                found=regions.network.get(key),
            )
    if regions.options.get("gem_exponent") != options.regions.gem_exponent:
        raise ArtifactError(
            "the regions were made with another --gem-exponent",
            where=regions.path,
            expected=options.regions.gem_exponent,
            found=regions.options.get("gem_exponent"),
        )


def _whitener(
    regions: Artifact,
    whitening: str | None,
    center: str | None,
    stack: ExitStack,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and projection with which patches are whitened as the regions were."""
    name, parameters = "none", None
    if whitening is not None:
        w = stack.enter_context(open_artifact(whitening, "whitening"))
        c = stack.enter_context(open_artifact(center, "features", "regions")) if center else None
        name, *parameters = read_whitening(w, c, progress)
    if regions.options["whitening"] != name:
        raise ArtifactError(
            "the regions were whitened otherwise",
            where=regions.path,
            expected=name,
            found=regions.options["whitening"],
            todo="give --whitening and --center as for whiten apply",
        )
    return (parameters[0], parameters[1]) if parameters else None
