"""What figures are made from: artifacts of many kinds, photos, and the truth about them."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TypeVar

from rrtool import ground_truth
from rrtool.artifacts import Artifact, OverImages, Ranking, Regions, open_any
from rrtool.core.evaluation.evaluation import QueryGroundTruth
from rrtool.errors import UsageError
from rrtool.ground_truth.boxes import QueryBox, boxes_of_images
from rrtool.ground_truth.groups import Groups
from rrtool.reports.pictures import Pictures
from rrtool.stages.reports.options import ReportOptions

A = TypeVar("A", bound=Artifact)


class Missing(Exception):
    """A figure cannot be made of what is given; its text is what it lacks."""


class Given:
    """The artifacts by kind, in the order given; of those that serve alike the first counts.

    Args:
        options: name them.
        stack: closes them.
    """

    def __init__(self, options: ReportOptions, stack: ExitStack) -> None:
        self._options = options
        self._artifacts = [stack.enter_context(open_any(path)) for path in options.artifacts]

    def all(self, kind: type[A]) -> list[A]:
        """Those of a kind."""
        return [each for each in self._artifacts if isinstance(each, kind)]

    def first(self, kind: type[A], lacks: str, fits: Callable[[A], bool] = lambda a: True) -> A:
        """The first of a kind that fits.

        Args:
            lacks: what is missing where there is none, in words.

        Raises:
            Missing: there is none.
        """
        for each in self.all(kind):
            if fits(each):
                return each
        raise Missing(lacks)

    @property
    def salient_regions(self) -> Regions:
        """The regions of feature saliency, with their maps."""
        return self.first(
            Regions, "regions with maps, from saliency fs --keep-maps",
            lambda regions: regions.has_maps,
        )  # fmt: skip

    def made_from(self, artifact: Artifact, role: str, kind: type[A]) -> A | None:
        """An input of an artifact; None if it is not among those given."""
        digest = artifact.input(role).digest
        return next((each for each in self.all(kind) if each.digest == digest), None)

    @cached_property
    def pictures(self) -> Pictures:
        """The photos.

        Raises:
            Missing: there are none.
        """
        if self._options.images is None:
            raise Missing("the photos, with --images")
        names = [name for each in self.all(OverImages) for name in each.names]
        return Pictures(self._options.images, names)

    @cached_property
    def _truth(self) -> ground_truth.GroundTruthSource:
        if self._options.ground_truth is None:
            raise Missing("the truth about the photos, with --ground-truth")
        return ground_truth.load(self._options.ground_truth)

    def truth(self, ranking: Ranking) -> dict[str, Sequence[QueryGroundTruth]]:
        """What each query of a ranking should find, by setup of the protocol."""
        names = ranking.query_names, ranking.database_names
        return dict(ground_truth.resolve(self._truth, *names, ranking.query_boxes))

    @property
    def has_boxes(self) -> bool:
        """Whether there are true boxes."""
        return self._options.boxes is not None

    def boxes(self, names: Sequence[str]) -> list[list[QueryBox]]:
        """The true boxes of each photo.

        Raises:
            Missing: there are none.
        """
        if self._options.boxes is None:
            raise Missing("true boxes, with --boxes")
        return boxes_of_images(self._options.boxes, names)

    def photo(self, artifact: OverImages) -> int:
        """The row of the photo that figures of one photo show.

        Raises:
            UsageError: the artifact has not the one that is asked for.
        """
        good = [row for row, status in enumerate(artifact.status.tolist()) if status == 0]
        if self._options.photo is not None:
            if self._options.photo not in artifact.names:
                raise UsageError(
                    "no such photo", where=artifact.path, found=self._options.photo,
                    expected=f"such as {', '.join(artifact.names[:3])}",
                )  # fmt: skip
            return artifact.names.index(self._options.photo)
        if self.has_boxes:  # one that shows an object
            boxes = self.boxes(artifact.names)
            good = [row for row in good if boxes[row]] or good
        if not good:
            raise Missing("a photo that could be read")
        return good[0]

    def views(self, artifact: OverImages, most: int) -> list[int]:
        """Rows of photos that show the same object, by their groups those of ``photo``.

        By another ground truth, they are what the first query of a ranking should find.

        Raises:
            Missing: nothing tells which they are.
        """
        names = artifact.names
        if isinstance(self._truth, Groups):
            row = self.photo(artifact)
            labels = self._truth.labels(names)
            rows = [row] + [
                i for i, label in enumerate(labels) if label == labels[row] and i != row
            ]
        else:
            ranking = self.first(Ranking, "a ranking of the benchmark's queries")
            setups = self.truth(ranking)
            queries = setups[chosen_setup(list(setups))]
            right = next((query.positives for query in queries if len(query.positives) > 1), ())
            database = ranking.database_names
            rows = [names.index(database[i]) for i in right if database[i] in names]
        rows = [row for row in rows if artifact.status[row] == 0]
        if len(rows) < 2:
            raise Missing("two photos of the same object; one of them may be named by --photo")
        return rows[:most]


def chosen_setup(setups: Sequence[str]) -> str:
    """The setup that a figure of one setup shows."""
    return "medium" if "medium" in setups else next(iter(setups))
