"""Whether an artifact that is there is the one that is wanted, and what differs if it isn't."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from rrtool.artifacts.provenance import Provenance, first_difference
from rrtool.artifacts.reader import Artifact, open_artifact
from rrtool.errors import ArtifactError, RrtoolError


def is_as_asked(path: str | Path, asked: Mapping[str, Any]) -> bool:
    """Whether an artifact is there that was asked for in the same words, of the same inputs."""
    if not os.path.isfile(path):
        return False
    try:
        with open_artifact(path) as existing:
            return existing.asked == asked
    except RrtoolError:
        return False


def is_current(path: Path, provenance: Provenance, overwrite: bool) -> bool:
    """Whether the artifact was made with the same options from the same inputs.

    Raises:
        ArtifactError: it was not, or is none, and may not be replaced.
    """
    try:
        existing = open_artifact(path)
    except ArtifactError as error:
        if overwrite and _may_be_ours(path):
            return False
        raise ArtifactError(
            "the output exists and is no artifact that could be replaced",
            where=path,
            found=error.what,
            todo="remove it or choose another -o",
        ) from None
    with existing:
        is_same = existing.identity() == provenance.identity()
        if not is_same and not overwrite:
            raise _made_otherwise(existing, provenance)
        return is_same


def _may_be_ours(path: Path) -> bool:
    """Whether a file that cannot be used was an artifact: a damaged one may be replaced."""
    if not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r", locking=False) as file:
            return "kind" in file.attrs and "format_version" in file.attrs
    except (OSError, RuntimeError, LookupError, ValueError):
        return True  # so damaged that it does not say


def _made_otherwise(existing: Artifact, wanted: Provenance) -> ArtifactError:
    todo = "use --overwrite to replace it, or choose another -o"
    before, now = existing.identity(), wanted.identity()
    asked = {"asked": existing.asked.get("options", {})}, {"asked": wanted.asked.get("options", {})}
    difference = first_difference(before | asked[0], now | asked[1], wanted.typed)
    if difference is not None:
        option, old, new = difference
        what = f"the output exists and was made with another {option}"
        return ArtifactError(what, where=existing.path, expected=new, found=old, todo=todo)
    roles = {*before["inputs"], *now["inputs"]}
    changed = [role for role in roles if before["inputs"].get(role) != now["inputs"].get(role)]
    names = [wanted.typed.get(role.replace("-", "_"), role) for role in sorted(changed)]
    others = f"other {' and '.join(names)}, or they have changed since"
    what = f"the output exists and was made from {others}"
    return ArtifactError(what, where=existing.path, todo=todo)
