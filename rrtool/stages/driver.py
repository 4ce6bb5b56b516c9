"""What every stage does around its own work: up to date? → lock → resume → parts → publish."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import (
    Artifact,
    InputRecord,
    OutputFile,
    Provenance,
    create,
)
from rrtool.artifacts.output.current import is_as_asked
from rrtool.artifacts.output.writer import foresee, renew
from rrtool.engine.crew import Crew
from rrtool.engine.mapping import map_parts
from rrtool.interrupts import working
from rrtool.options import Options, OutputOptions, OverwriteOptions, ShareOptions
from rrtool.progress import Progress
from rrtool.stages.activations.options import OverImagesOptions
from rrtool.stages.amount import Amount, foretell, parts_of
from rrtool.stages.asked import Digests, asked_of, digest_of, typed_names
from rrtool.stages.places import check_places, require_no_input
from rrtool.stages.workers import Compute, RowsOrder, RowsPart, located, write_rows

Datasets = dict[str, np.ndarray]


def perform(options: Options, progress: Progress) -> Any:
    """Run a command; the command line and the Python functions both come here.

    Outputs that were asked for in the same words, of inputs that have not changed, are left alone
    before the stage is even imported.

    Returns:
        What the stage returns: of most the path of their artifact; None of a dry run.

    Raises:
        RrtoolError: an output has no place of its own, or what the stage raises.
    """
    check_places(options)
    if isinstance(options, OutputOptions) and options.COMMAND.quick and _is_as_asked(options):
        if not is_dry(options):
            for path in options.asking():
                renew(Path(path))  # for make
        progress.message(f"{options.output} is up to date")
        return None if is_dry(options) else Path(options.output)
    if isinstance(options, OverImagesOptions) and options.update:
        from rrtool.stages.rearrange import rearranged  # not where no photo is read

        if rearranged(options, progress):
            return None if options.dry_run else Path(options.output)
    with working(False):  # nothing is held while libraries are imported
        stage = import_module(options.COMMAND.runs)
    made = stage.run(options, progress)
    return None if is_dry(options) else made


def is_dry(options: Options) -> bool:
    """Whether nothing is to be written."""
    return isinstance(options, OverwriteOptions) and options.dry_run


def _is_as_asked(options: Options) -> bool:
    """Whether every output is there and was asked for in these words, of the same inputs."""
    if not all(os.path.isfile(path) for path in options.asking()):
        return False  # known before anything is read
    known: Digests = {}
    requests = {path: asked_of(each, known) for path, each in options.asking().items()}
    return all(
        request is not None and is_as_asked(path, request) for path, request in requests.items()
    )


@dataclass(frozen=True)
class Wanted:
    """An output of a stage.

    Attributes:
        path: where it goes.
        kind: what it is.
        settings: what identifies it beside its inputs and the network, JSON-compatible.
        asks: the options in whose words it is asked for, where they are not the command's.
        inputs: beside those of all outputs of the run; asked when the outputs before it are open.
        made_with: the inputs among ``asks`` that the run makes itself, before this output.
        follows, parts, grows: see ``Provenance``.
    """

    path: str
    kind: type[Artifact]
    settings: Mapping[str, Any]
    asks: Options | None = None
    inputs: Callable[[Sequence[OutputFile]], Sequence[InputRecord]] = lambda outputs: ()
    made_with: tuple[str, ...] = ()
    follows: tuple[str, ...] = ("images",)
    parts: str = ""
    grows: tuple[str, ...] = ()

    def digests_made(self) -> dict[str, str]:
        """Of the inputs that the run has made itself."""
        return {name: digest_of(getattr(self.asks, name)) for name in self.made_with}


def make(
    options: Options,
    wanted: type[Artifact] | Wanted | Sequence[Wanted],
    work: Callable[[list[OutputFile]], object],
    progress: Progress,
    *,
    amount: Callable[[Sequence[OutputFile]], Amount],
    inputs: Sequence[InputRecord] = (),
    network: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Path:
    """Make the outputs that are not there yet.

    Args:
        wanted: a kind alone stands for ``--output``, identified by all settings.
        work: publishes each of the outputs it is given that is not current; it is not called when
            all are, nor in a dry run.
        amount: how much ``work`` has to do for these outputs, for a dry run.
        inputs, network, device: of their provenance.

    Returns:
        The path of the first output.

    Raises:
        RrtoolError: see ``artifacts.create``.
    """
    if isinstance(wanted, type):
        wanted = Wanted(options.of_role("output")["output"], wanted, options.settings())
    all_wanted = [wanted] if isinstance(wanted, Wanted) else wanted
    for each in all_wanted:  # some have names that only the stage knows
        require_no_input(options, Path(each.path))
    # As they were listed: a photo that comes meanwhile must not count as worked on.
    known: Digests = {
        (each.role, each.path): each.digest for each in inputs if each.role == "images"
    }
    share = options.share_setting() if isinstance(options, ShareOptions) else {}
    with ExitStack() as stack:
        outputs: list[OutputFile] = []
        for each in all_wanted:
            asks = each.asks or options
            # What is not there may be made of what a dry run does not make.
            is_comparable = not is_dry(options) or os.path.exists(each.path)
            records = [*inputs, *(each.inputs(outputs) if is_comparable else ())]
            provenance = Provenance(
                each.kind.KIND, {**each.settings, **share}, records, dict(network or {}), device,
                asked_of(asks, known, without=each.made_with) or {}, typed_names(asks),
                each.follows, each.parts, each.grows,
            )  # fmt: skip
            outputs.append(stack.enter_context(opened(each.path, provenance, options)))
        if all(output.is_current for output in outputs):
            progress.message(f"{outputs[0].path} is up to date")
        elif is_dry(options):
            foretell(options, outputs, amount(outputs), progress)
        else:
            work(outputs)
        return outputs[0].path


def opened(
    path: str | Path, provenance: Provenance, options: Options
) -> AbstractContextManager[OutputFile]:
    """An output as ``artifacts.create`` gives it; in a dry run to look at alone."""
    replacing = {name: getattr(options, name, False) for name in ("overwrite", "update")}
    if is_dry(options):
        return nullcontext(foresee(path, provenance, **replacing))
    return create(path, provenance, **replacing)


def as_inputs(**artifacts: Artifact | None) -> list[InputRecord]:
    """The records of the artifacts that are given, each by the field of its option."""
    given = [(name, artifact) for name, artifact in artifacts.items() if artifact is not None]
    return [artifact.as_input(name.replace("_", "-")) for name, artifact in given]


def fill(
    output: OutputFile,
    n_rows: int,
    compute: Callable[[range], Datasets],
    progress: Progress,
    *,
    label: str,
    unit: str,
    rows_per_part: int | None = None,
) -> int:
    """As ``fill_parts``, of all rows; for ``rows_per_part`` see ``parts_of``."""
    parts = parts_of(n_rows, rows_per_part)
    return fill_parts(output, parts, compute, progress, label=label, unit=unit)


def fill_parts(
    output: OutputFile,
    parts: Sequence[range],
    compute: Callable[[range], Datasets],
    progress: Progress,
    *,
    label: str,
    unit: str,
    hands: tuple[Crew, Callable[[], Compute]] | None = None,
) -> int:
    """Write the parts of an output that an earlier, interrupted run has not finished.

    Args:
        compute: from the rows of a part to its datasets.
        label, unit: of the progress.
        hands: those who work in place of this process, and what gives them ``compute``.

    Returns:
        The number of parts in all.

    Raises:
        RrtoolError: see ``map_parts``; or a part that was made is not there.
    """
    missing = output.missing_parts(len(parts))
    n_missing, start = sum(len(parts[number]) for number in missing), time.monotonic()
    n_rows = sum(map(len, parts))
    with progress.task(label, n_rows, unit) as advance:
        advance(n_rows - n_missing)
        if hands is None:
            for number in missing:
                output.write_part(number, compute(parts[number]))
                advance(len(parts[number]))
        else:
            crew, opener = hands
            order = RowsOrder(opener, located(output.folder))
            rows = (RowsPart(number, parts[number]) for number in missing)
            for number in map_parts(partial(write_rows, order), rows, crew):
                order.folder.require_part(number)
                advance(len(parts[number]))
    output.took(time.monotonic() - start, n_missing)
    return len(parts)
