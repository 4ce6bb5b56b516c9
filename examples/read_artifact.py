"""Read a ranking with h5py alone: python examples/read_artifact.py RANKING.h5"""

import sys
from itertools import pairwise

import h5py


def texts(group: h5py.Group) -> list[str]:
    """A column of texts: concatenated bytes and offsets."""
    data, offsets = group["bytes"][()].tobytes(), group["offsets"][()]
    return [data[start:stop].decode("utf-8", "replace") for start, stop in pairwise(offsets)]


with h5py.File(sys.argv[1], "r") as ranking:
    queries, database = texts(ranking["query_names"]), texts(ranking["database_names"])
    for query, ids, scores in zip(
        queries, ranking["ids"][:, :3], ranking["scores"][:, :3], strict=True
    ):
        best = ", ".join(f"{database[i]} ({s:.3f})" for i, s in zip(ids, scores, strict=True))
        print(f"{query}: {best}")
