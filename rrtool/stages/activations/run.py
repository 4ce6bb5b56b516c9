"""A network over a collection, part by part: what all stages on activations share."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import OutputFile, OverImages, open_any
from rrtool.engine.crew import Crew
from rrtool.engine.mapping import open_crew
from rrtool.images.collection import Collection
from rrtool.progress import Progress
from rrtool.stages.activations.elsewhere import Opener, Run, describe_elsewhere
from rrtool.stages.activations.input import ActivationInput
from rrtool.stages.activations.making import Started, computed, describe_parts, to_compute
from rrtool.stages.activations.options import OverImagesOptions
from rrtool.stages.activations.task import Job
from rrtool.stages.amount import Amount, parts_of
from rrtool.stages.driver import Wanted, make
from rrtool.stages.over_images import Finish, publish_over_images
from rrtool.stages.shares import own_parts, share_facts
from rrtool.stages.update import Kept, engine_of, other_engine, plan_of, reading, tell


def describe_images(options: OverImagesOptions, opened: Opener, progress: Progress) -> Path:
    """Work on the activations of all images once, and publish every output that is not current.

    Args:
        opened: the activations that the options ask for, and what is made of them. A worker calls
            the function of this name in the module of the command.

    Returns:
        The path of the first output.

    Raises:
        WorkFailed: not one image was good; or there are no workers.
        ArtifactError: an output that is to be updated was made by another engine.
    """
    with ExitStack() as stack:
        activations, jobs = opened(options, stack, progress, None)
        return _make_all(options, activations, jobs, progress)


def _make_all(
    options: OverImagesOptions,
    activations: ActivationInput,
    jobs: Sequence[Job],
    progress: Progress,
) -> Path:
    def planned(
        outputs: Sequence[OutputFile], stack: ExitStack
    ) -> tuple[Sequence[range], Collection, dict[Path, Kept]]:
        """The parts of this run, its images, and what each output keeps of them."""
        parts = own_parts(parts_of(len(collection)), options.share)
        own = collection.share(slice(parts[0].start, parts[-1].stop))
        kept = _kept(options, own, outputs, stack)
        tell(kept, progress)
        return parts, own, kept

    def work(outputs: list[OutputFile]) -> None:
        with ExitStack() as stack:
            parts, own, kept = planned(outputs, stack)
            anew = [o.path for o in outputs if not o.is_current and o.path not in kept]
            crew = stack.enter_context(open_crew(options.crew))
            changing = [each for each in kept.values() if not each.plan.is_whole]
            if anew or changing:
                engine = _choose_engine(activations, all_wanted, changing, progress)
            else:
                engine = engine_of([*kept.values()])
            started = _start(jobs, outputs, kept, parts)
            _describe(Run(options, activations, engine), started, parts, crew, progress)
            facts = engine | share_facts(options.share, parts, len(collection))
            _publish_all(started, own, len(parts), facts, progress)

    def amount(outputs: Sequence[OutputFile]) -> Amount:
        with ExitStack() as stack:
            parts, _, kept = planned(outputs, stack)
            making = [kept.get(output.path) for output in outputs if not output.is_current]
            rows = [set().union(*(computed(each, part) for each in making)) for part in parts]
            return Amount(sum(map(len, rows)), "images", parts=rows)

    collection = activations.collection
    all_wanted = [each for job in jobs for each in job.wanted]
    return make(
        options, all_wanted, work, progress, amount=amount,
        inputs=collection.inputs, network=activations.network, device=activations.device,
    )  # fmt: skip


def _kept(
    options: OverImagesOptions,
    collection: Collection,
    outputs: Sequence[OutputFile],
    stack: ExitStack,
) -> dict[Path, Kept]:
    """What each output that is updated keeps, open until ``stack`` closes."""
    found, digest_of = {}, reading(options)
    for output in outputs:
        if output.is_update:
            old = stack.enter_context(open_any(output.path))
            if isinstance(old, OverImages):  # as it is of the kind that is wanted
                found[output.path] = Kept(old, plan_of(collection, old, options, digest_of))
    return found


def _choose_engine(
    activations: ActivationInput,
    all_wanted: Sequence[Wanted],
    changing: Sequence[Kept],
    progress: Progress,
) -> dict[str, str]:
    """What runs the network: of outputs that keep rows, the same as ran it for these.

    Raises:
        ArtifactError: it cannot be the same.
    """
    if not activations.network.get("trained", True):
        progress.message("the network is untrained (seeded random weights)")
    for note in activations.notes:
        progress.message(note)
    keeping = [each for each in changing if each.plan.keeps_any]
    like = engine_of(keeping) if keeping else None
    engine = activations.choose_engine([each.kind for each in all_wanted], progress, like)
    if like is not None and engine != like:
        raise other_engine(keeping[0], engine)
    return engine


def _start(
    jobs: Sequence[Job],
    outputs: Sequence[OutputFile],
    kept: Mapping[Path, Kept],
    parts: Sequence[range],
) -> list[Started]:
    """The jobs that have something to do, each with its outputs."""
    remaining = iter(outputs)
    of_jobs = [(job, [next(remaining) for _ in job.wanted]) for job in jobs]
    return [
        Started.of(number, job, own, kept, parts)
        for number, (job, own) in enumerate(of_jobs)
        if not all(output.is_current for output in own)
    ]


def _describe(
    run: Run,
    started: Sequence[Started],
    parts: Sequence[range],
    crew: Crew | None,
    progress: Progress,
) -> None:
    """Write the parts that are missing."""
    n_rows, todo = to_compute(started, parts)
    n_todo, start = sum(map(len, todo.values())), time.monotonic()
    n_done = n_rows - n_todo
    if n_done:
        progress.message(f"continuing an interrupted run: {n_done} of {n_rows} images are done")
    with progress.task(run.options.COMMAND.name, n_rows, "images") as advance:
        advance(n_done)
        if crew is None:
            describe_parts(run.activations.source, started, todo, parts, advance)
        else:
            describe_elsewhere(run, started, todo, parts, crew, advance)
    for job in started:
        for output, _ in job.outputs:
            output.took(time.monotonic() - start, n_todo)


def _publish_all(
    started: Sequence[Started],
    collection: Collection,
    n_parts: int,
    facts: Mapping[str, Any],
    progress: Progress,
) -> None:
    if any(collection.boxes):
        _tell_cut_boxes(started[0].outputs[0][0], collection, n_parts, progress)
    for job in started:
        for output, wanted in job.outputs:
            read = partial(output.read_parts, n_parts=n_parts)
            finish = job.task.finish(read) if job.task.finish else Finish()
            finish = replace(finish, facts={**job.task.facts, **facts, **finish.facts})
            publish_over_images(output, collection, n_parts, finish, wanted.digests_made())


def _tell_cut_boxes(
    output: OutputFile, collection: Collection, n_parts: int, progress: Progress
) -> None:
    """Say which boxes reach out of their photos by more than a pixel: perhaps of another size."""
    used, sizes = (
        np.concatenate([*output.read_parts(column, n_parts)])
        for column in (OverImages.boxes, OverImages.image_sizes)
    )
    cut = [
        f"{collection.names[row]}: {tuple(box)} in {sizes[row][0]}×{sizes[row][1]} pixels"
        for row, box in enumerate(collection.boxes)
        if box and sizes[row].any() and np.abs(used[row] - box).max() > 1
    ]
    if cut:
        progress.message(f"{len(cut)} boxes reach out of their photos and are cut, e.g. {cut[0]}")
