"""``rrtool whiten apply`` and ``export``: whiten features; take a checkpoint's whitening over."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Artifact, InputRecord, OutputFile, Provenance, create, open_artifact
from rrtool.artifacts.compatibility import require_equal, require_same_network
from rrtool.core.retrieval.pooling import POOLINGS
from rrtool.core.retrieval.whitening import apply_whitening, l2_normalize
from rrtool.errors import ArtifactError, UsageError
from rrtool.networks.checkpoints import Checkpoint, read_checkpoint
from rrtool.progress import Progress
from rrtool.stages.retrieval.descriptors import read_descriptors, read_usable

_CHECKPOINT = "checkpoint"
_ROWS_AT_A_TIME = 1 << 14


def apply(
    features: str,
    whitening: str,
    output: str | Path,
    *,
    center: str | None = None,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Whiten features or regions (eq. 5.11): all other columns stay as they are.

    A zero descriptor stays zero, one that is not finite becomes NaN.

    Args:
        center: features whose mean is subtracted in place of the learned one: those of the
            database, for the database and for its queries. A mean is learned without labels and
            from few images, and that of the collection itself serves it best.

    Returns:
        The path of the new ``features`` or ``regions`` artifact.

    Raises:
        RrtoolError: the features are whitened, or were made otherwise than those that the
            whitening was learnt on.
    """
    with ExitStack() as stack:
        f = stack.enter_context(open_artifact(features, "features", "regions"))
        w = stack.enter_context(open_artifact(whitening, "whitening"))
        inputs = [f.as_input("features"), w.as_input("whitening")]
        layer = "" if f.options["whitening"] == "none" else f"{f.options['whitening']}, "
        c = None
        if center is not None:
            c = stack.enter_context(open_artifact(center, "features", "regions"))
            inputs.append(c.as_input("center"))
        name, mean, projection = read_whitening(w, c, progress)
        for source in (f, c) if c else (f,):
            require_unwhitened(source)
            _require_made_alike(w, source)
        provenance = Provenance(f.kind, {**f.options, "whitening": layer + name}, inputs, f.network)
        with create(output, provenance, overwrite=overwrite) as target:
            if target.is_current:
                progress.message(f"{target.path} is up to date")
                return target.path
            learned_here = f.digest in {record.digest for record in w.inputs}
            if learned_here and w.extra["method"] == "supervised":
                progress.message(
                    f"{w.path} was learnt on these very features: scores on them will be too good"
                )
            columns = {name: f.read(name) for name in f.dataset_names() if name != "descriptors"}
            # What extract skipped is no news here, and not this command's exit code.
            extra = {key: value for key, value in f.extra.items() if key != "n_skipped"}
            return target.publish(
                {**columns, "descriptors": _whiten(f, mean, projection, progress)}, extra=extra
            )


def _require_made_alike(whitening: Artifact, features: Artifact) -> None:
    if whitening.extra["method"] == _CHECKPOINT:
        # A checkpoint says nothing of --upsample: its whitening serves both forms of the network.
        digests = [artifact.network.get("weights_digest") for artifact in (whitening, features)]
        require_equal("weights", whitening, digests[0], features, digests[1])
    else:
        require_same_network(whitening, features)
    for key, value in whitening.extra["made"].items():
        require_equal(
            f"--{key.replace('_', '-')}", whitening, value, features, features.options.get(key)
        )
    n_dimensions = features.shape("descriptors")[1]
    require_equal("dimension", whitening, whitening.shape("mean")[0], features, n_dimensions)


def _name(whitening: Artifact) -> str:
    """What tells whitened features apart; a checkpoint's whitening is called as extract does."""
    if whitening.extra["method"] == _CHECKPOINT:
        return whitening.extra["set"]
    return f"{whitening.extra['method']} {whitening.digest[:8]}"


def _whiten(
    features: Artifact, mean: np.ndarray, projection: np.ndarray, progress: Progress
) -> np.ndarray:
    """``(n, d)`` float32."""
    found = read_descriptors(features, progress)
    vectors, good = found.vectors, np.repeat(features.read("status") == 0, np.diff(found.offsets))
    whitened = np.zeros((len(vectors), len(projection)), dtype=np.float32)
    with progress.task("whiten", len(vectors), "images") as advance:
        for start in range(0, len(vectors), _ROWS_AT_A_TIME):
            block = slice(start, start + _ROWS_AT_A_TIME)
            unit = l2_normalize(vectors[block])
            whitened[block] = apply_whitening(unit, mean, projection)
            advance(len(unit))
    # Still unusable, and still not mistaken for an image without activations.
    whitened[~found.usable & good] = np.nan
    return whitened


