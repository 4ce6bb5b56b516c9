"""Which engines there are, in which order they are tried, and what the processor can do."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rrtool.errors import UsageError

FLOAT32, BFLOAT16 = "float32", "bfloat16"
# The fastest first (docs/engines.md), with the modules that each needs.
_MODULES = {"openvino": ("openvino",), "onnxruntime": ("onnxruntime", "onnx"), "torch": ("torch",)}
_IN_BFLOAT16 = ("openvino", "torch")
# Other processors emulate it, which takes many times as long as float32.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True)
class Engine:
    """What runs a network, and in which precision.

    Attributes:
        name: ``torch``, ``openvino`` or ``onnxruntime``.
        precision: ``float32`` or ``bfloat16``, of weights and activations inside the network;
            what comes out is float32 in any case.
    """

    name: str
    precision: str = FLOAT32

    def __str__(self) -> str:
        return f"{self.name} in {self.precision}"


PLAIN = Engine("torch")


class Unavailable(Exception):
    """An engine cannot take this network: the reason in one line."""


def candidates(engine: str, precision: str, *, in_bfloat16: bool) -> list[Engine]:
    """The engines that fit what is asked for, the fastest first.

    Args:
        engine: ``auto`` or the name of one.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        in_bfloat16: whether ``auto`` may choose bfloat16 where the processor has it.

    Raises:
        UsageError: the engine is not installed, or has no bfloat16, or the processor has none.
    """
    _require(engine, precision)
    names = [engine] if engine != "auto" else [name for name in _MODULES if is_installed(name)]
    wide = precision == BFLOAT16 or (precision == "auto" and in_bfloat16 and has_bfloat16())
    found = []
    for name in names:
        if wide and name in _IN_BFLOAT16:
            found.append(Engine(name, BFLOAT16))
        if precision != BFLOAT16:
            found.append(Engine(name, FLOAT32))
    return found


def _require(engine: str, precision: str) -> None:
    if engine != "auto" and not is_installed(engine):
        todo = f"install it with pip install 'rrtool[{engine}]', or use --engine auto"
        raise UsageError(f"the engine {engine} is not installed", where="--engine", todo=todo)
    if precision == BFLOAT16:
        if engine not in ("auto", *_IN_BFLOAT16):
            expected = " or ".join(_IN_BFLOAT16)
            what = f"{engine} has no bfloat16 on the CPU"
            raise UsageError(what, where="--precision", expected=f"--engine {expected}")
        if not has_bfloat16():
            flags = " or ".join(sorted(_BFLOAT16_FLAGS))
            what = "this processor has no bfloat16"
            raise UsageError(
                what, where="--precision", expected=f"{flags} among its flags",
                todo="use --precision auto",
            )  # fmt: skip


def is_installed(name: str) -> bool:
    """Whether the modules of an engine are there, without importing them."""
    return all(find_spec(module) is not None for module in _MODULES[name])


def has_bfloat16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether the processor computes in bfloat16, by what the system says of it (Linux)."""
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return flags is not None and not _BFLOAT16_FLAGS.isdisjoint(flags[1].split())
