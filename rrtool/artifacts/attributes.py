"""The attributes of an artifact, each checked for its type."""

import json
from collections.abc import Mapping
from typing import Any

from rrtool.artifacts.provenance import InputRecord
from rrtool.errors import ArtifactError


class Attributes:
    """The root attributes of a file.

    Raises:
        ArtifactError: one is missing, or is not what it should be.
    """

    def __init__(self, path: str, attributes: Mapping[str, Any]) -> None:
        self._path = path
        self._attributes = attributes

    def __contains__(self, name: str) -> bool:
        return name in self._attributes

    def is_true(self, name: str) -> bool:
        return self._attributes.get(name) is True

    def number(self, name: str) -> int:
        value = self._attributes.get(name)
        if not isinstance(value, int):
            raise self._damaged(name, "a number", "none" if value is None else type(value).__name__)
        return value

    def text(self, name: str) -> str:
        value = self._attributes.get(name)
        if not isinstance(value, str):
            raise self._damaged(name, "a text", "none" if value is None else type(value).__name__)
        return value

    def json(self, name: str, kind: type) -> Any:
        try:
            value = json.loads(self.text(name))
        except (ValueError, RecursionError) as error:
            raise self._damaged(name, "JSON", error) from None
        if not isinstance(value, kind):
            word = "list" if kind is list else "table"
            raise self._damaged(name, f"a JSON {word}", type(value).__name__)
        return value

    def record(self, entry: Any) -> InputRecord:
        fields = ("role", "path", "kind", "uuid", "digest")
        if not isinstance(entry, dict) or not all(isinstance(entry.get(f), str) for f in fields):
            raise self._damaged("inputs", f"texts {', '.join(fields)}", entry)
        return InputRecord(**{field: entry[field] for field in fields})

    def require(
        self, name: str, values: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]]
    ) -> None:
        """What a kind needs of one of its JSON attributes, or of a table in it."""
        if not isinstance(values, Mapping):
            raise self._damaged(name, "a table", type(values).__name__)
        for key, kind in types.items():
            if not isinstance(values.get(key), kind):
                kinds = kind if isinstance(kind, tuple) else (kind,)
                words = " or ".join(each.__name__ for each in kinds)
                raise self._damaged(name, f"{key}: {words}", values.get(key, f"no {key}"))

    def _damaged(self, name: str, expected: str, found: object) -> ArtifactError:
        what, todo = f"damaged artifact: its attributes ({name})", "make it again"
        return ArtifactError(what, where=self._path, expected=expected, found=found, todo=todo)
