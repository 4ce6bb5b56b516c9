"""Discovered objects against the labels of their photos and against true boxes (METHODS §13)."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np

from rrtool import ground_truth
from rrtool.artifacts import InputRecord, Objects, source_input
from rrtool.core.evaluation.localization import BOX_RULES, FoundBoxes
from rrtool.ground_truth.boxes import QueryBox, boxes_of_images
from rrtool.ground_truth.groups import PROTOCOL, Groups
from rrtool.progress import Progress
from rrtool.stages.driver import Datasets
from rrtool.stages.evaluation.box_scores import BoxScores
from rrtool.stages.evaluation.options import EvaluateOptions
from rrtool.stages.evaluation.scored import Scored, number

PURE = 0.8
HEAD = 20  # the objects that are looked at first
_COVERAGE_RULE = {"coverage_rule": "share of all images that show an object"}
_LABEL_RULES = {
    "purity_rule": "share of an object's images with its most frequent label, mean over objects, "
    f"or over the first {HEAD}",
    "n_labels_found_rule": f"labels that are the most frequent of an object of purity {PURE:g} or "
    "more",
}


class ObjectScorer:
    """Scores objects by labels (purity), by true boxes (where they are), or by both."""

    kinds = (Objects,)
    role, counted, settings = "objects", ("n", "images"), {"pure": PURE}

    def __init__(self, options: EvaluateOptions, progress: Progress) -> None:
        self._progress, self._is_dry = progress, options.dry_run
        self._groups: Groups | None = None
        self._boxes = options.boxes
        self.inputs: list[InputRecord] = []
        if options.ground_truth is not None:
            self._groups = cast(Groups, ground_truth.load(options.ground_truth, PROTOCOL))
            self.inputs.append(source_input("ground-truth", options.ground_truth))
        if options.boxes is not None:
            self.inputs.append(source_input("boxes", options.boxes))

    def score(self, artifact: Objects) -> list[Scored]:
        """One row.

        Raises:
            RrtoolError: some images have no label, none has a box, or the artifact is damaged.
        """
        names = artifact.names
        labels = self._groups.labels(names) if self._groups else None
        boxes = boxes_of_images(self._boxes, names, self._progress.message) if self._boxes else []
        if self._is_dry:
            return []
        try:
            return [self._scored(artifact, labels, boxes)]
        except ValueError as error:
            raise artifact.damaged(error) from None

    def _scored(
        self, artifact: Objects, labels: list[str] | None, boxes: Sequence[Sequence[QueryBox]]
    ) -> Scored:
        names, images = artifact.names, artifact.images
        found = {"objects": artifact.path, "n_objects": artifact.lengths["o"],
                 "n_sights": len(images),
                 "coverage": number(len(np.unique(images)) / max(len(names), 1))}  # fmt: skip
        values: Datasets = {}
        rules = _COVERAGE_RULE
        if labels is not None:
            purities, summary = _of_labels(artifact, labels)
            found, values = found | summary, {"purities": purities}
            rules = rules | _LABEL_RULES
        if self._boxes:
            scores = _of_boxes(artifact, boxes)
            counts = {"n_images": len(scores.images), "n_boxes": scores.n_true}
            found, values = found | scores.summary() | counts, values | scores.values()
            rules = rules | BOX_RULES
        return Scored(found | {"rules": rules}, values)


def _of_labels(artifact: Objects, labels: list[str]) -> tuple[np.ndarray, dict[str, Any]]:
    """Purity: the share of an object's photos that carry its most frequent label.

    Photos may share more than their label says, so it is a lower bound of what is right. A photo
    without a label shares it with no other.
    """
    images = artifact.images.tolist()
    purities, found = [], set()
    for start, stop in pairwise(artifact.offsets.tolist()):
        counts = Counter(labels[i] for i in images[start:stop] if labels[i])
        label, most = counts.most_common(1)[0] if counts else ("", min(1, stop - start))
        purities.append(most / max(stop - start, 1))
        if counts and purities[-1] >= PURE:
            found.add(label)
    summary = {
        "purity": number(float(np.mean(purities))) if purities else None,
        f"purity_of_{HEAD}": number(float(np.mean(purities[:HEAD]))) if purities else None,
        "n_labels_found": len(found),
        "n_labels": len(set(filter(None, labels))),
    }
    return np.array(purities), summary


def _of_boxes(artifact: Objects, boxes: Sequence[Sequence[QueryBox]]) -> BoxScores:
    """Of the sights in images that have true boxes, by the weights of their objects' edges."""
    images, sights, weights = artifact.images, artifact.boxes, artifact.weights
    found = []
    for row, true in enumerate(boxes):
        if true:
            own, pixels = images == row, np.array([box.box for box in true])
            found.append(FoundBoxes(sights[own], pixels, weights[own]))
    return BoxScores(found)
