"""Where an artifact comes from: enough to tell whether it is up to date, and to make it again."""

import hashlib
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import metadata
from typing import Any

from rrtool.version import VERSION

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
        asked: options and inputs as they were asked for, where ``options`` has what became of
            them. Equal requests need no closer look.
        typed: how the user types each option, for messages.
        follows: inputs, and options that are found from them, in which an artifact that is
            updated may differ.
        parts: what tells unfinished parts from those of another form, if anything does.
        grows: options that say how much is done, and not how: unfinished parts that were made with
            other values of these are continued.
    """

    kind: str
    options: dict[str, Any]
    inputs: list[InputRecord] = field(default_factory=list)
    network: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    asked: dict[str, Any] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)
    follows: tuple[str, ...] = ("images",)
    parts: str = ""
    grows: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        """What two runs must share for one's output to serve as the other's."""
        return identity_of(self.kind, self.options, self.inputs, self.network)

    def resume_key(self) -> str:
        """Digest of all that must agree before unfinished parts are continued."""
        options = {name: value for name, value in self.options.items() if name not in self.grows}
        content = {
            "identity": identity_of(self.kind, options, self.inputs, self.network),
            "device": self.device,
            "versions": library_versions(),
            "format": VERSION + self.parts,
        }
        return hashlib.blake2b(canonical_json(content).encode(), digest_size=16).hexdigest()

    def asked_also_with(self, digests: Mapping[str, str]) -> "Provenance":
        """As one that was asked for with these inputs too, if it is known what was asked for."""
        if not self.asked or not digests:
            return self
        inputs = {**self.asked["inputs"], **digests}
        return replace(self, asked={**self.asked, "inputs": inputs})

    def attributes(self) -> dict[str, str]:
        """Root attributes of the artifact, all text."""
        return {
            "kind": self.kind,
            "command": json.dumps(sys.argv),
            "options": canonical_json(self.options),
            "asked": canonical_json(self.asked),
            "inputs": json.dumps([asdict(record) for record in self.inputs]),
            "network": canonical_json(self.network),
            "device": self.device,
            "versions": canonical_json(library_versions()),
            "rrtool_version": VERSION,
        }


def identity_of(
    kind: str, options: dict[str, Any], inputs: list[InputRecord], network: dict[str, Any]
) -> dict[str, Any]:
    """As ``Provenance.identity``."""
    digests = {record.role: record.digest for record in inputs}
    return {"kind": kind, "options": options, "inputs": digests, "network": network}


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


# Which options stand behind the description of a network.
_NETWORK_OPTIONS = {
    "name": ("network",),
    "upsample": ("upsample",),
    "weights": ("weights", "seed"),
    "weights_digest": ("weights", "seed"),
}


def first_difference(
    old: Mapping[str, Any], new: Mapping[str, Any], typed: Mapping[str, str] | None = None
) -> tuple[str, str, str] | None:
    """The first option in which two artifacts differ: ``(as typed, old value, new value)``.

    Args:
        old, new: ``kind``, ``options``, ``network`` and the options of ``asked`` of each.
        typed: how options are typed; by default ``--`` and their name.

    Returns:
        None if only their inputs differ, whose digests tell nobody anything.
    """
    asked = _differing(old.get("asked", {}), new.get("asked", {}))
    found = _differing(old.get("options", {}), new.get("options", {}))
    if found and typed and not found.keys() & typed.keys():
        found = asked or found  # what differs follows from options that say something else
    if old.get("kind") != new.get("kind"):
        found = asked or {"kind": (old.get("kind"), new.get("kind"))}
    network = _differing(old.get("network", {}), new.get("network", {}))
    if network and not found:
        key = next((key for key in _NETWORK_OPTIONS if key in network), next(iter(network)))
        names = _NETWORK_OPTIONS.get(key, (f"network {key}",))
        name = next((name for name in names if name in asked), names[0])
        found = {name: asked.get(name, network[key])}
    for name, (before, now) in found.items():
        label = (typed or {}).get(name) or "--" + name.replace("_", "-")
        return label if name != "kind" else name, _shown(before), _shown(now)
    return None


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Old and new value of each key whose values differ.

    A key that is set in one only comes last: it often follows from another, as GeM's exponent does
    from the pooling.
    """
    keys = sorted({*old, *new}, key=lambda key: (None in (old.get(key), new.get(key)), key))
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_shown(part) for part in value)
    return "unset" if value is None else str(value)
