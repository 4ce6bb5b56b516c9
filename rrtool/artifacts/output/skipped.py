"""The list of skipped inputs beside an artifact."""

from collections.abc import Sequence
from pathlib import Path

from rrtool.artifacts.output.storage import write_failures
from rrtool.errors import printable


def write_skipped_list(output: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """``<output stem>.skipped.tsv`` beside the output: name and reason; none if nothing was."""
    path = skipped_list_path(output)
    if not skipped:
        path.unlink(missing_ok=True)
        return
    lines = ["name\treason", *(f"{printable(name)}\t{printable(why)}" for name, why in skipped)]
    temporary = path.with_name(f".{path.name}.tmp")
    with write_failures(output):
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        temporary.replace(path)


def skipped_list_path(output: Path) -> Path:
    return output.with_name(output.stem + ".skipped.tsv")
