"""How good it is and what more labels would bring, in plain sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rrtool.core.learning.learning_curve import Gain, expected_gain

_HARDLY = 0.005


def outlook(
    history: Sequence[dict[str, Any]], n_test: int, n_twice: int, n_next: int
) -> Iterator[str]:
    """Sentences about the last cycle; its expected gain goes into the history.

    Args:
        n_test: held-out images.
        n_twice: of them, how many are learnt from, too.
        n_next: labels that the next cycle brings.
    """
    last = history[-1]
    if last["accuracy"] is not None:
        text = f"accuracy on {n_test} held-out images: {100 * last['accuracy']:.1f} %"
        if n_twice:
            text += f"; {n_twice} of them are learnt from too, so that it is told too high"
        yield text
    gain = gain_of(history, n_next, n_test)
    if gain is not None:
        last["expected_gain"] = asdict(gain)
        yield gain_told(gain, n_next)


def gain_of(history: Sequence[Mapping[str, Any]], n_more: int, n_test: int) -> Gain | None:
    """Of so many more labels, by held-out images, else by held-out labels."""
    points = [(entry["n_labels"], *_judged(entry, n_test)) for entry in history]
    known = [(n, accuracy, judged) for n, accuracy, judged in points if accuracy is not None]
    if not known or known[-1] != points[-1]:
        return None
    n_labels, accuracies, judged = zip(*known, strict=True)
    return expected_gain(n_labels, accuracies, n_labels[-1] + n_more, min(judged))


def _judged(entry: Mapping[str, Any], n_test: int) -> tuple[float | None, int]:
    if entry["accuracy"] is not None:
        return entry["accuracy"], n_test
    held_out = entry.get("held_out")
    return (held_out["accuracy"], held_out["n"]) if held_out else (None, 0)


def gain_told(gain: Gain, n_more: int) -> str:
    """A sentence for people."""
    low, high = (round(100 * max(0.0, share)) for share in (gain.low, gain.high))
    start = f"{n_more} more labels are expected to bring"
    if gain.high < _HARDLY:
        return f"{start} next to nothing: these may be enough"
    if low == high:
        return f"{start} about {high} point{'s' * (high != 1)}"
    return f"{start} {low} to {high} points"
