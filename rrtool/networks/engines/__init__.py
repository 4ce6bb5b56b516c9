"""What runs a backbone: torch, or an inference engine that gives the same maps sooner."""

from rrtool.networks.engines.build import build
from rrtool.networks.engines.engine import (
    BFLOAT16,
    FLOAT32,
    PLAIN,
    Engine,
    Unavailable,
    candidates,
    has_bfloat16,
)

__all__ = [
    "BFLOAT16",
    "FLOAT32",
    "PLAIN",
    "Engine",
    "Unavailable",
    "build",
    "candidates",
    "has_bfloat16",
]
