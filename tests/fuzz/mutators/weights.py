"""Weights: entries of torch's archive, what it holds, and the header of safetensors."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import torch

from tests.fuzz.mutators import Mutator
from tests.fuzz.mutators.raw import EDITS


def _archive(path: Path, rng: Random) -> None:
    """Entries go, come twice, change their name or content; the checksums are right."""
    with zipfile.ZipFile(path) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place = rng.randrange(len(entries))
    if rng.random() < 0.5:  # the pickle, or one of the small ones
        place = rng.choice([i for i, (name, _) in enumerate(entries) if "/data/" not in name])
    name, content = entries[place]
    action = rng.choice(("drop", "double", "rename", "edit", "edit", "empty", "foreign"))
    if action == "drop":
        del entries[place]
    elif action == "double":
        entries.append((name, content[: len(content) // 2]))
    elif action == "rename":
        odd = ("../../elsewhere/pwned", "/etc/x", "x", name + "x", "a\nb", "é")
        entries[place] = (rng.choice(odd), content)
    elif action == "edit":
        edited = bytearray(content)
        if edited:
            rng.choice(list(EDITS.values()))(edited, rng)
        entries[place] = (name, bytes(edited))
    elif action == "empty":
        entries[place] = (name, b"")
    else:
        command = rng.choice((b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nload\n",
                              b"ctorch.hub\nload\n", b"cnumpy\nload\n"))  # fmt: skip
        entries = [(key,
        command + b"(S'touch ../elsewhere/pwned'\ntR." if key.endswith(".pkl") else x)
                   for key, x in entries]  # fmt: skip
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)


def _tables(content: Any) -> list[dict]:
    """All dictionaries in a checkpoint."""
    found = [content] if isinstance(content, dict) else []
    for table in found:
        found += [value for value in table.values() if isinstance(value, dict)]
    return found


def _content(path: Path, rng: Random) -> None:
    """One entry becomes something else, goes, or comes."""
    content = torch.load(path, weights_only=False)  # our own
    table = rng.choice(_tables(content))
    odd: tuple[Any, ...] = (
        None, 3, "x", [], {}, float("nan"), torch.tensor(float("nan")), torch.zeros(0),
        torch.zeros(1).expand(1 << 20, 1 << 20), torch.ones(2, 2, dtype=torch.complex64),
        torch.eye(3).to_sparse(), torch.ones(3, dtype=torch.bool), torch.ones(1,
        dtype=torch.bfloat16),
        {"ss": 1}, {"m": None}, [1.0, 2.0], "resnet18", torch.nn.Parameter(torch.ones(2)), b"\xff",
        torch.empty(2, 2, device="meta"), "\x1b[2J\n", 10**30,
    )  # fmt: skip
    key = rng.choice(sorted(table, key=str))
    action = rng.choice(("put", "put", "drop", "rename", "number", "add"))
    if action == "number" and isinstance(table[key], torch.Tensor) and table[key].numel():
        # one alone that is no number, however deep in the network
        table[key] = table[key].clone()
        table[key].view(-1)[rng.randrange(table[key].numel())] = rng.choice((float("nan"), 1e38))
    elif action == "drop":
        del table[key]
    elif action == "rename":
        table[rng.choice((f"module.{key}", "x", 3, "", "\n", None))] = table.pop(key)
    elif action == "add":
        table[rng.choice(("whiten.weight", "pool.p", "lwhiten.weight", "x"))] = rng.choice(odd)
    else:
        table[key] = rng.choice(odd)
    torch.save(content, path)


def _wrapped(path: Path, rng: Random) -> None:
    content = torch.load(path, weights_only=False)  # our own
    deep: Any = content
    for _ in range(rng.choice((1, 2, 300))):
        deep = {rng.choice(("state_dict", "model", "net", "model_state_dict", "ema", "x")): deep}
    torch.save(rng.choice((deep, [content], (content,), {"module": content}, 3)), path)


def _legacy(path: Path, rng: Random) -> None:
    """The format before the archive, perhaps damaged."""
    content = torch.load(path, weights_only=False)  # our own
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    data = bytearray(stream.getvalue())
    if rng.random() < 0.7:
        rng.choice(list(EDITS.values()))(data, rng)
    path.write_bytes(data)


TORCH: dict[str, Mutator] = {"archive": _archive, "archive again": _archive, "content": _content,
                             "content again": _content, "wrapped": _wrapped,
                             "legacy": _legacy}  # fmt: skip


def _header(path: Path, rng: Random) -> None:
    """The JSON of a safetensors file, and the length that stands before it."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    table, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    entry = table[rng.choice(sorted(table))]
    odd = (None, -1, 2**63, [], [0], [2**40, 2**40], "F64", "X9", "F16", {}, "", [-1], [0, 2**62])
    if rng.random() < 0.7:
        key = rng.choice(("dtype", "shape", "data_offsets"))
        entry[key] = rng.choice(odd)
        text = json.dumps(table).encode()
    else:
        text = rng.choice(
            (b"{}", b"[]", b"{", b"null", b'{"a":' * 9999, b"\xff", b" " * 99, b"NaN")
        )
    length = rng.choice((len(text), len(text), len(text), 0, 2**64 - 1, 2**40, len(text) + 9))
    path.write_bytes(struct.pack("<Q", length) + text + body)


SAFETENSORS: dict[str, Mutator] = {"header": _header, "header again": _header}
