"""``rrtool extract``: images → descriptors, local features, regions, maps: all from one pass."""

from contextlib import ExitStack
from pathlib import Path

from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput, Given, open_network
from rrtool.stages.activations.run import describe_images
from rrtool.stages.activations.save_maps import maps_job
from rrtool.stages.activations.task import Job
from rrtool.stages.extraction.options import OnePassOptions
from rrtool.stages.matching.detect_local import local_job
from rrtool.stages.retrieval.describe import descriptors_job


def run(options: OnePassOptions, progress: Progress) -> Path:
    """Make all that is wanted of the images, each as the stage that makes it alone.

    Raises:
        RrtoolError: see ``collect``, ``load_network`` and ``artifacts.create``.
    """
    return describe_images(options, opened, progress)


def opened(
    options: OnePassOptions, stack: ExitStack, progress: Progress, given: Given | None
) -> tuple[ActivationInput, list[Job]]:
    """See ``describe_images``."""
    network, activations = open_network(options, given)
    descriptors, salient = options.descriptors(), options.salient_regions()
    jobs = [descriptors_job(descriptors, network, activations, progress)]
    if options.save_maps is not None:
        jobs.append(maps_job(options.save_maps, descriptors, activations))
    if local := options.local_features():
        jobs.append(local_job(local, activations, progress))
    if salient is not None:
        from rrtool.stages.discovery.saliency_fs import salient_job

        jobs.append(salient_job(salient, activations))
    return activations, jobs
