"""How good it is and what more labels would bring, in plain sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rrtool.core.learning.learning_curve import Gain, expected_gain
from rrtool.reports.learning_curves import wilson

_HARDLY = 0.005
# Labels a class from which on those held out in turn say something of other images. They flatter:
# by 9 to 32 points at one or two labels a class of grocery and of logos, by 0 to 6 from three on.
_ENOUGH = 3


def outlook(
    history: Sequence[dict[str, Any]], tested: tuple[int, int], n_next: int, n_classes: int
) -> Iterator[str]:
    """Sentences about the last cycle; its expected gain goes into the history.

    Args:
        tested: held-out images, and how many of them are learnt from, too.
        n_next: labels that the next cycle brings.
    """
    last, (n_test, n_twice) = history[-1], tested
    if last["accuracy"] is not None:
        text = f"accuracy on {n_test} held-out images: {100 * last['accuracy']:.1f} %"
        if last.get("frozen_accuracy") is not None:
            text += f" ({100 * last['frozen_accuracy']:.1f} % before fine-tuning)"
        if n_twice:
            text += f"; {n_twice} of them are learnt from too, so that it is told too high"
        yield text
    elif "held_out" in last:  # on frozen features
        yield estimate_told(*_judged(last, n_test, n_classes))
    gain = gain_of(history, n_next, n_test, n_classes)
    if gain is not None:
        last["expected_gain"] = asdict(gain)
        yield gain_told(gain, n_next) + ("" if n_test else ", by the same estimate")


def estimate_told(accuracy: float | None, n: int) -> str:
    """How good it is where no images are held out, by labels that were held out in turn."""
    if accuracy is None:
        return (
            f"how good it is cannot be told by fewer than {_ENOUGH} labels a class: keep some "
            "images aside for --test"
        )
    low, high = (round(100 * end) for end in wilson(accuracy, n))
    return (
        f"of the {n} labels, held out in turn, about {100 * accuracy:.0f} % are told right (95 %: "
        f"{low} to {high} %); new images are often some points below this estimate, for labelled "
        "ones were picked: --test measures it"
    )


def gain_of(
    history: Sequence[Mapping[str, Any]], n_more: int, n_test: int, n_classes: int
) -> Gain | None:
    """Of so many more labels, by held-out images, else by held-out labels."""
    points = [(entry["n_labels"], *_judged(entry, n_test, n_classes)) for entry in history]
    known = [(n, accuracy, judged) for n, accuracy, judged in points if accuracy is not None]
    if not known or known[-1] != points[-1]:
        return None
    n_labels, accuracies, judged = zip(*known, strict=True)
    return expected_gain(n_labels, accuracies, n_labels[-1] + n_more, min(judged))


def _judged(entry: Mapping[str, Any], n_test: int, n_classes: int) -> tuple[float | None, int]:
    """The accuracy, and by how many images; None where there are too few."""
    if entry["accuracy"] is not None:
        return entry["accuracy"], n_test
    held_out = entry.get("held_out")
    if held_out is None or held_out["n"] < _ENOUGH * n_classes:
        return None, 0
    return held_out["accuracy"], held_out["n"]


def gain_told(gain: Gain, n_more: int) -> str:
    """A sentence for people."""
    low, high = (round(100 * max(0.0, share)) for share in (gain.low, gain.high))
    start = f"{n_more} more labels are expected to bring"
    if gain.high < _HARDLY:
        return f"{start} next to nothing: these may be enough"
    if low == high:
        return f"{start} about {high} point{'s' * (high != 1)}"
    return f"{start} {low} to {high} points"
