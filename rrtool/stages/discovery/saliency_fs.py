"""``rrtool saliency fs``: images → regions of feature saliency (thesis §5.3.3–5.3.5)."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from rrtool.artifacts import Features, Regions
from rrtool.core.discovery.saliency import feature_saliency
from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput, Given, open_activations
from rrtool.stages.activations.run import describe_images
from rrtool.stages.activations.task import Job, Task
from rrtool.stages.compile_ahead import compile_meanwhile
from rrtool.stages.discovery.options import SaliencyFsOptions
from rrtool.stages.discovery.saliency_mapper import describe_batch
from rrtool.stages.discovery.saliency_output import saliency_task
from rrtool.stages.driver import Wanted


def run(options: SaliencyFsOptions, progress: Progress) -> Path:
    """Find and describe the salient regions of every image, at every scale.

    Raises:
        RrtoolError: see ``open_activations`` and ``artifacts.create``.
    """
    return describe_images(options, opened, progress)


def opened(
    options: SaliencyFsOptions, stack: ExitStack, progress: Progress, given: Given | None
) -> tuple[ActivationInput, list[Job]]:
    """See ``describe_images``."""
    activations = open_activations(options, stack, given)
    return activations, [salient_job(options, activations)]


def salient_job(options: SaliencyFsOptions, activations: ActivationInput) -> Job:
    """Find and describe the regions, and describe the images by them where that is wanted."""
    settings = {**options.settings(), **activations.options}
    wanted = [Wanted(options.output, Regions, {**settings, "regions": "FS.EGM"}, options)]
    if options.features is not None:
        del settings["keep_maps"]
        described = {**settings, "described_by": "FS.EGM"}
        wanted.append(Wanted(options.features, Features, described, options))
    saliency_of = partial(feature_saliency, normalization=options.saliency_normalization)
    describe = partial(describe_batch, options=options, saliency_of=saliency_of)
    kinds = [each.kind for each in wanted]
    task = saliency_task(activations, kinds, describe, keep_maps=options.keep_maps)

    def prepared(known: Mapping[str, Any] | None) -> Task:
        compile_meanwhile("saliency")
        return task

    return Job(wanted, prepared)
