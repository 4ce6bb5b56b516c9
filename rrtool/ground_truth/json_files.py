"""JSON that others wrote."""

import json
from pathlib import Path
from typing import Any

from rrtool.errors import UsageError
from rrtool.files import read_regular
from rrtool.tables import decode_text, unreadable


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Raises:
        UsageError: it cannot be read, is no JSON, or names something twice in one table.
    """
    try:
        return json.loads(decode_text(read_regular(path)), object_pairs_hook=_unique)
    except OSError as error:
        raise unreadable(Path(path), error) from None
    except (ValueError, RecursionError) as error:
        raise UsageError("cannot read the JSON", where=path, found=error) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice in one table")
    return found
