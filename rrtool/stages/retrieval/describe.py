"""Global descriptors of images, or of uniform regions of them: the first part of ``extract``."""

from rrtool.artifacts import Artifact, Features, InputRecord, Regions, Whitening, open_artifact
from rrtool.networks import Network
from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput
from rrtool.stages.activations.task import Job, Part, Task
from rrtool.stages.driver import Datasets, Wanted, as_inputs
from rrtool.stages.retrieval import extract_regions
from rrtool.stages.retrieval.describer import Describer
from rrtool.stages.retrieval.options import ExtractOptions


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
    settings = {**activations.options, **describer.settings(), "boxes": options.boxes is not None}
    facts = {"n_channels": network.n_channels}
    kind: type[Artifact]
    if options.regions is None:
        kind, task = Features, _whole(describer, facts)
    else:
        settings["regions"], kind = f"uniform, {options.regions} levels", Regions
        task = extract_regions.task(describer, options.regions, facts)
    wanted = Wanted(options.output, kind, settings, options, lambda opened: inputs)
    return Job([wanted], lambda: task)


def _whole(describer: Describer, facts: dict[str, int]) -> Task:
    """Images as wholes."""

    def columns(part: Part) -> list[Datasets]:
        vectors = part.dense(lambda vector: vector, (describer.dimension,))
        return [Features.columns(descriptors=vectors)]

    return Task(lambda maps: list(describer(maps)), columns, facts)
