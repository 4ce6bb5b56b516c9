"""STAND-IN data, no photos: a million made-up images through search, rerank, scores and diffusion.

Each stage runs as a process of its own; its time and the largest memory it held are printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t
from million_graph import measure_graph
from million_peers import TOP
from million_runs import run_peer, run_stage
from PIL import Image
from timing import print_machine

from rrtool.artifacts import Provenance, Ranking, create, open_artifact
from rrtool.artifacts.checksums import add_checksums
from rrtool.artifacts.kinds import Features, LocalFeaturesFile

NETWORK = {
    "name": "none", "weights": "made", "weights_digest": "", "trained": False, "upsample": False,
}  # fmt: skip
MADE = {"pool": "made", "whitening": "none", "gem_exponent": None, "scales": []}
N_SCALES, N_FEATURES = 3, 480  # of an image: 11.5 kB


def make_vectors(n: int, d: int) -> np.ndarray:
    """Unit vectors in clusters of 20 to 100, block by block, in random order."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 101, n // 20 + 1)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes)[:n])
    centres = rng.standard_normal((labels.max() + 1, d), dtype=np.float32)
    vectors = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, 1 << 16):
        block = labels[start : start + (1 << 16)]
        made = centres[block] + 0.8 * rng.standard_normal((len(block), d), dtype=np.float32)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        vectors[start : start + len(block)] = made
    return vectors


def columns_of_images(n: int) -> dict[str, object]:
    """What all artifacts over images have."""
    return {
        "names": [f"{i}.jpg" for i in range(n)],
        "reasons": [""] * n,
        "status": np.zeros(n, dtype=np.uint8),
        "image_sizes": np.zeros((n, 2), dtype=np.int32),
        "boxes": np.zeros((n, 4), dtype=np.float32),
        "file_signatures": np.zeros((n, 2), dtype=np.int64),
    }


def write_features(path: Path, vectors: np.ndarray) -> None:
    with create(path, Provenance("features", MADE, [], NETWORK)) as target:
        target.publish(Features.columns(**columns_of_images(len(vectors)), descriptors=vectors))


def make_descriptors(folder: Path, n: int, d: int, n_queries: int) -> None:
    """Database and queries: some of its images with noise."""
    vectors = make_vectors(n, d)
    write_features(folder / "database.h5", vectors)
    rng = np.random.default_rng(1)
    queries = vectors[rng.choice(n, n_queries, replace=False)]
    queries += 0.03 * rng.normal(size=queries.shape).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    write_features(folder / "queries.h5", queries)


