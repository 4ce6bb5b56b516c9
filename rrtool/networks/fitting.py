"""Filling a backbone from a checkpoint, whatever its training script has put before the names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import nn

from rrtool.errors import UsageError
from rrtool.networks.checkpoints import Checkpoint, State, listed
from rrtool.networks.values import floats

# The name in a state dict of each tensor of a backbone, but for what stands before all names.
Names = Mapping[str, str]
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


def fill(backbone: nn.Module, model: nn.Module, name: str, checkpoint: Checkpoint) -> list[str]:
    """Fill a backbone.

    Args:
        backbone: cut from ``model``; it may have no values yet.
        model: torchvision's classifier, likewise.
        name: of the architecture.

    Returns:
        Notes for people about what was left out or converted.

    Raises:
        UsageError: the tensors are not exactly those of the backbone, up to a classifier and
            something before all names; or they are not finite.
    """
    own = {key: value.shape for key, value in model.state_dict().items()}
    return _fill(backbone, _namings(backbone, model), own, name, checkpoint)


def fill_model(
    model: nn.Module, classifier: tuple[str, ...], name: str, checkpoint: Checkpoint
) -> list[str]:
    """Fill a whole model by its own names, but for its classifier; else as ``fill``.

    Args:
        classifier: prefixes of the names of its layers for classes.
    """
    own = model.state_dict()
    names = {
        key: key
        for key in _needed(model)
        if own[key].is_floating_point() and not key.startswith(classifier)
    }
    # Tables of positions and the like follow from the architecture, and some files hold them.
    tables = tuple({key for key, _ in model.named_buffers()} - names.keys())
    state = {key: value for key, value in checkpoint.state.items() if not key.endswith(tables)}
    shapes = {key: value.shape for key, value in own.items()}
    return _fill(model, (names,), shapes, name, replace(checkpoint, state=state))


def _fill(
    backbone: nn.Module, namings: Sequence[Names], own: Mapping[str, torch.Size], name: str,
    checkpoint: Checkpoint,
) -> list[str]:  # fmt: skip
    """See ``fill``.

    Args:
        namings: ways to name the tensors that are needed.
        own: shapes of all tensors of the model, by its own names.
    """
    state, path = checkpoint.state, checkpoint.source
    match = _best_match(backbone, namings, state, path)
    if not match.is_full:
        raise _other_network(match, name, checkpoint)
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


def _best_match(backbone: nn.Module, namings: Sequence[Names], state: State, path: str) -> Match:
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


def _needed(backbone: nn.Module) -> list[str]:
    return [key for key in backbone.state_dict() if not key.endswith(_COUNTER)]


def _namings(backbone: nn.Module, model: nn.Module) -> tuple[Names, Names]:
    """torchvision's names, and the numbers of layers that retrieval checkpoints use."""
    return _torchvision_names(backbone, model), {key: key for key in _needed(backbone)}


def _torchvision_names(backbone: nn.Module, model: nn.Module) -> Names:
    """The name in torchvision's classifier of each tensor of a backbone, which numbers layers."""
    features = getattr(model, "features", None)
    layers = [name for name, _ in (features or model).named_children()]
    prefix = "features." if features else ""
    names = {}
    for key in _needed(backbone):
        number, _, rest = key.partition(".")
        names[key] = f"{prefix}{layers[int(number)]}.{rest}"
    return names


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


def _other_network(match: Match, name: str, checkpoint: Checkpoint) -> UsageError:
    parts = [
        f"{len(found)} {what}: {listed(found)}"
        for what, found in (
            ("missing", match.missing),
            ("unknown", match.unexpected),
            ("of another shape", match.shaped),
        )
        if found
    ]
    from rrtool.networks.backbones import ARCHITECTURES  # not where the default network fits

    fitting = [other for other in ARCHITECTURES if other != name and _fits(other, checkpoint)]
    return UsageError(
        f"these are not weights of {name}", where=checkpoint.source, found="; ".join(parts),
        todo=f"use --network {fitting[0]}" if fitting else "check --network",
    )  # fmt: skip


@cache
def _layers_alone(name: str) -> tuple[nn.Module, tuple[Names, Names]]:
    """A backbone without values, and the ways to name its tensors."""
    from rrtool.networks.backbones import cut_backbone, empty_classifier

    model = empty_classifier(name)
    backbone = cut_backbone(model, name, False)
    return backbone, _namings(backbone, model)


def _fits(name: str, checkpoint: Checkpoint) -> bool:
    try:
        return _best_match(*_layers_alone(name), checkpoint.state, checkpoint.source).is_full
    except UsageError:
        return False
