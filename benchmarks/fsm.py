"""Spatial matching of one query against 100 images: numba, plain NumPy, torch.

    python benchmarks/fsm.py [--device cuda] [--features 512] [--repeats 5] [--plain-images 10]

All sides match the same images and must return the same inliers. The plain version, the tests'
oracle, is slow: its side runs on ``--plain-images`` of the images, and so does a numba side.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from timing import compare, print_machine, tell_goal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rrtool.core.matching.correspondences import prepare
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import Matches, MatchingOptions, match
from tests.core.matching.plain_fsm import match_plain

MAP_SIZES = (64, 45, 32)  # cells, three scales


def make_features(
    n_images: int, n_features: int, n_channels: int, rng: np.random.Generator
) -> LocalFeatures:
    """Random images: some channels fire everywhere, and each image has favourites of its own."""
    popularity = rng.gamma(0.6, size=n_channels)
    channels, means, factors, sizes = [], [], [], []
    for _ in range(n_images):
        chances = popularity * rng.gamma(0.5, size=n_channels) + 1e-9
        for map_size in MAP_SIZES:
            n = n_features // len(MAP_SIZES)
            channels.append(
                np.sort(rng.choice(n_channels, n, p=chances / chances.sum())).astype(np.int32)
            )
            means.append(rng.uniform(0, map_size, (n, 2)).astype(np.float32))
            factors.append(np.stack([*rng.uniform(0.5, 3, (2, n)), rng.normal(0, 0.5, n)], axis=1))
            sizes.append(n)
    l11, l22, l21 = np.concatenate(factors).T
    covariances = np.stack([l11 * l11, l11 * l21, l21 * l21 + l22 * l22], axis=1)
    return LocalFeatures(
        np.concatenate(means),
        covariances.astype(np.float32),
        np.ones(sum(sizes), np.float32),
        np.concatenate(channels),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        len(MAP_SIZES),
    )


def plant_query(database: LocalFeatures, rng: np.random.Generator) -> LocalFeatures:
    """The database's image 0, moved and scaled, with half of its features elsewhere."""
    rows = slice(0, int(database.offsets[database.n_scales]))
    means = database.means[rows] * np.float32(0.9) + np.float32(2.0)
    lost = rng.random(len(means)) < 0.5
    means[lost] = rng.uniform(0, 40, (int(lost.sum()), 2))
    return LocalFeatures(
        means,
        database.covariances[rows] * np.float32(0.81),
        database.strengths[rows],
        database.channels[rows],
        database.offsets[: database.n_scales + 1],
        database.n_scales,
    )


def check_plain(matches: Matches, plain: list[dict]) -> None:
    """Stop unless the plain version found the same inliers."""
    for i, expected in enumerate(plain):
        lo, hi = matches.inlier_offsets[i : i + 2]
        if [tuple(pair) for pair in matches.inliers[lo:hi].tolist()] != expected["inliers"]:
            raise SystemExit(f"candidate {i}: the plain version finds other inliers")


def check_torch(matches: Matches, other: Matches) -> None:
    """Stop unless torch found the same inliers and transforms."""
    same = np.array_equal(matches.inliers, other.inliers) and np.array_equal(
        matches.scale_pairs, other.scale_pairs
    )
    if not (same and np.allclose(matches.M_1to2, other.M_1to2, atol=1e-9, equal_nan=True)):
        raise SystemExit("torch finds other inliers than numba")
    same_bits = np.array_equal(matches.M_1to2, other.M_1to2, equal_nan=True)
    print(f"torch: same inliers; transforms {'bit by bit' if same_bits else 'to 1e-9'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="of the torch version; empty: without it")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--features", type=int, default=512, help="per image, over 3 scales")
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plain-images", type=int, default=10, help="0: leave the plain side out")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    database = make_features(arguments.images, arguments.features, arguments.channels, rng)
    query = plant_query(database, rng)
    candidates = np.arange(arguments.images)
    candidates[: arguments.images // 5] = 0  # a fifth of the candidates are true matches
    few = candidates[:: max(1, arguments.images // max(1, arguments.plain_images))]
    few = few[: arguments.plain_images]
    options = MatchingOptions()

    print_machine()
    matches = match(query, 0, database, candidates, options)
    n_correspondences = prepare(query, 0, database, candidates).correspondences.offsets[-1]
    print(
        f"{arguments.images} images x 9 scale pairs, {arguments.features} features an image, "
        f"{n_correspondences / len(candidates):.0f} correspondences an image; "
        f"{matches.n_inliers[0]} inliers on a true match, {matches.n_inliers[-1]} on a false one"
    )
    if len(few):
        plain = match_plain(query, 0, database, few, options)
        check_plain(match(query, 0, database, few, options), plain)
        sides = {
            f"numba, {len(few)} images": lambda: match(query, 0, database, few, options),
            f"plain, {len(few)} images": lambda: match_plain(query, 0, database, few, options),
        }
        compare(sides, min(arguments.repeats, 3))
    sides = {"numba": lambda: match(query, 0, database, candidates, options)}
    if arguments.device:
        from rrtool.core.matching import spatial_matching_torch

        def on_device() -> Matches:
            return spatial_matching_torch.match(
                query, 0, database, candidates, options, device=arguments.device
            )

        check_torch(matches, on_device())
        sides[f"torch, {arguments.device}"] = on_device
    timings = compare(sides, arguments.repeats)
    if arguments.device:
        ours, other = timings.values()
        what = f"spatial matching of {arguments.images} images against torch on {arguments.device}"
        tell_goal(what, other.over(ours), least=1)


if __name__ == "__main__":
    main()
