"""What a training run keeps so that it can be continued, as plain arrays."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import nn

from rrtool.errors import UsageError

State = dict[str, np.ndarray]
PHASES = ("pretraining", "supervised", "semi-supervised")
# Names of the parameters that belong to the classes, not to the features.
CLASSIFIER = "classifier."
_PARAMETERS, _MOMENTUM = "parameters/", "momentum/"


class Checkpoint(Protocol):
    """Where the state of a run is kept, whole or not at all.

    A run is one network's: every cycle of active learning starts with an empty one.
    """

    def load(self) -> State | None:
        """What was saved last, None if nothing was."""
        ...

    def save(self, state: State) -> None:
        """Replace what was saved."""
        ...


def parameters_of(network: nn.Module) -> State:
    """Parameters and running statistics by name, copied."""
    return {name: array_of(tensor) for name, tensor in _named_tensors(network).items()}


def load_parameters(network: nn.Module, parameters: Mapping[str, np.ndarray]) -> None:
    """Put ``parameters`` in place; where they have no classifier, the network's own stays.

    Raises:
        UsageError: they are of another network.
    """
    own = _named_tensors(network)
    missing = [name for name in own if name not in parameters and not name.startswith(CLASSIFIER)]
    unknown = [name for name in parameters if name not in own]
    if missing or unknown:
        raise _other_network("parameters named " + (missing or unknown)[0])
    for name, values in parameters.items():
        if values.shape != tuple(own[name].shape):
            raise _other_network(f"{name} of shape {values.shape}", tuple(own[name].shape))
    tensors = {name: torch.tensor(values) for name, values in parameters.items()}
    network.load_state_dict(tensors, strict=False)


def _named_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    # Batch norm with a fixed momentum counts its batches, but does not use the number.
    return {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def _other_network(found: str, expected: object = None) -> UsageError:
    return UsageError(
        "the initial parameters are of another network",
        expected=expected,
        found=found,
        todo="use the same --width, classes and image channels",
    )


def training_state(
    phase: str, n_done: int, network: nn.Module, optimizer: torch.optim.Optimizer
) -> State:
    """Everything that the epochs after the first ``n_done`` of a phase depend on."""
    state = {"phase": np.array(PHASES.index(phase)), "epoch": np.array(n_done)}
    state |= {_PARAMETERS + name: values for name, values in parameters_of(network).items()}
    for name, parameter in network.named_parameters():
        momentum = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if momentum is not None:
            state[_MOMENTUM + name] = array_of(momentum)
    return state


def restore_parameters(network: nn.Module, state: State) -> None:
    """The parameters of a ``training_state``."""
    n = len(_PARAMETERS)
    kept = {name[n:]: values for name, values in state.items() if name.startswith(_PARAMETERS)}
    load_parameters(network, kept)


def restore_momentum(network: nn.Module, optimizer: torch.optim.Optimizer, state: State) -> None:
    """The momentum of a ``training_state``."""
    for name, parameter in network.named_parameters():
        if _MOMENTUM + name in state:
            kept = torch.tensor(state[_MOMENTUM + name])
            momentum = torch.empty_like(parameter, requires_grad=False)
            optimizer.state[parameter]["momentum_buffer"] = momentum.copy_(kept)


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """A copy, in C order."""
    return np.array(tensor.detach().cpu().numpy(), order="C")
