"""``rrtool whiten apply``: features or regions and a whitening → the same, whitened."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np

from rrtool.artifacts import (
    OutputFile,
    Whitening,
    open_artifact,
    require_equal,
    require_same_network,
)
from rrtool.core.retrieval.whitening import apply_whitening, l2_normalize
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Wanted, as_inputs, make
from rrtool.stages.retrieval.descriptors import (
    Described,
    open_described,
    read_descriptors,
    require_same_options,
)
from rrtool.stages.retrieval.options import WhitenApplyOptions
from rrtool.stages.retrieval.whitening import ROWS_AT_A_TIME, read_whitening, require_unwhitened


def run(options: WhitenApplyOptions, progress: Progress) -> Path:
    """Whiten features or regions (eq. 5.11): all other columns stay as they are.

    A zero descriptor stays zero, one that is not finite becomes NaN.

    ``--center`` names the features whose mean is subtracted in place of the learned one: those of
    the database, for the database and for its queries. A mean is learned without labels and from
    few images, and that of the collection itself serves it best.

    Raises:
        RrtoolError: the features are whitened, or were made otherwise than those that the
            whitening was learnt on.
    """
    with (
        open_described(options.features) as features,
        open_artifact(options.whitening, Whitening) as whitening,
        open_described(options.center) if options.center else nullcontext() as center,
    ):
        for source in (features, center) if center else (features,):
            require_unwhitened(source)
            _require_made_alike(whitening, source)
        name, mean, projection = read_whitening(whitening, center, progress)
        before, kind = features.options["whitening"], type(features)
        layer = "" if before == "none" else f"{before}, "

        def work(outputs: list[OutputFile]) -> None:
            _warn_of_scores(whitening, features, progress)
            whitened = _whiten(features, mean, projection, progress)
            others = features.values(kind, without="descriptors")
            outputs[0].publish(kind.columns(descriptors=whitened, **others), extra=features.facts)

        wanted = Wanted(options.output, kind, {**features.options, "whitening": layer + name})
        inputs = as_inputs(features=features, whitening=whitening, center=center)
        return make(
            options, wanted, work, progress, amount=lambda outputs: _amount(features),
            inputs=inputs, network=features.network,
        )  # fmt: skip


def _amount(features: Described) -> Amount:
    """The descriptors before and after."""
    n_images = features.lengths["n"]
    n_vectors = features.lengths.get("r", n_images)
    return Amount(n_images, "images", 8 * n_vectors * features.lengths["d"])


def _require_made_alike(whitening: Whitening, features: Described) -> None:
    if whitening.is_of_checkpoint:
        # A checkpoint says nothing of --upsample: its whitening serves both forms of the network.
        digests = [artifact.network.get("weights_digest") for artifact in (whitening, features)]
        require_equal("weights", whitening, digests[0], features, digests[1])
    else:
        require_same_network(whitening, features)
    require_same_options(whitening.extra["made"], whitening, features)
    require_equal("dimension", whitening, whitening.lengths["k"], features, features.lengths["d"])


def _warn_of_scores(whitening: Whitening, features: Described, progress: Progress) -> None:
    learned_here = features.digest in {record.digest for record in whitening.inputs}
    if learned_here and whitening.extra["method"] == "supervised":
        progress.message(
            f"{whitening.path} was learnt on these very features: scores on them will be too good"
        )


def _whiten(
    features: Described, mean: np.ndarray, projection: np.ndarray, progress: Progress
) -> np.ndarray:
    """``(n, d)`` float32."""
    found = read_descriptors(features, progress)
    vectors, good = found.vectors, np.repeat(features.status == 0, np.diff(found.offsets))
    whitened = np.zeros((len(vectors), len(projection)), dtype=np.float32)
    with progress.task("whiten", len(vectors), "images") as advance:
        for start in range(0, len(vectors), ROWS_AT_A_TIME):
            block = slice(start, start + ROWS_AT_A_TIME)
            unit = l2_normalize(vectors[block])
            whitened[block] = apply_whitening(unit, mean, projection)
            advance(len(unit))
    # Still unusable, and still not mistaken for an image without activations.
    whitened[~found.usable & good] = np.nan
    return whitened
