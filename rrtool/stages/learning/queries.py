"""What people label from: ``to_label.csv`` and a contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from rrtool.artifacts import AlState, open_artifact
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.reports.contact_sheet import Card, render_sheet
from rrtool.reports.pictures import Pictures
from rrtool.stages.learning.options import AlCycleOptions
from rrtool.stages.learning.study import Study
from rrtool.stages.reports.text_output import write_text
from rrtool.tables import table_lines

_Show = Callable[[Card], Image.Image | None]
TITLES = ("id", "name", "label", "score", "suggested", "confidence")


@dataclass(frozen=True)
class QueryFiles:
    """Where the list and the sheet go; None writes none."""

    to_label: Path | None
    sheet: Path | None

    @staticmethod
    def of(options: AlCycleOptions) -> QueryFiles:
        """As given; else ``<stem>.to_label.csv`` and ``.html`` beside the output.

        An oracle needs no list, and gets one only where it is asked for. Nobody's labels may be
        lost: a file that is there is only replaced on request.

        Raises:
            UsageError: one is in the way.
        """
        output, labels = Path(options.output), options.labels and Path(options.labels).absolute()
        paths: list[Path | None] = []
        for given, ending in ((options.to_label, ".csv"), (options.sheet, ".html")):
            path = Path(given) if given else None
            if path is None and options.oracle is None:
                path = output.with_suffix(f".to_label{ending}")
            paths.append(path)
            if path is not None and path.absolute() == labels:
                raise UsageError("the list of images to label would replace --labels", where=path)
            if path and path.exists() and not options.overwrite and not output.exists():
                raise UsageError(
                    "the file is there already, and may hold labels", where=path,
                    todo="move it away, use --overwrite, or name another with --to-label, --sheet",
                )  # fmt: skip
        return QueryFiles(*paths)

    def write(
        self, options: AlCycleOptions, study: Study, *, replace: bool, progress: Progress
    ) -> None:
        """Write what is missing, and all of it with ``replace``."""
        wanted = [p for p in (self.to_label, self.sheet) if p and (replace or not p.exists())]
        if not wanted:
            return
        with open_artifact(options.output, AlState) as state:
            cards = _cards(state)
            if self.to_label in wanted:
                write_text(self.to_label, _list_lines(cards, state.acquired_scores.tolist()))
            if self.sheet in wanted:
                show = _pictures(options.images, study, [card.name for card in cards])
                write_text(self.sheet, _sheet(state, cards, show))
        progress.message(f"{len(cards)} images to label: " + " and ".join(map(str, wanted)))


def _cards(state: AlState) -> list[Card]:
    names, class_names, rows = state.names, state.class_names, state.acquired_ids.tolist()
    if AlState.probabilities not in state:
        return [Card(row, names[row], None) for row in rows]
    best, certain = state.probabilities.argmax(axis=1), state.probabilities.max(axis=1)
    return [
        Card(row, names[row], None, class_names[best[row]], float(certain[row])) for row in rows
    ]


def _list_lines(cards: list[Card], scores: list[float]) -> Iterator[str]:
    """The rows of the CSV; its empty column ``label`` is for people to fill in."""
    rows: list[Sequence[object]] = [TITLES]
    for card, score in zip(cards, scores, strict=True):
        confidence = round(card.confidence, 4) if card.suggested else None
        rows.append([card.row, card.name, None, float(f"{score:.6g}"), card.suggested, confidence])
    return table_lines(rows)


def _sheet(state: AlState, cards: list[Card], show: _Show) -> Iterator[str]:
    shown = [Card(c.row, c.name, show(c), c.suggested, c.confidence) for c in cards]
    return render_sheet(
        f"{len(cards)} images to label",
        state.uuid,
        state.class_names,
        shown,
        "Type a class under each image, or click the suggestion; Enter goes on to the next. "
        "Leave out what you cannot tell. Save the labels and give the file to the next cycle: "
        f"rrtool al-cycle IMAGES --state {state.path} --labels labels.csv -o NEXT.h5",
    )


def _pictures(images: str, study: Study, names: list[str]) -> _Show:
    """Photos are shown larger than they are trained on; standard data sets have no more pixels."""
    if names and Path(images).exists():
        pictures = Pictures(images, names)
        return lambda card: pictures.thumbnail(card.name)
    pixels = study.dataset.images
    return lambda card: Image.fromarray(pixels[card.row].squeeze())
