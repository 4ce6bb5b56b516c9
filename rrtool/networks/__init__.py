"""Networks: fully convolutional backbones, and the weights and checkpoints they are filled from.

``Network`` and ``load_network`` are imported when they are first used: the command line needs the
names of networks, not torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rrtool.networks.load import load_network
    from rrtool.networks.network import Network

__all__ = ["Network", "load_network"]
_MODULES = {"Network": "rrtool.networks.network", "load_network": "rrtool.networks.load"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(_MODULES[name]), name)