def read_whitening(
    whitening: Artifact, center: Artifact | None, progress: Progress
) -> tuple[str, np.ndarray, np.ndarray]:
    """What tells descriptors whitened so apart, mean ``(k,)`` and projection ``(d, k)``."""
    name, mean = _name(whitening), whitening.read("mean")
    if center is not None:
        name += f", centred on {center.digest[:8]}"
        mean = _mean(center, progress)
    return name, mean, whitening.read("projection")


def _mean(features: Artifact, progress: Progress) -> np.ndarray:
    """Of the l2-normalised descriptors that are not zero, ``(k,)`` float32."""
    vectors, usable = read_usable(features, progress)
    usable &= vectors.any(axis=1)
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(vectors), _ROWS_AT_A_TIME):
        total += l2_normalize(vectors[start : start + _ROWS_AT_A_TIME]).sum(axis=0, dtype=float)
    return (total / max(1, int(usable.sum()))).astype(np.float32)


def export(
    checkpoint: str,
    output: str | Path,
    *,
    set_name: str | None = None,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """A retrieval checkpoint's own whitening, as an artifact.

    Args:
        checkpoint: a weights file with ``meta['Lw']``.
        set_name: of the set it was learnt on, or ``NAME/ss`` or ``NAME/ms`` for the form for one
            or several scales (the latter unless it is absent); None takes the only set.

    Returns:
        The path of the ``whitening`` artifact.

    Raises:
        RrtoolError: the checkpoint is unusable, or carries no such whitening.
    """
    content = read_checkpoint(checkpoint)
    name, (mean, projection) = _choose(content, set_name)
    network = {"name": content.architecture, "weights": content.label, "trained": True}
    provenance = Provenance(
        "whitening",
        {"method": _CHECKPOINT, "set": name},
        [InputRecord(_CHECKPOINT, checkpoint, _CHECKPOINT, "", content.digest)],
        {**network, "weights_digest": content.digest},
    )
    with create(output, provenance, overwrite=overwrite) as target:
        if target.is_current:
            progress.message(f"{target.path} is up to date")
            return target.path
        unknown = np.full(len(projection), np.nan)
        extra = {"method": _CHECKPOINT, "set": name, "made": _made(content)}
        return publish_whitening(target, mean, projection, unknown, extra)


def _made(checkpoint: Checkpoint) -> dict[str, str]:
    """What the checkpoint says of the features that its whitening is for."""
    made = {"whitening": "none" if checkpoint.projection is None else "learned layer"}
    if checkpoint.pooling in POOLINGS:
        made["pool"] = checkpoint.pooling
    return made


def _choose(
    checkpoint: Checkpoint, wanted: str | None
) -> tuple[str, tuple[np.ndarray, np.ndarray]]:
    carried = {
        f"{name}/{scales}": parts
        for name, forms in checkpoint.whitenings.items()
        for scales, parts in forms.items()
    }
    if not carried:
        raise UsageError("the checkpoint carries no whitening", where=checkpoint.source)
    fitting = [form for form in carried if wanted in (None, form, form.rpartition("/")[0])]
    if len({form.rpartition("/")[0] for form in fitting}) != 1:
        raise UsageError(
            "--set names none of the checkpoint's whitenings"
            if wanted
            else "the checkpoint carries several whitenings",
            where=checkpoint.source,
            expected="--set with one of " + ", ".join(carried),
            found=wanted,
        )
    chosen = next((form for form in fitting if form.endswith("/ms")), fitting[0])
    return chosen, carried[chosen]


def require_unwhitened(features: Artifact) -> None:
    """Whitening is done once.

    Raises:
        ArtifactError: the features are whitened.
    """
    # A checkpoint's learned layer is part of its network; extract whitens after it, too.
    whitening = features.options.get("whitening")
    if whitening not in ("none", "learned layer"):
        raise ArtifactError(
            "the features are whitened already",
            where=features.path,
            expected="whitening none",
            found=f"whitening {whitening}",
            todo="use extract --whitening none",
        )


def publish_whitening(
    target: OutputFile,
    mean: np.ndarray,
    projection: np.ndarray,
    eigenvalues: np.ndarray,
    extra: dict[str, Any],
) -> Path:
    """Write a ``whitening``, in single precision as the released ones: descriptors have no more."""
    return target.publish(
        {
            "mean": mean.astype(np.float32),
            "projection": projection.astype(np.float32),
            "eigenvalues": eigenvalues.astype(np.float64),
        },
        extra=extra,
    )
