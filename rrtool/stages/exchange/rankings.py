"""Rankings and their matches in the forms of other programs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from rrtool.artifacts import Ranking
from rrtool.artifacts.foreign.hloc import hloc_bytes
from rrtool.errors import UsageError
from rrtool.exchange.names import list_of
from rrtool.exchange.numpy_files import npy_pieces
from rrtool.exchange.ranked import Entry
from rrtool.exchange.ranking_files import ilias_pieces, pair_of, pairs_pieces
from rrtool.progress import Progress
from rrtool.tables import table_lines

Pieces = Callable[[], Iterable[str | bytes]]
# The files to write, each made when it is asked for.
Files = Mapping[Path, Pieces]
Match = tuple[str, str, np.ndarray]


def files_of_ranking(ranking: Ranking, form: str, output: Path, progress: Progress) -> Files:
    """The files of a ranking, the lists of names first, each made when it is asked for."""
    if form == "csv":
        separator = "\t" if output.suffix.lower() == ".tsv" else ","
        return {output: lambda: table_lines(ranking.rows(), separator)}
    if form == "ranks":
        return {
            output.with_suffix(".names.txt"): lambda: [list_of(ranking.database_names)],
            output.with_suffix(".query-names.txt"): lambda: [list_of(ranking.query_names)],
            output: lambda: npy_pieces(np.ascontiguousarray(ranking.ids.T.astype(np.int64))),
        }
    if form == "pairs":
        return {output: lambda: pairs_pieces(_entries(ranking, ranking.scores))}
    scores = ranking.scores
    if (scores[:, 1:] > scores[:, :-1]).any():
        progress.message("the scores do not fall with the rank, which this form goes by: 1 / rank")
        scores = np.broadcast_to(1 / np.arange(1, scores.shape[1] + 1), scores.shape)
    return {output: lambda: ilias_pieces(_entries(ranking, scores))}


def _entries(ranking: Ranking, scores: np.ndarray) -> Iterator[tuple[str, list[Entry]]]:
    names, ids, similarities = ranking.database_names, ranking.ids, ranking.similarities
    for row, query in enumerate(ranking.query_names):
        columns = (values[row].tolist() for values in (ids, scores, similarities))
        yield (
            query,
            [
                (names[id_], score, similarity)
                for id_, score, similarity in zip(*columns, strict=True)
                if id_ >= 0
            ],
        )


def _matches(ranking: Ranking, progress: Progress) -> list[Match]:
    """Query, image, and ``(m, 2)`` their features that match; each two images once.

    An image is not matched with itself; where two were verified both ways round, the first counts.

    Raises:
        UsageError: the ranking is not verified.
    """
    if not ranking.is_verified:
        raise UsageError(
            "this ranking has no matches", where=ranking.path, expected="a ranking from rerank"
        )
    names, queries = ranking.database_names, ranking.query_names
    shape = len(queries), ranking.n_verified
    ids = ranking.ids[:, : shape[1]]
    bounds, inliers = ranking.offsets, ranking.inliers
    seen: set[frozenset[str]] = set()
    matches, n_left = [], 0
    for place, id_ in enumerate(ids.ravel().tolist()):
        found = inliers[bounds[place] : bounds[place + 1]]
        if id_ < 0 or not len(found):
            continue
        pair = queries[place // shape[1]], names[id_]
        if pair[0] == pair[1] or frozenset(pair) in seen:
            n_left += 1
            continue
        seen.add(frozenset(pair))
        matches.append((*pair, found))
    if n_left:
        progress.message(
            f"{n_left} matches of an image with itself, or of a pair again, are left out"
        )
    return matches


def files_of_matches(ranking: Ranking, form: str, output: Path, progress: Progress) -> Files:
    """The file of a ranking's matches.

    Raises:
        UsageError: the ranking is not verified.
    """
    matches = _matches(ranking, progress)
    if form == "colmap":
        return {output: lambda: _colmap_pieces(matches)}
    return {output: lambda: [hloc_bytes(_match_groups(matches))]}


def _match_groups(matches: Iterable[Match]) -> Iterator[tuple[str, Mapping[str, np.ndarray]]]:
    """The groups of hloc's matches: of each feature of the query one feature of the image.

    Where several match a feature of the query (``--score inliers``), the first counts.
    """
    for query, image, found in matches:
        partners = np.full(int(found[:, 0].max()) + 1, -1, dtype=np.int32)
        partners[found[::-1, 0]] = found[::-1, 1]
        yield (
            f"{query.replace('/', '-')}/{image.replace('/', '-')}",
            {
                "matches0": partners,
                "matching_scores0": (partners >= 0).astype(np.float16),
            },
        )


def _colmap_pieces(matches: Iterable[Match]) -> Iterator[str]:
    """Lines ``query image``, then two numbers of features a line, then an empty one."""
    for query, image, found in matches:
        lines = "".join(f"{first} {second}\n" for first, second in found.tolist())
        yield f"{pair_of(query, image)}\n{lines}\n"
