"""Where an artifact comes from: enough to tell whether it is up to date, and to make it again."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

from rrtool import __version__

_LIBRARIES = ("numpy", "torch", "torchvision", "numba", "h5py", "pillow", "scipy")


@dataclass(frozen=True)
class InputRecord:
    """One input of a stage.

    Attributes:
        role: what the stage uses it as, e.g. ``database``.
        path: as the user wrote it.
        kind: artifact kind, or ``images``, ``boxes``, ``ground-truth``.
        uuid: of an artifact, else empty.
        digest: of its content; equal digests mean equal inputs.
    """

    role: str
    path: str
    kind: str
    uuid: str
    digest: str


@dataclass(frozen=True)
class Provenance:
    """Everything that determines an artifact's content, and where it was made.

    Attributes:
        kind: artifact kind.
        options: JSON-compatible option values that influence the result.
        inputs: the inputs.
        network: ``Network.describe()`` and the like, or empty.
        device: ``cpu`` or ``cuda:<i>``. Results on both agree within tolerances, so an artifact
            made on the other device is up to date; unfinished parts of it are not continued.
    """

    kind: str
    options: dict[str, Any]
    inputs: list[InputRecord] = field(default_factory=list)
    network: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"

    def identity(self) -> dict[str, Any]:
        """What two runs must share for one's output to serve as the other's."""
        return {
            "kind": self.kind,
            "options": self.options,
            "inputs": {record.role: record.digest for record in self.inputs},
            "network": self.network,
        }

    def resume_key(self) -> str:
        """Digest of all that must agree before unfinished parts are continued."""
        content = {
            "identity": self.identity(),
            "device": self.device,
            "versions": library_versions(),
            "format": __version__,
        }
        return hashlib.blake2b(canonical_json(content).encode(), digest_size=16).hexdigest()

    def attributes(self) -> dict[str, str]:
        """Root attributes of the artifact, all text."""
        return {
            "kind": self.kind,
            "command": json.dumps(sys.argv),
            "options": canonical_json(self.options),
            "inputs": json.dumps([asdict(record) for record in self.inputs]),
            "network": canonical_json(self.network),
            "device": self.device,
            "versions": canonical_json(library_versions()),
            "rrtool_version": __version__,
        }


def image_input(source: str, names: list[str], signatures: list[tuple[int, int]]) -> InputRecord:
    """The record of a list of images; the digest covers names, sizes and times of change."""
    digest = hashlib.blake2b(digest_size=16)
    for name, (size, mtime) in zip(names, signatures, strict=True):
        digest.update(name.encode("utf-8", "surrogateescape") + f"\0{size}\0{mtime}\0".encode())
    return InputRecord("images", source, "images", "", digest.hexdigest())


def canonical_json(content: Any) -> str:
    """One text for equal contents."""
    return json.dumps(content, sort_keys=True)


@cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries that results depend on."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def first_difference(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, str, str] | None:
    """The first option in which two identities differ: ``(what, old value, new value)``.

    None if only their inputs differ, whose digests tell nobody anything.
    """
    for section, label in (("options", "--{}"), ("network", "network {}")):
        before, now = old.get(section, {}), new.get(section, {})
        # An option that is set in one only often follows from another, e.g. an exponent of GeM.
        both = {key for key in {*before, *now} if None not in (before.get(key), now.get(key))}
        keys = sorted(both) + sorted({*before, *now} - both)
        for key in keys:
            if before.get(key) != now.get(key):
                what = label.format(key.replace("_", "-"))
                return what, _shown(before.get(key)), _shown(now.get(key))
    return None


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_shown(part) for part in value)
    return "unset" if value is None else str(value)
