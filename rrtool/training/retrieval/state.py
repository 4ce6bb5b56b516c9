"""What a run of training for retrieval keeps so that it can be continued, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from rrtool.training.checkpoint import State, array_of

_TENSORS, _MEAN, _SQUARE, _STEP = "parameters/", "mean/", "square/", "step/"
_OF_ADAM = {_MEAN: "exp_avg", _SQUARE: "exp_avg_sq", _STEP: "step"}


def state_of(tensors: Mapping[str, torch.Tensor], optimizer: torch.optim.Adam) -> State:
    """Copies of tensors, and of what Adam knows of those that are its parameters."""
    state = {_TENSORS + name: values for name, values in arrays_of(tensors).items()}
    for name, tensor in tensors.items():
        known = optimizer.state.get(tensor, {})
        state |= {prefix + name: array_of(known[key]) for prefix, key in _OF_ADAM.items() if known}
    return state


def restore(
    tensors: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Adam,
    state: Mapping[str, np.ndarray],
) -> None:
    """Take back what ``state_of`` gave of tensors by the same names."""
    put(tensors, {name: state[_TENSORS + name] for name in tensors})
    for name, tensor in tensors.items():
        if _STEP + name in state:
            step, *moments = (torch.from_numpy(state[p + name]) for p in (_STEP, _MEAN, _SQUARE))
            # Laid out in memory as the parameter is, as Adam's own are.
            mean, square = (torch.empty_like(tensor).copy_(each) for each in moments)
            known = {"step": step.clone(), "exp_avg": mean, "exp_avg_sq": square}
            optimizer.state[tensor] = known


def arrays_of(tensors: Mapping[str, torch.Tensor]) -> State:
    """Copies."""
    return {name: array_of(tensor) for name, tensor in tensors.items()}


@torch.no_grad()
def put(tensors: Mapping[str, torch.Tensor], values: Mapping[str, np.ndarray]) -> None:
    """Give tensors the values of these names."""
    for name, array in values.items():
        tensors[name].copy_(torch.from_numpy(array))
