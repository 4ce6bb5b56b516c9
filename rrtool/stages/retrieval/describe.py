"""Global descriptors of images, or of uniform regions of them: the first part of ``extract``."""

import numpy as np

from rrtool.artifacts import Artifact, Features, InputRecord, Regions, Whitening, open_artifact
from rrtool.errors import ArtifactError
from rrtool.networks import Network
from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput
from rrtool.stages.activations.task import Job, Part, Task
from rrtool.stages.driver import Datasets, Wanted, as_inputs
from rrtool.stages.retrieval.center import center_of, whiten_about, whitened
from rrtool.stages.retrieval.describer import Describer
from rrtool.stages.retrieval.options import ExtractOptions
from rrtool.stages.retrieval.regions import extract_regions


def descriptors_job(
    options: ExtractOptions, network: Network, activations: ActivationInput, progress: Progress
) -> Job:
    """Describe every image (or every box) by one l2-normalised vector, or by one a region.

    Raises:
        RrtoolError: see ``Describer``.
    """
    describer, inputs = Describer.of(network, options), list[InputRecord]()
    if options.region_whitening is not None:
        with open_artifact(options.region_whitening, Whitening) as whitening:
            describer = describer.with_whitened_regions(
                whitening, network, activations.device, progress
            )
            inputs = as_inputs(region_whitening=whitening)
    center = None
    if options.center is not None:
        with open_artifact(options.center, Features) as database:
            center = _center_for(describer, network, database)
            inputs += as_inputs(center=database)
    settings = {**activations.options, **describer.settings(), "boxes": options.boxes is not None}
    facts = {"n_channels": network.n_channels}
    kind: type[Artifact]
    if options.regions is None:
        kind, task = Features, _whole(describer, facts, center)
    else:
        kind, task = Regions, extract_regions.task(describer, options.regions, facts)
        settings["regions"] = f"uniform, {options.regions} levels"
        if options.zoom:
            task = extract_regions.zoomed_task(describer, facts)
            settings |= {"scales": [1.0], "zoom": options.zoom}
    wanted = Wanted(options.output, kind, settings, options, lambda opened: inputs)
    return Job([wanted], lambda known: task)


def _center_for(describer: Describer, network: Network, database: Features) -> np.ndarray | None:
    """What to subtract, ``(k,)``; None where neither side is whitened about a mean of its own.

    Raises:
        ArtifactError: one side is, or the features are of another network.
    """
    expected, found = network.weights_digest, database.network.get("weights_digest")
    if expected != found:
        what = "the features to centre on are of another network"
        raise ArtifactError(what, where=database.path, expected=expected, found=found)
    if not describer.is_centred and Features.center not in database:
        return None
    if not describer.is_centred:
        raise ArtifactError(
            "the features to centre on are whitened, and these would not be",
            where=database.path, todo="leave out --whitening none",
        )  # fmt: skip
    return center_of(database)


def _whole(describer: Describer, facts: dict[str, int], center: np.ndarray | None) -> Task:
    """Images as wholes."""
    whitening = describer.whitening if describer.is_centred else None

    def columns(part: Part) -> list[Datasets]:
        vectors = part.dense(lambda vector: vector, (describer.dimension,))
        if whitening is None:
            return [Features.columns(descriptors=vectors)]
        if center is None:
            return [Features.columns(unwhitened=vectors)]
        return [Features.columns(descriptors=whitened(vectors, center, whitening))]

    finish = None if whitening is None else whiten_about(center, whitening)
    return Task(lambda maps: list(describer(maps)), columns, facts, finish)
