"""Reading weights files of others: torch's form, or safetensors. No code in them is ever run."""

import argparse
import json
import re
import warnings
import zipfile
from typing import Any, BinaryIO

import numpy as np
import torch

from rrtool.errors import UsageError
from rrtool.files import open_regular

EXPECTED = "a state dict or a retrieval checkpoint, of torch or safetensors"
SAVE_AGAIN = "where you trust the file, load it and save model.state_dict() alone"
META = "rrtool"  # what a safetensors file of ours says of itself, under this name, in JSON
_ZIP, _TAR = b"PK\x03\x04", b"ustar"


def read_weights_file(path: str) -> Any:
    """What a weights file holds, mostly a dict; its tensors are on the CPU and may be mapped.

    Memory stays within a few times the size of the file.

    Raises:
        UsageError: it is missing, no regular file, damaged, or would need code to be run.
    """
    try:
        with open_regular(path) as file:
            head = file.read(512)
            if head.startswith(_ZIP):
                _require_whole(path, file)
        if head[257:262] == _TAR:
            raise _unreadable(path, "the tar form of torch before 0.1.10", SAVE_AGAIN)
        return _read_safetensors(path) if _is_safetensors(path, head) else _read_torch(path, head)
    except UsageError:
        raise
    except FileNotFoundError:
        raise UsageError(
            "no such weights file", where=path, todo="give a path, or a word of --weights"
        ) from None
    except OSError as error:
        found = error.strerror or str(error)
        raise UsageError("cannot read the weights file", where=path, found=found) from None
    except Exception as error:  # noqa: BLE001 - decoders of damaged bytes raise whatever they like
        raise _unreadable(path, *_why(error)) from None


def _unreadable(path: str, found: str, todo: str | None = None) -> UsageError:
    return UsageError(
        "not a readable weights file", where=path, expected=EXPECTED, found=found, todo=todo
    )


def _require_whole(path: str, file: BinaryIO) -> None:
    """A zip is undamaged, holds no more than it weighs, and no program.

    torch neither verifies the checksums nor limits what it unpacks.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if any(each.filename.endswith("/constants.pkl") for each in entries):
                raise _unreadable(path, "a TorchScript program", SAVE_AGAIN)
            if any(each.compress_type != zipfile.ZIP_STORED for each in entries) or (
                sum(each.file_size for each in entries) > file.seek(0, 2)
            ):
                raise _unreadable(path, "a compressed archive", "unpack it")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError):  # it seeks to where a damaged index points
        raise _unreadable(path, "a damaged archive") from None
    if damaged is not None:
        raise _unreadable(path, f"a wrong checksum of {damaged}")


def _is_safetensors(path: str, head: bytes) -> bool:
    """By content: the length of a JSON header, and its brace. By name where these are damaged."""
    if head.startswith(_ZIP):
        return False
    is_header = head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000
    return is_header or path.endswith(".safetensors")


def _read_safetensors(path: str) -> dict[str, Any]:
    """Tensors by name; of a file of rrtool's own, as a retrieval checkpoint with its ``meta``."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, framework="pt") as file:
        about = file.metadata() or {}
    if META not in about:
        return load_file(path)
    return {"state_dict": load_file(path), "meta": json.loads(about[META])}


def _read_torch(path: str, head: bytes) -> Any:
    """torch's weights-only loader, with the few harmless classes that checkpoints name."""
    with warnings.catch_warnings(), torch.serialization.safe_globals(_harmless()):
        warnings.simplefilter("ignore")  # of what ends in an error anyway
        # Mapped, a tensor cannot reach beyond the file, whatever size the file claims for it.
        mapped = head.startswith(_ZIP)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _harmless() -> list[Any]:
    """Options of a training script, and what pickled numpy arrays name, under numpy's old and new
    module path."""
    multiarray = getattr(np, "_core", None) or np.core
    functions = {name: getattr(multiarray.multiarray, name) for name in ("_reconstruct", "scalar")}
    return [
        *(
            (function, f"numpy.{module}.multiarray.{name}")
            for name, function in functions.items()
            for module in ("core", "_core")
        ),
        np.ndarray,
        np.dtype,
        *(type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8", "u1", "b1")),
        argparse.Namespace,
    ]


def _why(error: Exception) -> tuple[str, str | None]:
    """The heart of a loader's message (torch's explains how to switch the safety off), and what to
    do."""
    text = str(error).strip()
    forbidden = re.search(r"Unsupported (?:global|class): .*?(?= was not|$)", text, re.MULTILINE)
    if forbidden:
        return f"code to run ({forbidden[0]})", SAVE_AGAIN
    if type(error).__name__ == "UnpicklingError":
        return "another kind of file", None
    return (text.splitlines()[0].split(". ")[0] if text else "an empty file"), None
