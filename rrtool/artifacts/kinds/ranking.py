"""Rankings of a database for queries: global, verified, or diffused."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

import numpy as np

from rrtool.artifacts.ragged import EncodedTexts
from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column, Texts
from rrtool.errors import UsageError


@dataclass(frozen=True)
class Hit:
    """An entry of a ranking.

    Attributes:
        rank: 1 for the best.
        name: of the image.
        score: what it was ranked by.
        similarity: of the descriptors.
        n_inliers: matches that agree; None where the ranking did not verify it.
        box: x0, y0, x1, y1 of the region of the image that matches best, pixels; None where it is
            not known.
    """

    rank: int
    name: str
    score: float
    similarity: float
    n_inliers: int | None = None
    box: tuple[float, ...] | None = None


BOX = ("x0", "y0", "x1", "y1")
_DESCRIBED: dict[str, type | tuple[type, ...]] = {
    "method": str, "network": dict, "pool": str, "whitening": str, "max_size": (int, type(None)),
    "scales": list, "query_crop": bool, "mode": str,
}  # fmt: skip
_NETWORK = {"name": str, "trained": bool, "weights": str, "weights_digest": str, "upsample": bool}


class Ranking(Artifact):
    """Rankings, from ``search``, ``rerank`` or ``diffuse``."""

    KIND = "ranking"
    FACTS = {"description": dict}
    query_names = Texts("q", "of the queries")
    database_names = Texts("n", "of the database")
    query_boxes = Column("float32", "q 4", "x0, y0, x1, y1 of each query, pixels")
    ids = Column("int32", "q L", "database rows, best first; −1 = none", ids_of="n")
    scores = Column(
        "float32", "q L",
        "what ranks each entry, the similarity where absent; of a diffusion ≤ 0 where it did not "
        "reach",
        optional=True, stand_in="similarities",
    )  # fmt: skip
    similarities = Column("float32", "q L", "of the descriptors")
    hit_boxes = Column(
        "float32", "q b 4",
        "of search on regions: of the first b entries x0, y0, x1, y1 of the region that is most "
        "similar to any of the query, pixels; zero where there is none", optional=True,
    )  # fmt: skip
    n_inliers = Column("int32", "q s", "of rerank: of the first s entries", optional=True)
    n_tentative = Column("int32", "q s", "of rerank: correspondences", optional=True)
    scale_pairs = Column(
        "int8", "q s 2", "of rerank: query scale, database scale; −1 = no match", optional=True
    )
    transforms = Column(
        "float32", "q s 2 3", "of rerank: query cells → database cells", optional=True
    )
    inliers = Column(
        "int32", "m 2", "of rerank: feature of the query image, feature of the database image",
        optional=True,
    )  # fmt: skip
    offsets = Column(
        "int64", "qs+1", "of rerank: inliers of each entry", optional=True, offsets_of="inliers"
    )
    query_digests = Column(
        "uint8", "q 16", "of search --update: BLAKE2b-128 of the descriptors of each query; zero "
        "where there is none", optional=True,
    )  # fmt: skip
    database_digests = Column("uint8", "n 16", "of search --update: likewise", optional=True)
    shortlist_places = Column(
        "int32", "q s", "of rerank --update: where each of the first s entries stood before it, "
        "from 0; −1 = none", optional=True,
    )  # fmt: skip
    verification_digests = Column(
        "uint8", "q 16", "of rerank --update: BLAKE2b-128 of the local features of each query and "
        "of its shortlist, and of their similarities", optional=True,
    )  # fmt: skip
    n_iterations = Column("int32", "q", "of diffuse: of the solver", optional=True)
    residuals = Column("float64", "q", "of diffuse: ‖b − Ax‖/‖b‖", optional=True)

    def described(self) -> dict[str, Any]:
        """How it was made: all that a score of it depends on, but the ground truth.

        Raises:
            ArtifactError: it does not say.
        """
        found = self.extra["description"]
        self.attributes.require("extra", found, _DESCRIBED)
        self.attributes.require("extra", found["network"], _NETWORK)
        return found

    @property
    def is_verified(self) -> bool:
        """Whether it comes from ``rerank``."""
        return Ranking.n_inliers in self

    @property
    def has_boxes(self) -> bool:
        """Whether the first hits say where in the photo they match."""
        return Ranking.hit_boxes in self

    @property
    def n_verified(self) -> int:
        """How many of the first entries of each ranking ``rerank`` verified.

        Raises:
            ArtifactError: more than there are entries.
        """
        n_verified, n_entries = self.lengths.get("s", 0), self.lengths["L"]
        if n_verified > n_entries:
            what = "it verifies more entries than it has"
            raise self.damaged(n_verified, what, f"at most {n_entries}")
        return n_verified

    def hits(self, query: str | int) -> list[Hit]:
        """The ranking of one query, the best first.

        Args:
            query: its name, or its row where a name recurs.

        Raises:
            UsageError: there is no such query.
        """
        return self._hits(self._row(query), self._names)

    @cached_property
    def _names(self) -> EncodedTexts:
        """Of the database; each query shows few of them."""
        return Ranking.database_names.encoded(self)

    def _hits(self, row: int, names: Sequence[str]) -> list[Hit]:
        one = slice(row, row + 1)
        ids = self.read(Ranking.ids, one)[0].tolist()
        scores = self.read(Ranking.scores, one)[0].tolist()
        similarities = self.read(Ranking.similarities, one)[0].tolist()
        inliers = self.read(Ranking.n_inliers, one)[0].tolist() if self.is_verified else []
        found = self.read(Ranking.hit_boxes, one)[0].tolist() if self.has_boxes else []
        boxes = [tuple(box) if any(box) else None for box in found]
        entries = zip_longest(ids, scores, similarities, inliers[: len(ids)], boxes[: len(ids)])
        return [
            Hit(rank, names[id_], *values)
            for rank, (id_, *values) in enumerate(entries, start=1)
            if id_ >= 0
        ]

    def _row(self, query: str | int) -> int:
        names = self.query_names
        if isinstance(query, int) and 0 <= query < len(names):
            return query
        if isinstance(query, str) and query in names:
            return names.index(query)
        known = f"such as {', '.join(names[:3])}"
        raise UsageError(
            "no such query in this ranking", where=self.path, expected=known, found=query
        )

    def rows(self) -> Iterator[Sequence[object]]:
        """One line a hit; see ``Artifact.rows``."""
        titles = "query", "rank", "name", "score", "similarity", "n_inliers"
        yield (*titles, *BOX) if self.has_boxes else titles
        names = self.database_names  # all of them are shown
        for row, query in enumerate(self.query_names):
            for hit in self._hits(row, names):
                similarity = None if math.isnan(hit.similarity) else hit.similarity
                line = query, hit.rank, hit.name, hit.score, similarity, hit.n_inliers
                yield (*line, *(hit.box or [None] * len(BOX))) if self.has_boxes else line

    def ids_before(self) -> np.ndarray:
        """The order before verification ``(q, L)``: by similarity, ties by row, no entry last."""
        ids = self.ids
        keys = np.where(ids < 0, np.inf, -self.similarities.astype(np.float64))
        return np.take_along_axis(ids, np.lexsort((ids, keys), axis=1), axis=1)
