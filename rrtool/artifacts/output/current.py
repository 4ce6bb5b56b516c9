"""Whether an artifact that is there is the one that is wanted, and what differs if it isn't."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Standing:
    """How an artifact that is there, or not, stands to the one that is wanted.

    Attributes:
        is_current: it was made with the same options from the same inputs.
        is_update: it was made so from other inputs of those that an update follows.
        digest: of it, where it is one of the two.
        microseconds_a_row: see ``Artifact``; 0 where it does not say.
    """

    is_current: bool = False
    is_update: bool = False
    digest: str = ""
    microseconds_a_row: int = 0


NOT_THERE = Standing()


def standing_of(
    path: Path, provenance: Provenance, *, overwrite: bool = False, update: bool = False
) -> Standing:
    """Compare what is there with what is wanted.

    Raises:
        ArtifactError: it was made otherwise, or is no artifact, and may not be replaced.
    """
    if not os.path.exists(path):
        return NOT_THERE
    try:
        existing = open_artifact(path)
    except ArtifactError as error:
        if overwrite and _may_be_ours(path):
            return NOT_THERE
        raise ArtifactError(
            "the output exists and is no artifact that could be replaced",
            where=path,
            found=error.what,
            todo="remove it or choose another -o",
        ) from None
    with existing:
        before, wanted = existing.identity(), provenance.identity()
        if before == wanted:
            return Standing(True, digest=existing.digest)
        if update and _may_follow(existing, provenance):
            return Standing(False, True, existing.digest, existing.microseconds_a_row)
        if not overwrite:
            raise _made_otherwise(existing, provenance)
        return Standing(microseconds_a_row=existing.microseconds_a_row)


def _may_follow(existing: Artifact, wanted: Provenance) -> bool:
    """Whether an artifact differs in nothing but what an update follows."""
    before, now = (without(each.identity(), wanted.follows) for each in (existing, wanted))
    asked = [each.asked.get("options", {}) for each in (existing, wanted)]
    # An option that was found from the inputs is another one that was given.
    return before == now and all(
        asked[0].get(name) == asked[1].get(name) for name in wanted.follows
    )


def without(identity: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """An identity, or what was asked, but for some inputs and options."""
    parts = {
        part: {name: value for name, value in identity[part].items() if name not in names}
        for part in ("inputs", "options")
    }
    return {**identity, **parts}


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
    if "update" in wanted.typed and _may_follow(existing, wanted):
        todo = f"use --update to keep what has not changed, {todo.removeprefix('use ')}"
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
