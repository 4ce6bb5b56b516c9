"""Networks: fully convolutional backbones, and the weights and checkpoints they are filled from."""

from rrtool.networks.backbones import ARCHITECTURES
from rrtool.networks.network import Network, load_network

__all__ = ["ARCHITECTURES", "Network", "load_network"]
