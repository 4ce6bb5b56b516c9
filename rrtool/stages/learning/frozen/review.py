"""``<stem>.review.csv``: labels for a second look, to be given back with --labels --relabel."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rrtool.core.learning.few_labels import Suspects
from rrtool.files import numbered, read_regular
from rrtool.progress import Progress
from rrtool.stages.learning.answers import Labeling
from rrtool.stages.reports.text_output import write_text
from rrtool.tables import table_lines

# People fill in ``label``, with what it is.
TITLES = ("id", "name", "label", "labelled as", "suggested", "confidence")


@dataclass(frozen=True)
class Review:
    """Labels and what speaks against some of them."""

    names: Sequence[str]
    labeling: Labeling
    suspects: Suspects

    def lines(self, most: int) -> list[str]:
        """Of the table, titles first, the surest contradictions before others."""
        classes, labels, found = self.labeling.class_names, self.labeling.labels, self.suspects
        rows: list[Sequence[object]] = [TITLES]
        columns = (found.ids, found.labels, found.confidences)
        for row, label, sure in zip(*(each[:most].tolist() for each in columns), strict=True):
            labelled, told = classes[labels[row]], classes[label]
            rows.append([row, self.names[row], None, labelled, told, round(sure, 4)])
        return list(table_lines(rows))


def write_review(state_path: Path, review: Review, most: int, progress: Progress) -> None:
    """Write the list beside the state; a list that is there, perhaps filled in, is never replaced.

    Raises:
        WorkFailed: it cannot be written.
    """
    lines = review.lines(most)
    if len(lines) == 1:
        progress.message("no label looks wrong")
        return
    for path in numbered(state_path.with_suffix(".review.csv")):
        if not os.path.lexists(path):
            write_text(path, lines)
            break
        if _is_as_written(path, lines):
            break
    progress.message(
        f"{len(lines) - 1} labels for a second look: {path}; fill in what is wrong and give it "
        "back with --labels and --relabel"
    )


def _is_as_written(path: Path, lines: Sequence[str]) -> bool:
    try:
        return read_regular(path) == "".join(lines).encode("utf-8", "surrogateescape")
    except OSError:
        return False
