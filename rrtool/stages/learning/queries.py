"""What people label from: ``to_label.csv`` and a contact sheet. Nobody's labels are ever lost."""

from __future__ import annotations

import csv
import io
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import numpy as np
from PIL import Image

from rrtool.artifacts import AlState
from rrtool.exchange.labelled import TITLES
from rrtool.files import numbered, open_regular, read_regular, reclaim
from rrtool.progress import Progress
from rrtool.reports.contact_sheet import GENERATOR, Card, LabelSheet
from rrtool.reports.picture_store import side_of
from rrtool.reports.pictures import Pictures
from rrtool.stages.learning.options import AlCycleOptions
from rrtool.stages.learning.study import Study
from rrtool.stages.reports.text_output import is_page, write_text
from rrtool.tables import table_lines

_LARGEST = 1024  # pixels of the longer side of a picture that is zoomed


@dataclass(frozen=True)
class Question:
    """The images that a state asks for.

    Attributes:
        uuid, path: of the state.
        class_names: known so far.
        cards: one an image.
        scores: what each was picked for.
    """

    uuid: str
    path: str
    class_names: Sequence[str]
    cards: list[Card]
    scores: list[float]

    @staticmethod
    def of(state: AlState) -> Question:
        """That of a state that is there."""
        probabilities = state.probabilities if AlState.probabilities in state else None
        rows, names, class_names = state.acquired_ids, state.names, state.class_names
        cards = cards_of(rows, names, class_names, probabilities)
        return Question(state.uuid, state.path, class_names, cards, state.acquired_scores.tolist())

    def lines(self) -> list[str]:
        """The lines of the list, titles first; people fill in its empty column ``label``."""
        rows: list[Sequence[object]] = [TITLES]
        for card, score in zip(self.cards, self.scores, strict=True):
            sure = round(card.confidence, 4) if card.suggested else None
            rows.append([card.row, card.name, None, float(f"{score:.6g}"), card.suggested, sure])
        return list(table_lines(rows))

    def sheet(self, images: str | None) -> LabelSheet:
        """The contact sheet, with the command that takes its labels."""
        labels = f"{Path(self.path).stem}.labels.csv"
        given = shlex.join(["--state", self.path, "--labels", labels])
        command = f"rrtool al-cycle {shlex.quote(images) if images else ''} … {given} -o NEXT.h5"
        return LabelSheet(self.uuid, self.class_names, self.cards, labels, command)


def cards_of(
    rows: np.ndarray,
    names: Sequence[str],
    class_names: Sequence[str],
    probabilities: np.ndarray | None,
) -> list[Card]:
    """One a row, with what the model suggests, if there is one (``(n, c)`` probabilities)."""
    if probabilities is None:
        return [Card(row, names[row]) for row in rows.tolist()]
    best, certain = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return [
        Card(row, names[row], class_names[best[row]], float(certain[row])) for row in rows.tolist()
    ]


class _Standing(Enum):
    """What is under a name that we want."""

    NOTHING = auto()
    OURS = auto()  # this very list or sheet, without labels
    OTHERS = auto()  # that of another state, without labels
    TAKEN = auto()  # somebody's labels, or anything else


@dataclass(frozen=True)
class QueryFiles:
    """The list and the sheet of a run.

    They are written before their state is published, so that where a state is, they are too; a
    state that is up to date has what is missing written again, and what is of another state.
    """

    options: AlCycleOptions
    study: Study
    progress: Progress

    def write(self, question: Question, *, is_new: bool) -> None:
        """Write what is not there yet.

        A list with labels in it, or a file that is not ours, stays as it is: the list of a new
        state gets another name then, that of an old one has been taken up by people.

        Raises:
            WorkFailed: the disk is full or fails.
        """
        lines = question.lines()
        written = [
            *self._write(
                "to_label", lambda path: _standing_list(path, lines), lambda: lines, is_new
            ),
            *self._write(
                "sheet",
                lambda path: _standing_sheet(path, question.uuid),
                lambda: question.sheet(self.options.images).render(self._pictures(question)),
                is_new,
            ),
        ]
        if written:
            text = f"{len(question.cards)} images to label: "
            self.progress.message(text + " and ".join(map(str, written)))

    def _write(
        self,
        name: str,
        look: Callable[[Path], _Standing],
        pieces: Callable[[], Iterable[str]],
        is_new: bool,
    ) -> list[Path]:
        """Write one file if it is wanted and not there yet; what was written."""
        place = self._place(name, look, is_new) if name in self.options.written() else None
        return [] if place is None else [write_text(place, pieces())]

    def _place(self, name: str, look: Callable[[Path], _Standing], is_new: bool) -> Path | None:
        """Where a file of an option is to be written; None where it is there already."""
        wanted = Path(self.options.written()[name])
        reclaim(wanted)
        # Beside the state it is ours to replace; elsewhere only on request.
        may_replace = self.options.overwrite or getattr(self.options, name) is None
        for path in numbered(wanted):
            found = look(path) if os.path.lexists(path) else _Standing.NOTHING
            if found is _Standing.OURS or (found is _Standing.TAKEN and not is_new):
                return None
            if found is _Standing.NOTHING or (found is _Standing.OTHERS and may_replace):
                break
        if path != wanted:
            self.progress.message(f"{wanted} stays as it is, for its labels or for what it is")
        return path

    def _pictures(self, question: Question) -> Callable[[Card], Image.Image | None]:
        """Photos are shown larger than they are trained on; standard data sets are as they are."""
        names = [card.name for card in question.cards]
        if self.options.images is None:  # features alone
            return lambda card: None
        if not (names and Path(self.options.images).exists()):
            pixels = self.study.dataset.images
            return lambda card: Image.fromarray(pixels[card.row].squeeze())
        pictures, side = Pictures(self.options.images, names), side_of(len(names), _LARGEST)

        def show(card: Card) -> Image.Image | None:
            loaded = pictures.load(card.name, side)
            return None if loaded is None else loaded[0]

        return show


def _standing_list(path: Path, lines: Sequence[str]) -> _Standing:
    titles = lines[0].encode()
    try:
        with open_regular(path) as file:
            if file.readline(len(titles)) != titles:
                return _Standing.TAKEN
            rest = file.read().decode("utf-8", "surrogateescape")
        rows = list(csv.reader(io.StringIO(rest, newline=""), strict=True))
    except (OSError, csv.Error):
        return _Standing.TAKEN
    if any(len(row) != len(TITLES) or row[TITLES.index("label")].strip() for row in rows):
        return _Standing.TAKEN
    return _Standing.OURS if rest == "".join(lines[1:]) else _Standing.OTHERS


def _standing_sheet(path: Path, uuid: str) -> _Standing:
    if not is_page(path, GENERATOR):
        return _Standing.TAKEN
    return _Standing.OURS if uuid.encode() in read_regular(path) else _Standing.OTHERS
