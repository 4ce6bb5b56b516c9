"""Images in memory with what is known of them."""

from dataclasses import dataclass, field, replace

import numpy as np

from rrtool.artifacts import InputRecord


@dataclass(frozen=True)
class Dataset:
    """A set of images to learn from, and perhaps one to measure on.

    Attributes:
        images: ``(n, h, w, c)`` uint8; those that could not be read are zero.
        names: unique.
        labels: ``(n,)`` int32 class of each, −1 = unknown. The file's own: an oracle may look
            them up, training never does.
        class_names: of class 0, 1, …; empty where the source has no classes.
        test_images: ``(m, h, w, c)`` uint8, perhaps none.
        test_labels: ``(m,)`` int32.
        mean, std: ``(c,)`` float32 over all pixels of the good images, 1 = brightest. A constant
            channel has deviation 1.
        mirrored_alike: whether a mirrored image is of the same class; digits are not.
        status: ``(n,)`` uint8, 1 = could not be read; such rows are never learnt from.
        reasons: why, empty for good ones.
        skipped: ``(path, reason)`` of photos that cannot be used and have no row.
        inputs: records for the provenance.
        passed_over: ``(path, reason)`` of what lies beside the photos and is none.
    """

    images: np.ndarray
    names: list[str]
    labels: np.ndarray
    class_names: list[str]
    test_images: np.ndarray
    test_labels: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    mirrored_alike: bool
    status: np.ndarray
    reasons: list[str]
    skipped: list[tuple[str, str]]
    inputs: list[InputRecord]
    passed_over: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    def all_skipped(self) -> list[tuple[str, str]]:
        """``skipped``, and name and reason of the rows that could not be read."""
        failed = np.flatnonzero(self.status)
        return self.skipped + [(self.names[row], self.reasons[row]) for row in failed]

    def only(self, rows: np.ndarray) -> "Dataset":
        """Some of the training images, in this order; the test images stay."""
        images, status = self.images[rows], self.status[rows]
        mean, std = channel_statistics(images, status)
        names, reasons = [self.names[row] for row in rows], [self.reasons[row] for row in rows]
        return replace(
            self, images=images, names=names, labels=self.labels[rows], status=status,
            reasons=reasons, mean=mean, std=std,
        )  # fmt: skip


def channel_statistics(images: np.ndarray, status: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel over the pixels of the good images.

    Exact: from counts of the 256 values.

    Args:
        images: ``(n, h, w, c)`` uint8.
        status: ``(n,)``, 0 = good.

    Returns:
        ``(c,)`` float32 each, 1 = brightest; deviation 1 where all values are equal; mean 0 and
        deviation 1 without good images.
    """
    good = images if not status.any() else images[status == 0]
    values = np.arange(256) / 255.0
    mean, std = np.zeros(images.shape[3]), np.ones(images.shape[3])
    for channel in range(images.shape[3]):
        counts = np.bincount(good[..., channel].ravel(), minlength=256)
        if counts.any():
            mean[channel] = np.average(values, weights=counts)
            variance = np.average((values - mean[channel]) ** 2, weights=counts)
            # Constant up to the rounding of the mean.
            std[channel] = np.sqrt(variance) if np.count_nonzero(counts) > 1 else 1.0
    return mean.astype(np.float32), std.astype(np.float32)
