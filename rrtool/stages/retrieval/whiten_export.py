"""``rrtool whiten export``: a retrieval checkpoint → its own whitening."""

from pathlib import Path

import numpy as np

from rrtool.artifacts import InputRecord, OutputFile, Whitening
from rrtool.core.retrieval.pooling import POOLINGS
from rrtool.errors import OptionError, UsageError
from rrtool.networks.checkpoints import Checkpoint, read_checkpoint
from rrtool.networks.head import Head, pooling_name
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Wanted, make
from rrtool.stages.retrieval.options import WhitenExportOptions
from rrtool.stages.retrieval.whitening import whitening_columns

_CHECKPOINT = "checkpoint"


def run(options: WhitenExportOptions, progress: Progress) -> Path:
    """A retrieval checkpoint's own whitening (``meta['Lw']``), as an artifact.

    Of a whitening with a form for one scale and one for several the latter is taken, unless the
    form is named.

    Raises:
        RrtoolError: the checkpoint is unusable, or carries no such whitening.
    """
    content = read_checkpoint(options.checkpoint)
    name, (mean, projection) = _choose(content, options.set)
    settings = {"method": _CHECKPOINT, "set": name}

    def work(outputs: list[OutputFile]) -> None:
        unknown = np.full(len(projection), np.nan)
        columns = whitening_columns(mean, projection, unknown)
        outputs[0].publish(columns, extra={**settings, "made": _made(content.head)})

    wanted = Wanted(options.output, Whitening, settings)
    source = InputRecord(_CHECKPOINT, options.checkpoint, _CHECKPOINT, "", content.digest)
    network = {
        "name": content.architecture, "weights": content.label, "trained": True,
        "weights_digest": content.digest,
    }  # fmt: skip
    return make(
        options, wanted, work, progress, inputs=[source], network=network,
        amount=lambda outputs: Amount(len(projection), "dimensions", projection.nbytes),
    )  # fmt: skip


def _made(head: Head) -> dict[str, str]:
    """What the checkpoint says of the features that its whitening is for."""
    made = {"whitening": "none" if head.projection is None else "learned layer"}
    if head.pooling in POOLINGS:
        made["pool"] = pooling_name(
            head.pooling,
            by_channel=head.exponent is not None and len(head.exponent) > 1,
            is_regional=head.regional is not None,
            is_local=head.local is not None,
        )
    return made


def _choose(
    checkpoint: Checkpoint, wanted: str | None
) -> tuple[str, tuple[np.ndarray, np.ndarray]]:
    carried = {
        f"{name}/{scales}": parts
        for name, forms in checkpoint.head.whitenings.items()
        for scales, parts in forms.items()
    }
    if not carried:
        raise UsageError("the checkpoint carries no whitening", where=checkpoint.source)
    fitting = [form for form in carried if wanted in (None, form, form.rpartition("/")[0])]
    if len({form.rpartition("/")[0] for form in fitting}) != 1:
        what = "--set names none of the checkpoint's whitenings"
        raise OptionError(
            what if wanted else "the checkpoint carries several whitenings",
            option="set", where=checkpoint.source,
            expected="--set with one of " + ", ".join(carried), found=wanted,
        )  # fmt: skip
    chosen = next((form for form in fitting if form.endswith("/ms")), fitting[0])
    return chosen, carried[chosen]
