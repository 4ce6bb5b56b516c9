"""Tuples: what training for retrieval learns from."""

from collections.abc import Iterator, Sequence

import numpy as np

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column, Texts


class Tuples(Artifact):
    """Which photos show the same thing, for ``train``; from ``mine``, or from ``import``."""

    KIND = "tuples"
    FACTS = {"images": str}
    names = Texts("n", "of the images")
    groups = Column(
        "int32", "n", "images of one group are never negatives of each other; −1: an image that "
        "cannot be used", ids_of="n",
    )  # fmt: skip
    pairs = Column(
        "int32", "p 2", "query and positive, both of one group; where there are none, they are "
        "drawn from the groups", ids_of="n",
    )  # fmt: skip
    pair_scores = Column("float32", "p", "similarity of the two descriptors", optional=True)
    pair_kinds = Column(
        "uint8", "p", "0: one lists the other among its neighbours; 1: a hard positive",
        optional=True,
    )  # fmt: skip
    n_inliers = Column("int32", "p", "matches of the two that agree", optional=True)

    @property
    def images(self) -> str:
        """Where the photos were: a folder or a list of them; empty if nobody knows."""
        return self.extra["images"]

    def checked(self) -> tuple[np.ndarray, np.ndarray]:
        """``groups (n,)`` and ``pairs (p, 2)``.

        Raises:
            ArtifactError: a pair is not of two different images of one group.
        """
        groups, pairs = self.groups, self.pairs
        of_pairs = groups[pairs]
        if (pairs < 0).any() or (of_pairs < 0).any():
            raise self.damaged("a pair of an image that cannot be used", "pairs")
        if (pairs[:, 0] == pairs[:, 1]).any() or (of_pairs[:, 0] != of_pairs[:, 1]).any():
            raise self.damaged("a pair that is not of two images of one group", "pairs")
        return groups, pairs

    def rows(self) -> Iterator[Sequence[object]]:
        """One line an image: its name and its group; see ``Artifact.rows``."""
        yield "name", "group"
        yield from zip(self.names, self.groups.tolist(), strict=True)
