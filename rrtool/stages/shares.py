"""Shares of a collection: whole parts of it that follow each other, so that they can be joined."""

from collections.abc import Sequence
from typing import Any

from rrtool.errors import UsageError
from rrtool.stages.over_images import SHARE


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
