"""A network that learns to describe images: its backbone, in two where a part of it is frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from rrtool.errors import OptionError
from rrtool.networks import Network, load_network
from rrtool.networks.names import DEFAULT, TIMM
from rrtool.training.last_stage import in_sequence, start_of_last_stage

LAST = "last"  # stage, in place of the name of a layer
_SHOWN = 12  # names of layers


@dataclass(frozen=True)
class Trainable:
    """A backbone whose first layers may be frozen.

    Attributes:
        network: with the whole backbone, its normalisations not folded, on its device.
        names: of all its tensors in a weights file, by their names in the backbone.
        before: the frozen layers at the beginning, as far as they are a chain; perhaps none.
        body: the layers after them, which learn.
        trained: the parameters that learn, by their names in a weights file.
    """

    network: Network
    names: Mapping[str, str]
    before: nn.Sequential
    body: nn.Module
    trained: Mapping[str, nn.Parameter]

    @staticmethod
    def load(
        name: str, weights: str, *, seed: int = 0, device: str = "cpu", train_from: str | None
    ) -> Trainable:
        """A network by its name, see ``load_network``.

        Args:
            train_from: the first layer that learns, by its name in a weights file or the part
                before a dot in it; ``LAST`` is the last stage; None is all.

        Raises:
            UsageError: there is no such layer, or as ``load_network``.
        """
        network = _load(name, weights, seed, device)
        names, backbone = _names_of(network), network.backbone
        for each in backbone.parameters():
            each.data = each.data.clone()  # those of a file may be mapped from it
        layers = list(in_sequence(backbone))
        first = _first_trained(backbone, names, train_from)
        parameters = list(_named(backbone, names))
        place = next(i for i, (name, _) in enumerate(parameters) if first in (None, name))
        trained = dict(parameters[place:])
        for each in trained.values():
            each.requires_grad_(True)
        learning = {id(each) for each in trained.values()}
        start = next(
            i for i, layer in enumerate(layers) if learning & set(map(id, layer.parameters()))
        )
        if first is None:  # layers before it without parameters are no part worth keeping
            start = 0
        body = nn.Sequential(*layers[start:]) if start else backbone
        return Trainable(network, names, nn.Sequential(*layers[:start]), body, trained)

    def statistics(self) -> dict[str, torch.Tensor]:
        """Of the normalisations that learn, by their names in a weights file."""
        layers = {name.rpartition(".")[0] for name in self.trained}
        buffers = {self.names[k]: v for k, v in self.network.backbone.named_buffers()
                   if k in self.names}  # fmt: skip
        return {name: each for name, each in buffers.items() if name.rpartition(".")[0] in layers}

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors of the backbone by their names in a weights file, on the CPU."""
        state = self.network.backbone.state_dict()
        return {name: state[key].detach().cpu().contiguous() for key, name in self.names.items()}


def _load(name: str, weights: str, seed: int, device: str) -> Network:
    """With normalisations as layers of their own, which ``load_network`` folds where it can."""
    if name != DEFAULT:
        return load_network(name, weights, seed=seed, device=device)
    from rrtool.networks.packaged import load_packaged

    network = load_packaged(name, weights, False, seed, fold=False)
    network.backbone.eval().requires_grad_(False).to(device)
    return network


def _names_of(network: Network) -> Mapping[str, str]:
    """What each tensor that the backbone needs is called in a weights file."""
    if network.name.startswith(TIMM):
        from rrtool.networks.foreign import timm_models

        return timm_models.names_in_file(network.backbone)
    if network.name == DEFAULT:
        from rrtool.networks import packaged

        return packaged.names_in_file(network.backbone)
    from rrtool.networks import backbones

    return backbones.names_in_file(network.backbone, network.name)


def _named(backbone: nn.Module, names: Mapping[str, str]) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters that the map needs, by their names in a weights file."""
    for key, parameter in backbone.named_parameters():
        if key in names:
            yield names[key], parameter


def _first_trained(
    backbone: nn.Module, names: Mapping[str, str], train_from: str | None
) -> str | None:
    """The name in a weights file of the first parameter that learns; None where all do."""
    if train_from is None:
        return None
    parameters = {id(each): name for name, each in _named(backbone, names)}
    if train_from == LAST:
        layers = list(in_sequence(backbone))
        start = start_of_last_stage(layers)
        found = (map(id, layer.parameters()) for layer in layers[start:] if start)
        stage = [parameters[each] for layer in found for each in layer]
        if not stage:
            raise OptionError(
                "it cannot be told where the last stage of this network begins",
                option="train_from", expected=_layers_told(names), found=LAST,
            )  # fmt: skip
        return stage[0]
    for name in parameters.values():
        if name.startswith(f"{train_from}."):
            return name
    raise OptionError(
        "the network has no such layer", option="train_from", expected=_layers_told(names),
        found=train_from,
    )  # fmt: skip


def _layers_told(names: Mapping[str, str]) -> str:
    """The layers by the first parts of their names, the last ones."""
    parts = [name.split(".") for name in names.values()]
    heads = {part[0] for part in parts}
    depth = 1 if len(heads) > 2 else 2
    layers = list(dict.fromkeys(".".join(part[:depth]) for part in parts))
    return ("… " if len(layers) > _SHOWN else "") + ", ".join(layers[-_SHOWN:])