def make_features(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Local features of one image."""
    channels = rng.integers(0, 512, (N_SCALES, N_FEATURES // N_SCALES)).astype(np.uint16)
    return {
        "means": rng.uniform(0, 60, (N_FEATURES, 2)).astype(np.float32),
        "covariances": np.tile(np.float32([4, 0, 4]), (N_FEATURES, 1)),
        "strengths": rng.uniform(1, 9, N_FEATURES).astype(np.float16),
        "channels": np.sort(channels, axis=1).ravel(),
    }


def write_local(path: Path, role: str, n: int, filled: np.ndarray) -> None:
    """Local features of which only some images are stored: the file has holes, which are zero."""
    rng, facts = np.random.default_rng(2), {"n_scales": N_SCALES, "level_scale": 1.0, "delta": 1}
    empty = {name: values[:0] for name, values in make_features(rng).items()}
    columns = LocalFeaturesFile.columns(
        **columns_of_images(n), **empty,
        map_sizes=np.full((n, N_SCALES, 2), 60, dtype=np.int32),
        offsets=np.zeros(n * N_SCALES + 1, dtype=np.int64),
    )  # fmt: skip
    with create(path, Provenance("local-features", {"role": role}, [], NETWORK)) as target:
        target.publish(columns, extra=facts)
    with open(path, "r+b") as file:
        with h5py.File(file, "r+", libver=("v110", "v110")) as made:
            made["offsets"][:] = np.arange(n * N_SCALES + 1) * (N_FEATURES // N_SCALES)
            for name, values in empty.items():
                del made[name]
                shape = (n * N_FEATURES, *values.shape[1:])
                storage = h5p.create(h5p.DATASET_CREATE)
                storage.set_alloc_time(h5d.ALLOC_TIME_EARLY)
                storage.set_fill_time(h5d.FILL_TIME_NEVER)
                dtype, space = h5t.py_create(values.dtype), h5s.create_simple(shape)
                h5d.create(made.id, name.encode(), dtype, space, storage)
            for row in filled.tolist():
                for name, values in make_features(rng).items():
                    made[name][row * N_FEATURES : (row + 1) * N_FEATURES] = values
        add_checksums(file)


def in_other_process(function: object, *arguments: object) -> None:
    """Call a function whose memory is not to count: a new process begins with its parent's peak."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("making the data failed")


def measure_search(folder: Path, n: int, d: int) -> None:
    print(f"descriptors: {n * d * 4 / 2**30:.2f} GiB", flush=True)
    for _ in range(2):
        run_stage(
            "search", folder / "queries.h5", folder / "database.h5", "-o", folder / "r.h5",
            "--top", TOP, "--overwrite",
        )  # fmt: skip
        run_peer("search", folder)
        (folder / "r.h5").rename(folder / "ranking.h5")
    print(f"ranking: {(folder / 'ranking.h5').stat().st_size / 2**20:.1f} MiB")
    with open_artifact(folder / "ranking.h5", Ranking) as ranking:
        same = (ranking.ids == np.load(folder / "peer-search.npy")).mean()
    print(f"entries where faiss has the same: {100 * same:.3f} %", flush=True)


def make_local(folder: Path, n: int, n_queries: int) -> None:
    with open_artifact(folder / "ranking.h5", Ranking) as ranking:
        filled = np.unique(ranking.ids[:, :100])
    write_local(folder / "local.h5", "database", n, filled)
    write_local(folder / "query-local.h5", "query", n_queries, np.arange(n_queries))


def measure_rerank(folder: Path, n: int, n_queries: int) -> None:
    in_other_process(make_local, folder, n, n_queries)
    print(f"local features: {(folder / 'local.h5').stat().st_size / 2**30:.1f} GiB", flush=True)
    run_stage(
        "rerank", folder / "ranking.h5", "-o", folder / "verified.h5", "--device", "cpu",
        "--query-local", folder / "query-local.h5", "--database-local", folder / "local.h5",
    )  # fmt: skip


def make_photos(folder: Path, n: int) -> None:
    """A photo for every name: one picture under many names, of which a file has 60,000 at most."""
    photos, rng = folder / "photos", np.random.default_rng(3)
    photos.mkdir()
    for i in range(n):
        if i % 60_000 == 0:
            pixels = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            whole = Image.fromarray(pixels).resize((1024, 768), Image.Resampling.BICUBIC)
            whole.save(photos / f"{i}.jpg")
        else:
            os.link(photos / f"{i - i % 60_000}.jpg", photos / f"{i}.jpg")


def make_truth(folder: Path, n: int) -> None:
    """A label for every name, 50 of each."""
    lines = ["name,label", *(f"{i}.jpg,{i % max(1, n // 50)}" for i in range(n))]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_ranking(folder: Path, n: int, n_queries: int) -> None:
    """A ranking of random images, where none was searched."""
    rng = np.random.default_rng(4)
    top = min(TOP, n)
    ids = np.stack([rng.choice(n, top, replace=False) for _ in range(n_queries)]).astype(np.int32)
    similarities = -np.sort(-rng.random((n_queries, top), dtype=np.float32), axis=1)
    columns = Ranking.columns(
        ids=ids, similarities=similarities,
        query_names=[f"{i}.jpg" for i in range(n_queries)],
        database_names=[f"{i}.jpg" for i in range(n)],
        query_boxes=np.zeros((n_queries, 4), dtype=np.float32),
    )  # fmt: skip
    described = {
        "method": "made", "network": NETWORK, "pool": "made", "gem_exponent": None,
        "whitening": "none", "max_size": None, "scales": [], "query_crop": False, "top": TOP,
        "mode": "inductive",
    }  # fmt: skip
    with create(folder / "ranking.h5", Provenance("ranking", {}, [], NETWORK)) as target:
        target.publish(columns, extra={"description": described})


def measure_scores(folder: Path, n: int, n_queries: int) -> None:
    """What reads names alone, and few pictures: evaluate by labels, and the page."""
    if not (folder / "ranking.h5").exists():
        in_other_process(make_ranking, folder, n, n_queries)
    in_other_process(make_photos, folder, n)
    in_other_process(make_truth, folder, n)
    ranking, truth = folder / "ranking.h5", ("--ground-truth", folder / "labels.csv")
    run_stage("evaluate", ranking, *truth, "-o", folder / "scores.h5")
    page = ("--images", folder / "photos", "-o", folder / "page.html")
    run_stage("report", ranking, *page, *truth)
    print(f"page: {(folder / 'page.html').stat().st_size / 2**20:.1f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--queries", type=int, default=70)
    parser.add_argument("--method", default="auto")
    stages = ("search", "rerank", "scores", "graph")
    parser.add_argument("--stages", nargs="+", choices=stages, default=stages)
    parser.add_argument("--folder", type=Path, default=None, help="Where the data may lie.")
    arguments = parser.parse_args()
    n, d, n_queries = arguments.n, arguments.d, arguments.queries
    print(__doc__.splitlines()[0])
    print_machine()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        chosen = arguments.stages
        if set(chosen) - {"scores"}:
            in_other_process(make_descriptors, folder, n, d, n_queries)
            measure_search(folder, n, d)
        if "rerank" in chosen:
            measure_rerank(folder, n, n_queries)
        if "scores" in chosen:
            measure_scores(folder, n, n_queries)
        if "graph" in chosen:
            measure_graph(folder, arguments.method)


if __name__ == "__main__":
    main()
