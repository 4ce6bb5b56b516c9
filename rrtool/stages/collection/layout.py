"""An index on the disk: a folder of artifacts, and what it remembers of how they are made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from rrtool.errors import ArtifactError, NewerArtifact, UsageError, printable
from rrtool.files import read_regular, write_durably, write_failures
from rrtool.networks.names import AUTO, DEFAULT, ONNX

_FORMAT = 1
_FILES = ("network", "weights")  # options that may name one
_DEFAULTS = {"network": DEFAULT, "weights": AUTO, "max_size": None, "discover": False}
_TYPES: dict[str, tuple[type, ...]] = {
    "network": (str,), "weights": (str,), "max_size": (int, type(None)), "discover": (bool,),
}  # fmt: skip


@dataclass(frozen=True)
class Index:
    """The folder of an index.

    Attributes:
        images: of which it is, as it was typed, from the root of the file system.
        options: that it was made with.
        rates: seconds a photo that its stages took when they last ran, by stage.
    """

    FILE: ClassVar = "index.json"
    folder: Path
    images: str
    options: dict[str, Any]
    rates: dict[str, float] = field(default_factory=dict)

    features = property(lambda self: self.folder / "features.h5")
    local = property(lambda self: self.folder / "local.h5")
    query_local = property(lambda self: self.folder / "query-local.h5")
    graph = property(lambda self: self.folder / "graph.h5")
    regions = property(lambda self: self.folder / "regions.h5")
    region_graph = property(lambda self: self.folder / "region-graph.h5")
    centrality = property(lambda self: self.folder / "centrality.h5")
    objects = property(lambda self: self.folder / "objects.h5")
    saliency = property(lambda self: self.folder / "saliency.h5")
    object_features = property(lambda self: self.folder / "object-features.h5")

    @property
    def record(self) -> Path:
        """What it remembers."""
        return self.folder / self.FILE

    def of_photos(self) -> list[Path]:
        """The artifacts that are made in one pass over the photos."""
        regions = [self.regions] if self.options["discover"] else []
        return [self.features, self.local, self.query_local, *regions]

    def of_all(self) -> list[Path]:
        """The artifacts that are made of those, in the order in which they are."""
        made = [self.region_graph, self.centrality, self.objects]
        mapped = [self.saliency, self.object_features]
        return [self.graph, *(made + mapped if self.options["discover"] else [])]

    def is_begun(self) -> bool:
        """Whether a run has left anything of the artifacts of photos."""
        parts = (path.with_name(f".{path.name}.parts") for path in self.of_photos())
        return any(path.exists() for path in (*self.of_photos(), *parts))

    def network(self) -> dict[str, Any]:
        """The options of the network, for the commands that run it."""
        return {name: self.options[name] for name in ("network", "weights", "max_size")}

    def kept(self, **changes: Any) -> Index:
        """The same with changes, written down."""
        changed = replace(self, **changes)
        content = {
            "rrtool_index": _FORMAT, "images": changed.images, "options": changed.options,
            "rates": changed.rates,
        }  # fmt: skip
        with write_failures(self.record):
            write_durably(self.record, [json.dumps(content, indent=2) + "\n"])
        return changed


def open_index(folder: str) -> Index:
    """An index that is there.

    Raises:
        UsageError: there is none.
        ArtifactError: it is damaged, or of a later version.
    """
    path = Path(folder) / Index.FILE
    try:
        content = json.loads(read_regular(path))
    except OSError as error:
        found = "no index.json" if Path(folder).is_dir() else error.strerror
        raise UsageError(
            "this is no index", where=folder, expected="a folder made by rrtool index",
            found=found,
        ) from None  # fmt: skip
    except ValueError:
        raise _damaged(path, "no JSON") from None
    version = content.get("rrtool_index") if isinstance(content, dict) else None
    if isinstance(version, int) and version > _FORMAT:
        raise NewerArtifact(
            "an index of a newer rrtool", where=path, expected=f"format {_FORMAT}",
            found=f"format {version}", todo="update rrtool",
        )  # fmt: skip
    if version != _FORMAT:
        raise _damaged(path, f"format {version}")
    images, options = content.get("images"), content.get("options")
    if not isinstance(images, str) or not isinstance(options, dict) or not _is_of(options, _TYPES):
        raise _damaged(path, "other options")
    rates = content.get("rates")
    if not isinstance(rates, dict) or not all(isinstance(x, float) for x in rates.values()):
        rates = {}
    return Index(Path(folder), images, options, rates)


def _is_of(options: dict[str, Any], types: dict[str, tuple[type, ...]]) -> bool:
    return options.keys() == types.keys() and all(
        isinstance(options[name], kinds) for name, kinds in types.items()
    )


def _damaged(path: Path, found: str) -> ArtifactError:
    return ArtifactError(
        "the record of the index is damaged", where=path, expected=f"format {_FORMAT}",
        found=found, todo="make the index again in another folder",
    )  # fmt: skip


@contextmanager
def mendable(index: Index, again: str) -> Iterator[None]:
    """Errors of artifacts of the index say how they are made again.

    Args:
        again: what to do when they are gone.
    """
    try:
        yield
    except NewerArtifact:
        raise
    except ArtifactError as error:
        if error.where not in [printable(path) for path in index.of_photos() + index.of_all()]:
            raise
        raise ArtifactError(
            error.what, where=error.where, expected=error.expected, found=error.found,
            todo=f"remove it and {again}",
        ) from None  # fmt: skip


def wanted_index(folder: str, images: str, asked: dict[str, Any]) -> Index:
    """The index that is asked for: the one that is there, or a new one, of which nothing is there.

    One whose first run has not finished takes other photos and options.

    Args:
        asked: values of its options, None where the index says them.

    Raises:
        UsageError: it was made with other options, or the folder holds something else.
    """
    path = Path(folder)
    images = os.path.abspath(images)
    asked = {name: _rooted(value) if name in _FILES else value for name, value in asked.items()}
    given = {name: value for name, value in asked.items() if value is not None}
    if not os.path.lexists(path / Index.FILE):
        _require_empty(path)
        return Index(path, images, {**_DEFAULTS, **given})
    index = open_index(folder)
    if not any(made.exists() for made in index.of_photos()):  # no run has come so far
        return replace(index, images=images, options={**index.options, **given})
    if index.images != images:
        raise UsageError(
            "the index is of other photos", where=folder, expected=index.images, found=images,
            todo="name another folder for these",
        )  # fmt: skip
    for name, value in given.items():
        if value != index.options[name]:
            raise UsageError(
                f"the index was made with another --{name.replace('_', '-')}", where=folder,
                expected=index.options[name], found=value,
                todo="leave the option out, or name another folder",
            )  # fmt: skip
    return index


def _rooted(value: str | None) -> str | None:
    """A file that a value names, from the root of the file system: from anywhere the same."""
    prefix = ONNX if value is not None and value.startswith(ONNX) else ""
    path = "" if value is None else value.removeprefix(prefix)
    return prefix + os.path.abspath(path) if os.path.isfile(path) else value


def _require_empty(folder: Path) -> None:
    try:
        found = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError("cannot use this folder", where=folder, found=error.strerror) from None
    found = [name for name in found if not name.strip(".").startswith(Index.FILE)]
    if found:
        raise UsageError(
            "the folder holds something else", where=folder, expected="an index, or nothing",
            found=found[0], todo="name a new or empty folder",
        )  # fmt: skip
