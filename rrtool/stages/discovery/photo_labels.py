"""Labels of photos for ``discover --labels``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rrtool.errors import UsageError
from rrtool.exchange.label_files import read_labels
from rrtool.ground_truth.matching import match_names
from rrtool.progress import Progress


@dataclass(frozen=True)
class PhotoLabels:
    """Classes of some photos of a collection.

    Attributes:
        class_names: in the order of the alphabet.
        labels: ``(n,)`` int32, places in ``class_names``; −1 for photos without one.
    """

    class_names: list[str]
    labels: np.ndarray

    @staticmethod
    def read(path: str, names: list[str], progress: Progress) -> PhotoLabels:
        """Of a file of any form that ``al-cycle --labels`` takes, by the names of the photos.

        Raises:
            UsageError: it cannot be read, labels none of these photos, or one differently twice.
        """
        rows = [row for row in read_labels(path) if row.label and any(row.names)]
        entries = [(name, row) for row in rows for name in row.names if name]
        found: dict[int, str] = {}
        used: set[int] = set()
        for photo, own in enumerate(match_names([name for name, _ in entries], names)):
            said = {entries[place][1].label for place in own}
            if len(said) > 1:
                raise UsageError(
                    "a photo has two labels", where=path,
                    found=f"{' and '.join(sorted(said))} of '{names[photo]}'",
                )  # fmt: skip
            used |= {id(entries[place][1]) for place in own}
            found |= dict.fromkeys([photo] if said else [], next(iter(said), ""))
        if not found:
            raise UsageError(
                "no label is of one of these photos", where=path,
                expected=f"names such as '{names[0]}'" if names else None,
                found=f"'{entries[0][0]}'" if entries else "no names with a label",
            )  # fmt: skip
        if len(used) < len(rows):
            progress.message(f"{path}: {len(rows) - len(used)} labels are of no photo here")
        class_names = sorted(set(found.values()))
        labels = np.full(len(names), -1, dtype=np.int32)
        labels[list(found)] = [class_names.index(label) for label in found.values()]
        return PhotoLabels(class_names, labels)
