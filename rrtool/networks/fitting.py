"""Filling a backbone from a checkpoint, whatever its training script has put before the names."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from rrtool.errors import UsageError
from rrtool.networks.checkpoints import Checkpoint, State, listed
from rrtool.networks.values import floats

# The name in a state dict of each tensor of a backbone, but for what stands before all names.
Names = Mapping[str, str]
Others = Callable[[Checkpoint], list[str]]
# Layers for classes, which no descriptor needs.
_CLASSIFIERS = ("classifier.", "fc.", "head.", "heads.", "last_linear.", "linear.", "logits.")
# Counts the batches of training; old checkpoints lack it, and inference does not use it.
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Match:
    """How far the names of a state dict are those of a backbone.

    Attributes:
        prefix: what stands before the names.
        used: the name in the state dict of each tensor of the backbone that is there.
        missing: tensors of the backbone that are not, by the names that were looked for.
        shaped: of those that are there but of another shape, both shapes in words.
        classifier: names of layers for classes.
        unexpected: all other names.
    """

    prefix: str
    used: Mapping[str, str]
    missing: list[str]
    shaped: list[str]
    classifier: list[str]
    unexpected: list[str]

    @property
    def is_full(self) -> bool:
        return not (self.missing or self.shaped or self.unexpected)


def fill_model(
    model: nn.Module, classifier: tuple[str, ...], name: str, checkpoint: Checkpoint, others: Others
) -> list[str]:
    """Fill a whole model by its own names, but for its classifier; else as ``fill``.

    Args:
        classifier: prefixes of the names of its layers for classes.
        others: see ``fill``.
    """
    own = model.state_dict()
    names = {
        key: key
        for key in needed(model)
        if own[key].is_floating_point() and not key.startswith(classifier)
    }
    # Tables of positions and the like follow from the architecture, and some files hold them.
    tables = tuple({key for key, _ in model.named_buffers()} - names.keys())
    state = {key: value for key, value in checkpoint.state.items() if not key.endswith(tables)}
    shapes = {key: value.shape for key, value in own.items()}
    return fill(model, (names,), shapes, replace(checkpoint, state=state), name, others)


def fill(
    backbone: nn.Module, namings: Sequence[Names], own: Mapping[str, torch.Size],
    checkpoint: Checkpoint, name: str, others: Others,
) -> list[str]:  # fmt: skip
    """Fill a backbone.

    Args:
        backbone: it may have no values yet.
        namings: ways to name the tensors that are needed.
        own: shapes of all tensors of the whole model, by its own names.
        name: of the architecture.
        others: architectures that a checkpoint fits, where it does not fit this one.

    Returns:
        Notes for people about what was left out or converted.

    Raises:
        UsageError: the tensors are not exactly those of the backbone, up to a classifier and
            something before all names; or they are not finite.
    """
    state, path = checkpoint.state, checkpoint.source
    match = best_match(backbone, namings, state, path)
    if not match.is_full:
        raise _other_network(match, name, checkpoint, others(checkpoint))
    values = {key: floats(given, state[given], path) for key, given in match.used.items()}
    counters = {key: torch.tensor(0) for key in backbone.state_dict() if key.endswith(_COUNTER)}
    backbone.load_state_dict(values | counters, strict=False, assign=True)
    notes = []
    foreign = [
        key
        for key in match.classifier
        if own.get(key.removeprefix(match.prefix)) != state[key].shape
    ]
    if foreign:
        notes.append(f"leaves out the layers for classes {listed(foreign)}")
    kinds = {str(state[given].dtype).removeprefix("torch.") for given in match.used.values()}
    if kinds - {"float32"}:
        notes.append(f"converts {', '.join(sorted(kinds - {'float32'}))} weights to float32")
    return notes


def best_match(backbone: nn.Module, namings: Sequence[Names], state: State, path: str) -> Match:
    """By the first of the ways to name its tensors that fits.

    Raises:
        UsageError: the backbone fits several times, under different prefixes.
    """
    matches = []
    for names in namings:
        full = {}
        for prefix in _prefixes(names, state):
            match = _match(backbone, names, prefix, state)
            matches.append(match)
            if not (match.missing or match.shaped):
                full[prefix] = match
        if len(full) > 1:
            raise UsageError(
                "these are weights of several networks", where=path,
                found=f"names that start with {listed(sorted(full))}", todo="save one alone",
            )  # fmt: skip
        if full:
            return next(iter(full.values()))
    return max(matches, key=lambda match: len(match.used) - len(match.shaped))


def needed(backbone: nn.Module) -> list[str]:
    """The names of its tensors that a checkpoint must have."""
    return [key for key in backbone.state_dict() if not key.endswith(_COUNTER)]


def _prefixes(names: Names, state: State) -> list[str]:
    """What stands before the names in a state dict, the most frequent first; at least none."""
    wanted, counts = set(names.values()), Counter({"": 0})
    for key in state:
        parts = key.split(".")
        counts.update(
            ".".join(parts[:i]) + "." if i else ""
            for i in range(len(parts))
            if ".".join(parts[i:]) in wanted
        )
    return [prefix for prefix, _ in counts.most_common(8)]


def _match(backbone: nn.Module, names: Names, prefix: str, state: State) -> Match:
    own = backbone.state_dict()
    looked_for = {key: prefix + name for key, name in names.items()}
    used = {key: name for key, name in looked_for.items() if name in state}
    shaped = [
        f"{name} {_shape(state[name])}, not {_shape(own[key])}"
        for key, name in used.items()
        if state[name].shape != own[key].shape
    ]
    left = [key for key in state if key not in set(used.values()) and not key.endswith(_COUNTER)]
    classes = [key for key in left if _is_of_classes(key, prefix)]
    return Match(
        prefix,
        used,
        [name for name in looked_for.values() if name not in state],
        shaped,
        classes,
        [key for key in left if key not in classes],
    )


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _is_of_classes(key: str, prefix: str) -> bool:
    """Beside the backbone, or one level above where its names have a prefix."""
    outer = prefix[: prefix.rstrip(".").rfind(".") + 1]
    return any(key.removeprefix(each).startswith(_CLASSIFIERS) for each in (prefix, outer))


def _other_network(
    match: Match, name: str, checkpoint: Checkpoint, fitting: Sequence[str]
) -> UsageError:
    parts = [
        f"{len(found)} {what}: {listed(found)}"
        for what, found in (
            ("missing", match.missing),
            ("unknown", match.unexpected),
            ("of another shape", match.shaped),
        )
        if found
    ]
    return UsageError(
        f"these are not weights of {name}", where=checkpoint.source, found="; ".join(parts),
        todo=f"use --network {fitting[0]}" if fitting else "check --network",
    )  # fmt: skip
