"""Tuples from the collection itself: no label is read (thesis §6.3.1).

- Links are pairs of neighbours with more inliers than chance gives.
- Groups are communities of the graph of neighbours, joined where two links or more lead from one
  to the other: negatives are never of one group. Connected components of the links would be either
  one of nearly everything, by few wrong links, or many of the same thing, whose photos would be the
  hardest negatives of each other.
- Positives are links within a community whose photos are not nearly identical.
- Hard positives are the same of pairs that no list of neighbours has, but of which a diffusion
  within the community puts one among the best of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rrtool.artifacts import Features, Graph, OutputFile
from rrtool.core.diffusion.mining.communities import communities, joined_groups
from rrtool.core.diffusion.mining.reached import reached
from rrtool.core.diffusion.verified_lists import Chance, Pairs, chance_of
from rrtool.errors import WorkFailed
from rrtool.progress import Progress
from rrtool.stages.diffusion.verify_graph import FEWEST_DRAWN, counted
from rrtool.stages.matching.pairs import PairMatcher
from rrtool.stages.retrieval.descriptors import read_usable
from rrtool.stages.training.mine_options import MineOptions

_CHANCE_PAIRS = 2000  # drawn at most
_PAIRS_AT_ONCE = 4096  # whose descriptors are held


@dataclass(frozen=True)
class Mined:
    """What shows the same thing.

    Attributes:
        groups: ``(n,)`` int32, −1 for what cannot be used.
        columns: of ``Tuples``, beside names and groups.
        facts: that are recorded.
    """

    groups: np.ndarray
    columns: dict[str, np.ndarray]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unlabelled:
    """The collection that is mined; see the module.

    Attributes:
        graph: of the features; a verified one where there is no matcher, and then hard positives
            are not looked for.
    """

    features: Features
    graph: Graph
    matcher: PairMatcher | None
    options: MineOptions

    def mine(self, output: OutputFile, progress: Progress) -> Mined:
        """What shows the same thing; counts of inliers are kept in parts of the output.

        Raises:
            WorkFailed: no two photos match, or all are of one group.
            ArtifactError: the artifacts are damaged.
        """
        output.missing_parts(0)  # those of an interrupted run serve again
        listed = Pairs.of_lists(self.graph.neighbor_ids)
        adjacency, descriptors = self.graph.adjacency(), _Descriptors(self.features, progress)
        parts_of_graph = communities(adjacency, self.options.seed)
        counts, chance, n_parts = self._listed(listed, parts_of_graph, output, progress)
        is_link, is_alike = counts > chance.level, self._are_alike(listed, descriptors)
        # What is nearly identical is never a negative: one such pair joins as two links do.
        joining = np.concatenate([listed.ends[is_link], *2 * [listed.ends[is_alike]]])
        groups = joined_groups(parts_of_graph, joining)
        groups[~descriptors.usable] = -1
        found = [_within(parts_of_graph, listed, counts, is_link & ~is_alike)]
        if self.matcher is not None:
            far = reached(adjacency, parts_of_graph, listed, self.graph.lengths["k"])
            counts, _ = counted(output, n_parts, far.ends, self.matcher, progress, label="mine")
            is_good = (counts > chance.level) & ~self._are_alike(far, descriptors)
            found.append(_within(parts_of_graph, far, counts, is_good))
        facts = {
            "n_listed": len(listed), "n_links": int(is_link.sum()), "n_alike": int(is_alike.sum()),
            "n_pairs": len(found[0][0]), "n_hard": sum(len(ends) for ends, _ in found[1:]),
            **vars(chance),
        }  # fmt: skip
        self._tell(facts, progress)
        if not (groups[groups >= 0] > 0).any():
            what = "all photos are in one group: there are no negatives"
            raise WorkFailed(what, where=self.graph.path, todo="give labels (--groups)")
        return Mined(groups, _columns(found, descriptors), {"mined": facts})

    def _listed(
        self, listed: Pairs, labels: np.ndarray, output: OutputFile, progress: Progress
    ) -> tuple[np.ndarray, Chance, int]:
        """Inliers of each pair of neighbours, what is chance, and how many parts hold counts."""
        if self.matcher is None:
            known = self.graph.extra.get("verification", {})
            self.graph.attributes.require("extra", known, {"level": int, "share": (int, float)})
            chance = Chance(known["level"], known["share"])
            return listed.gathered(self.graph.n_inliers, self.graph.neighbor_ids), chance, 0
        vertices = np.flatnonzero(self.graph.status == 0)
        others = listed.others(vertices, _CHANCE_PAIRS, self.options.seed).ends
        # Of a thing that many photos show, pairs that are drawn from all show it too often.
        others = others[labels[others[:, 0]] != labels[others[:, 1]]]
        ends = np.concatenate([listed.ends, others])
        counts, n_parts = counted(output, 0, ends, self.matcher, progress, label="mine")
        counts, drawn = np.split(counts, [len(listed)])
        if len(listed) and len(drawn) < FEWEST_DRAWN:
            progress.message("these are too few photos to tell what matches from chance")
        return counts, chance_of(counts, drawn, self.options.chance), n_parts

    def _are_alike(self, pairs: Pairs, descriptors: _Descriptors) -> np.ndarray:
        """``(m,)`` bool, pairs that are nearly identical."""
        return descriptors.cosines(pairs.ends) > self.options.alike

    def _tell(self, facts: dict[str, Any], progress: Progress) -> None:
        """What was found.

        Raises:
            WorkFailed: it is nothing.
        """
        share = f"{100 * facts['share']:.0f} %"
        if not facts["n_pairs"] + facts["n_hard"]:
            raise WorkFailed(
                "no two photos are known to show the same thing: there is nothing to learn from",
                where=self.graph.path,
                expected=f"neighbours with more than {facts['level']} inliers",
                found=f"{share} of {facts['n_listed']} pairs match as by chance",
                todo="give labels (--groups), let more be chance (--chance), or detect local "
                "features with a network of finer maps",
            )  # fmt: skip
        hard = f"and {facts['n_hard']} hard ones" if self.matcher else "hard ones need --local"
        progress.message(
            f"{facts['n_links']} of {facts['n_listed']} pairs of neighbours match: more than "
            f"{facts['level']} inliers; {share} of all are chance. {facts['n_pairs']} pairs are "
            f"positives, {hard}"
        )


class _Descriptors:
    """Descriptors of images, and how alike two of them are."""

    def __init__(self, features: Features, progress: Progress) -> None:
        self._vectors, usable = read_usable(features, progress)
        self.usable = usable & self._vectors.any(axis=1)
        self._mean = self._vectors[self.usable].mean(axis=0)

    def similarities(self, pairs: np.ndarray) -> np.ndarray:
        """``(m,)`` float32 inner products."""
        return self._products(pairs, self._vectors)

    def cosines(self, pairs: np.ndarray) -> np.ndarray:
        """``(m,)`` float32, of the descriptors less their mean; 0 where one is the mean."""
        centred = self._vectors - self._mean
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        centred = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
        return self._products(pairs, centred)

    def _products(self, pairs: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        found = np.empty(len(pairs), np.float32)
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            first, second = vectors[pairs[start : start + _PAIRS_AT_ONCE].T]
            found[start : start + _PAIRS_AT_ONCE] = np.einsum("ij,ij->i", first, second)
        return found


def _within(
    labels: np.ndarray, pairs: Pairs, counts: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The ends ``(m, 2)`` and the inliers of the chosen pairs that are of one community."""
    first, second = labels[pairs.ends].T
    kept = chosen & (first == second)
    return pairs.ends[kept], counts[kept]


def _columns(
    found: list[tuple[np.ndarray, np.ndarray]], descriptors: _Descriptors
) -> dict[str, np.ndarray]:
    """Of positives and hard ones, each pair both ways round: either photo is a query."""
    ends = np.concatenate([ends for ends, _ in found])
    counts = np.concatenate([counts for _, counts in found]).astype(np.int32)
    kinds = np.repeat(np.arange(len(found)), [len(ends) for ends, _ in found]).astype(np.uint8)
    scores = descriptors.similarities(ends)
    return {
        "pairs": np.concatenate([ends, ends[:, ::-1]]).astype(np.int32),
        **{
            name: np.concatenate([values, values])
            for name, values in (
                ("pair_scores", scores), ("pair_kinds", kinds), ("n_inliers", counts),
            )
        },
    }  # fmt: skip
