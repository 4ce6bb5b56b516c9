"""Shares of a collection: whole parts of it that follow each other, so that they can be joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rrtool.artifacts import Artifact, GraphShare, OverImages, Provenance
from rrtool.errors import ArtifactError, UsageError
from rrtool.stages.over_images import COUNTS, SHARE

# Facts that are of the rows of a share alone.
_OWN = (*COUNTS, SHARE, "centred_on")


def own_parts(
    parts: Sequence[range], share: tuple[int, int], unit: str = "images"
) -> Sequence[range]:
    """The parts of a share, by the number of it and of all.

    Args:
        parts: of all rows.
        unit: what a row is, for the message.

    Raises:
        UsageError: it has none.
    """
    number, n_shares = share
    if n_shares > len(parts):
        raise UsageError(
            f"a share is of {len(parts[0])} {unit} at least",
            where="--shard",
            expected=f"at most {len(parts)} shares of {parts[-1].stop} {unit}",
            found=n_shares,
        )
    first, end = ((number - more) * len(parts) // n_shares for more in (1, 0))
    return parts[first:end]


def share_facts(share: tuple[int, int], parts: Sequence[range], n_rows: int) -> dict[str, Any]:
    """What an artifact says of the share that it is of; nothing of the whole."""
    if share[1] == 1:
        return {}
    return {SHARE: {"first": parts[0].start, "end": parts[-1].stop, "images": n_rows}}


@dataclass(frozen=True)
class Share:
    """An artifact over some rows of a collection.

    Attributes:
        first, end: its rows.
        n_rows: of the collection.
    """

    artifact: Any
    first: int
    end: int
    n_rows: int

    @staticmethod
    def of(artifact: Artifact) -> Share:
        """That which an artifact is.

        Raises:
            ArtifactError: it is none.
        """
        of_images = isinstance(artifact, OverImages)
        is_known = of_images or isinstance(artifact, GraphShare)
        share = artifact.extra.get(SHARE) if is_known else None
        n_own = artifact.lengths.get("n" if of_images else "s")
        if not isinstance(share, dict):
            raise ArtifactError(
                "this is no share", where=artifact.path, expected="what --shard has made",
                found=f"a whole {artifact.kind}",
            )  # fmt: skip
        numbers: list[Any] = [share.get(key) for key in ("first", "end", "images")]
        if not all(type(each) is int for each in numbers) or numbers[1] - numbers[0] != n_own:
            raise artifact.damaged(share, "a share of other rows than it has")
        return Share(artifact, *numbers)

    def made_of(self) -> dict[str, Any]:
        """What all shares have in common."""
        identity = self.artifact.identity()
        facts = {key: fact for key, fact in self.artifact.extra.items() if key not in _OWN}
        options = {key: value for key, value in identity["options"].items() if key != "shard"}
        return {**identity, "options": options, "facts": facts, "rows": self.n_rows}


def require_whole(shares: Sequence[Share]) -> None:
    """Shares, in the order of their rows, must be those of one collection, each once.

    Raises:
        ArtifactError: one is missing, has rows of another, or was made otherwise.
    """
    reached, first = 0, shares[0]
    for share in shares:
        for key, value in first.made_of().items():
            if share.made_of()[key] != value:
                raise ArtifactError(
                    f"this share was made otherwise ({key})", where=share.artifact.path,
                    expected=f"as {first.artifact.path}", todo="make all by the same command",
                )  # fmt: skip
        if share.first != reached:
            what = "a share is missing before this one"
            if share.first < reached:
                what = "another share has some of the rows of this one"
            raise ArtifactError(
                what, where=share.artifact.path, expected=f"rows from {reached}",
                found=f"{share.first} to {share.end - 1}",
            )  # fmt: skip
        reached = share.end
    if reached != first.n_rows:
        raise ArtifactError(
            "the last share is missing", where=shares[-1].artifact.path,
            expected=f"rows up to {first.n_rows - 1}", found=f"up to {reached - 1}",
        )  # fmt: skip


def provenance_of_whole(shares: Sequence[Share], kind: type[Artifact]) -> Provenance:
    """That of one run over all rows."""
    first = shares[0].artifact
    asked = dict(first.asked)
    if "options" in asked:
        asked["options"] = {k: v for k, v in asked["options"].items() if k != "shard"}
    options = shares[0].made_of()["options"]
    return Provenance(kind.KIND, options, first.inputs, first.network, first.device, asked)
