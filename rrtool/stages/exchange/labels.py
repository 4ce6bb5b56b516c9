"""Labels and lists to label in the forms of other programs."""

from collections.abc import Sequence
from pathlib import Path

from rrtool.artifacts import AlState
from rrtool.exchange import coco, fiftyone, label_studio
from rrtool.exchange.labelled import TITLES, LabelledImage
from rrtool.stages.exchange.rankings import Files
from rrtool.tables import table_lines


def files_of_labels(state: AlState, form: str, output: Path, prefix: str) -> Files:
    """The file of the images that a state asks for and of those that have a label.

    Args:
        prefix: of the addresses of images, for Label Studio.
    """
    images, class_names = images_of(state), state.class_names
    if form == "csv":
        separator = "\t" if output.suffix.lower() == ".tsv" else ","
        return {output: lambda: table_lines([TITLES, *map(_cells, images)], separator)}
    if form == "coco":
        return {output: lambda: coco.labels_pieces(images, class_names)}
    if form == "fiftyone":
        return {output: lambda: fiftyone.labels_pieces(images, class_names)}
    version = f"rrtool {state.uuid[:8]}"
    return {
        output.with_suffix(".xml"): lambda: [label_studio.interface(class_names)],
        output: lambda: label_studio.tasks_pieces(images, prefix, version),
    }


def images_of(state: AlState) -> list[LabelledImage]:
    """The images that are asked for, in their order, then those that have a label."""
    names, class_names, labels = state.names, state.class_names, state.labels
    scores = dict(zip(state.acquired_ids.tolist(), state.acquired_scores.tolist(), strict=True))
    suggested = [("", 0.0)] * len(names)
    if AlState.probabilities in state:
        probabilities = state.probabilities
        best, sure = probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist()
        suggested = [(class_names[label], one) for label, one in zip(best, sure, strict=True)]
    rows = [*scores, *(row for row in (labels >= 0).nonzero()[0].tolist() if row not in scores)]
    return [
        LabelledImage(
            row, names[row], class_names[labels[row]] if labels[row] >= 0 else "",
            scores.get(row), *suggested[row],
        )
        for row in rows
    ]  # fmt: skip


def _cells(image: LabelledImage) -> Sequence[object]:
    score = None if image.score is None else float(f"{image.score:.6g}")
    sure = round(image.confidence, 4) if image.suggested else None
    return image.row, image.name, image.label or None, score, image.suggested, sure
