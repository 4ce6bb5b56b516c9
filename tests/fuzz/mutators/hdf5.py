"""Artifacts changed through h5py: datasets, types, shapes, values, links, filters, attributes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import h5py
import numpy as np

from rrtool.artifacts.checksums import add_checksums
from rrtool.artifacts.digests import content_digest, datasets_of
from tests.fuzz.mutators import Mutator

_Change = Callable[[h5py.File, str, Random], None]
_TYPES = (
    "f4", "f8", "f2", ">f4", "i1", "u1", "i4", "i8", ">i8", "u8", "c8", "?", "S3", "S0",
    "datetime64",
)  # fmt: skip


def _put(file: h5py.File, name: str, **more: object) -> None:
    del file[name]
    file.create_dataset(name, **more)


def _drop(file: h5py.File, name: str, rng: Random) -> None:
    del file[name]


def _retype(file: h5py.File, name: str, rng: Random) -> None:
    values = file[name][()]
    code = rng.choice(_TYPES)
    if code == "datetime64":
        _put(file, name, shape=values.shape, dtype=h5py.opaque_dtype(np.dtype("M8[s]")))
    elif code == "S0":
        _put(file, name, data=[str(x) for x in np.ravel(values)[:9]], dtype=h5py.string_dtype())
    else:
        _put(file, name, data=np.asarray(values).astype(code))


def _odd_type(file: h5py.File, name: str, rng: Random) -> None:
    shape = file[name].shape
    types = (
        np.dtype([("a", "f4"), ("b", "i8")]),
        h5py.vlen_dtype(np.float32),
        h5py.enum_dtype({"a": 0, "b": 1}),
        h5py.ref_dtype,
        h5py.string_dtype(),
        np.dtype(("f4", (3,))),
    )
    _put(file, name, shape=shape, dtype=rng.choice(types))


def _reshape(file: h5py.File, name: str, rng: Random) -> None:
    values = np.asarray(file[name][()])
    shapes = (
        values.ravel,
        lambda: values[None],
        lambda: values[..., None],
        lambda: values[:-1],
        lambda: np.concatenate([values, values[:1]]),
        lambda: values[:0],
        lambda: values.T,
        lambda: values.ravel()[:1].reshape(()),
        lambda: values.reshape((1,) * 20 + values.shape),
    )
    _put(file, name, data=rng.choice(shapes)())


def _longer(file: h5py.File, name: str, rng: Random) -> None:
    """All datasets of one length get longer together, so that they still agree."""
    n = file[name].shape[0]
    names: list[str] = []
    file.visititems(lambda key, item: names.append(key) if isinstance(item, h5py.Dataset) else None)
    for each in names:
        values = file[each][()]
        if np.ndim(values) and len(values) == n:
            _put(file, each, data=np.concatenate([values, values[-1:]]))


def _values(file: h5py.File, name: str, rng: Random) -> None:
    values = np.array(file[name][()])
    if not values.size:
        return
    flat = values.reshape(-1)
    if values.dtype.kind == "f":
        odd = (np.nan, np.inf, -np.inf, -1.0, 0.0, 1e-45, np.finfo(values.dtype).max)
    else:
        info = np.iinfo(values.dtype)
        odd = (-1, 0, 1, info.max, info.min, len(flat), 2**31)
        odd = tuple(x for x in odd if info.min <= x <= info.max)
    rows = slice(None) if rng.random() < 0.3 else rng.randrange(len(flat))
    flat[rows] = rng.choice(odd)
    file[name][()] = values


def _order(file: h5py.File, name: str, rng: Random) -> None:
    values = np.array(file[name][()])
    rows = list(range(len(values)))
    rng.shuffle(rows)
    file[name][()] = values[rng.choice((rows, rows[::-1], [0] * len(rows)))]


def _huge(file: h5py.File, name: str, rng: Random) -> None:
    """A shape that only the header says: no block of it is stored."""
    dataset = file[name]
    n = rng.choice((2**24, 2**31, 2**40, 2**60))
    shape = (n, *dataset.shape[1:]) if rng.random() < 0.5 else (*dataset.shape[:1], n)
    _put(file, name, shape=shape, dtype=dataset.dtype, chunks=(1,) * len(shape))


def _bomb(file: h5py.File, name: str, rng: Random) -> None:
    """Everything of this length becomes as long as 2^24 or 2^31, in blocks that are not there."""
    n, many = file[name].shape[0], rng.choice((2**24, 2**31))
    names: list[str] = []
    file.visititems(lambda key, item: names.append(key) if isinstance(item, h5py.Dataset) else None)
    for each in names:
        dataset = file[each]
        if dataset.shape and dataset.shape[0] in (n, n + 1):
            shape = (many + dataset.shape[0] - n, *dataset.shape[1:])
            chunks = (4096, *dataset.shape[1:])
            _put(file, each, shape=shape, dtype=dataset.dtype, chunks=chunks, compression="gzip")


def _filtered(file: h5py.File, name: str, rng: Random) -> None:
    values = np.atleast_1d(file[name][()])
    more = ({"compression": "gzip"}, {"compression": "lzf"}, {"shuffle": True},
            {"fletcher32": True}, {"scaleoffset": 0})  # fmt: skip
    _put(file, name, data=values, chunks=True, **rng.choice(more))


def _unknown_filter(file: h5py.File, name: str, rng: Random) -> None:
    dataset = file[name]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(dataset.shape or (1,))
    plist.set_filter(rng.choice((32001, 32015, 305, 65535)), h5py.h5z.FLAG_OPTIONAL, (1, 2))
    kind, space = dataset.id.get_type(), h5py.h5s.create_simple(dataset.shape or (1,))
    values = np.atleast_1d(dataset[()])
    del file[name]
    identity = h5py.h5d.create(file.id, name.encode(), kind, space, plist)
    identity.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


def _external_link(file: h5py.File, name: str, rng: Random) -> None:
    del file[name]
    target = rng.choice(("../elsewhere/victim", "f.h5", "nowhere.h5", "/etc/passwd"))
    file[name] = h5py.ExternalLink(target, rng.choice((name, "/", "nothing")))


def _soft_link(file: h5py.File, name: str, rng: Random) -> None:
    del file[name]
    file[name] = h5py.SoftLink(rng.choice(("/", "/nowhere", f"/{name}", "/" + "a/" * 2000)))


def _hard_link(file: h5py.File, name: str, rng: Random) -> None:
    """A second name, or a group that holds itself."""
    file[rng.choice(("again", "sub/again"))] = file[name]
    group = file.require_group("circle")
    group["circle"] = group
    if rng.random() < 0.5:
        group["up"] = file["/"]


def _external_storage(file: h5py.File, name: str, rng: Random) -> None:
    dataset = file[name]
    target = rng.choice(("../elsewhere/victim", "/etc/passwd", "/dev/zero", "nowhere"))
    size = h5py.h5f.UNLIMITED if rng.random() < 0.5 else max(1, dataset.nbytes)
    _put(file, name, shape=dataset.shape, dtype=dataset.dtype, external=[(target, 0, size)])


def _virtual(file: h5py.File, name: str, rng: Random) -> None:
    dataset = file[name]
    target = rng.choice(("../elsewhere/victim", ".", "nowhere.h5"))
    layout = h5py.VirtualLayout(dataset.shape, dataset.dtype)
    layout[...] = h5py.VirtualSource(target, name, dataset.shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def _group(file: h5py.File, name: str, rng: Random) -> None:
    del file[name]
    file.create_group(name)


def _null(file: h5py.File, name: str, rng: Random) -> None:
    _put(file, name, data=h5py.Empty(rng.choice(("f4", "i8", "u1"))))


def _more(file: h5py.File, name: str, rng: Random) -> None:
    names = ("offsets", f"{name}/x", "a\nb", "é", "x" * 5000, "parameters/../x", "\x7f")
    odd = rng.choice(names)
    if not odd.startswith(name):
        file.create_dataset(odd, data=np.arange(3))


def _text_bytes(file: h5py.File, name: str, rng: Random) -> None:
    """Names that are no UTF-8, hold line ends, or lead elsewhere."""
    texts = [key for key in sorted(datasets_of(file)) if key.endswith("/bytes") and file[key].size]
    if not texts:
        return
    values = file[rng.choice(texts)]
    odd = rng.choice((b"\xff\xfe", b"\n\n", b"\0\0", b"../", b"\x1b[2J", b"=cmd", b"<b>"))
    old = values[()].tobytes()
    start = rng.randrange(max(1, len(old) - len(odd)))
    new = (old[:start] + odd + old[start + len(odd) :])[: len(old)]
    values[()] = np.frombuffer(new, np.uint8)


_JSON = (
    "", "null", "[]", "{}", "[1]", "{", "NaN", "[" * 100_000, '{"a":' * 50_000, "1e999",
    '"\\ud800"',
    "9" * 10_000, '{"n_skipped": "x"}', '{"scales": [NaN]}', "\x1b[2J\n", "é" * 10_000,
)  # fmt: skip


def _attribute(file: h5py.File, name: str, rng: Random) -> None:
    key = rng.choice(sorted(file.attrs))
    value: object = rng.choice((
        0, -1, 2**62, float("nan"), "", "\n", "x" * 60_000, b"\xff", np.zeros(3), np.zeros(0),
        h5py.Empty("f4"), True, ["a", "b"], rng.choice(_JSON), rng.choice(_JSON),
    ))  # fmt: skip
    del file.attrs[key]
    if rng.random() < 0.8:
        file.attrs[key] = value


def _json(file: h5py.File, name: str, rng: Random) -> None:
    """One entry of the options, facts or inputs becomes another value."""
    key = rng.choice([key for key in ("options", "extra", "network", "inputs", "asked")
                      if key in file.attrs])  # fmt: skip
    content = json.loads(file.attrs[key])
    odd = rng.choice((None, "", -1, 1e300, float("nan"), [], {}, "\n", True, [[1]], "x" * 5000))
    holder = content
    while isinstance(holder, (dict, list)) and holder:
        place = rng.choice(sorted(holder) if isinstance(holder, dict) else range(len(holder)))
        if isinstance(holder[place], (dict, list)) and rng.random() < 0.7:
            holder = holder[place]
            continue
        if rng.random() < 0.7:
            holder[place] = odd
        else:
            del holder[place]
        break
    file.attrs[key] = json.dumps(content)


_CHANGES: dict[str, _Change] = {
    "drop": _drop, "retype": _retype, "odd type": _odd_type, "reshape": _reshape,
    "longer": _longer, "values": _values, "order": _order, "huge": _huge, "bomb": _bomb,
    "filtered": _filtered, "unknown filter": _unknown_filter, "external link": _external_link,
    "soft link": _soft_link, "hard link": _hard_link, "external storage": _external_storage,
    "virtual": _virtual, "group": _group, "null": _null, "more": _more, "texts": _text_bytes,
    "attribute": _attribute, "json": _json,
}  # fmt: skip
# After these the content cannot be, or must not be, read through.
_UNREADABLE = frozenset(
    ("huge", "bomb", "external link", "soft link", "external storage", "virtual", "hard link")
)


def _changed(title: str, change: _Change) -> Mutator:
    def mutate(path: Path, rng: Random) -> None:
        with h5py.File(path, "r+", libver=("v110", "v110"), locking=False) as file:
            change(file, rng.choice(sorted(datasets_of(file))), rng)
            if title not in _UNREADABLE and "digest" in file.attrs and rng.random() < 0.7:
                file.attrs["digest"] = content_digest(datasets_of(file))
        with path.open("r+b") as content:  # else every change would end at the checksums
            add_checksums(content)

    return mutate


MUTATORS = {title: _changed(title, change) for title, change in _CHANGES.items()}
