"""Regions from images, and regional diffusion, through the command line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import rrtool as api
from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Ranking, Regions, open_any
from rrtool.core.retrieval.pooling import gem, rmac_regions
from rrtool.networks import load_network
from rrtool.stages.retrieval import descriptors
from rrtool.stages.retrieval.regions import search_regions
from tests.stages.made_maps import network_maps, write_as_before
from tests.tiny import (
    assert_done,
    assert_fails,
    digest_of,
    extract,
    make_pictures,
    picture,
    rrtool,
)

NETWORK_OPTIONS = ("--network", "squeezenet1_1", "--weights", "none")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Regions, features and maps of ten pictures, one of which is no picture."""
    folder = tmp_path_factory.mktemp("regions")
    make_pictures(folder / "photos", 9)
    (folder / "photos" / "bad.png").write_bytes(b"no picture")
    assert extract(folder / "photos", folder / "r.h5", "--regions", 2).exit_code == 3
    result = extract(folder / "photos", folder / "f.h5", "--save-maps", folder / "m.h5")
    assert result.exit_code == 3
    write_as_before(folder / "m.h5", folder / "m.h5", network_maps(folder / "photos"))
    assert_done(rrtool("build-graph", folder / "r.h5", "-o", folder / "g.h5", "--k", 6))
    return folder


def test_regions_are_the_pooled_parts_of_the_maps(made: Path) -> None:
    with open_artifact(made / "r.h5", Regions) as regions, open_any(made / "m.h5") as maps:
        offsets, vectors = regions.offsets, regions.descriptors
        boxes, names = regions.region_boxes, regions.names
        width, height = maps.map_sizes[0, 0].tolist()
        start, stop = maps.offsets[:2].tolist()
        activations = torch.from_numpy(maps.activations[start:stop])
        activations = activations.reshape(1, -1, height, width)
        places = list(dict.fromkeys(rmac_regions(height, width, 2)))
        assert offsets[1] == len(places) > 2
        for row, (x, y, w, h) in enumerate(places):
            expected = gem(activations[..., y : y + h, x : x + w])[0].numpy()
            expected /= np.linalg.norm(expected)
            np.testing.assert_allclose(vectors[row], expected, atol=1e-5)
            share = np.array([x / width, y / height, (x + w) / width, (y + h) / height])
            np.testing.assert_allclose(boxes[row], share * [72, 64, 72, 64], atol=1e-4)
        bad = names.index("bad.png")
        assert offsets[bad] == offsets[bad + 1]


def test_whole_image_region_is_the_global_descriptor(made: Path) -> None:
    with open_any(made / "r.h5") as regions, open_any(made / "f.h5") as features:
        first = regions.offsets[:-1][features.status == 0]
        whole = regions.descriptors[first]
        good = features.descriptors[features.status == 0]
        np.testing.assert_allclose(whole, good, atol=1e-5)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def test_rmac_whitens_its_regions_before_they_are_added_up(made: Path, tmp_path: Path) -> None:
    assert extract(made / "photos", tmp_path / "mac.h5", "--pool", "mac").exit_code == 3
    assert_done(
        rrtool("whiten", "fit", tmp_path / "mac.h5", "--method", "pca", "--dim", 5,
               "-o", tmp_path / "w.h5")
    )  # fmt: skip
    options = ("--pool", "rmac", "--region-whitening", tmp_path / "w.h5")
    assert extract(made / "photos", tmp_path / "r.h5", *options).exit_code == 3
    with (
        open_any(tmp_path / "r.h5") as found,
        open_any(tmp_path / "w.h5") as whitening,
        open_any(made / "m.h5") as maps,
    ):
        assert found.options["whitening"].endswith(" of regions")
        assert found.input("region-whitening").digest == whitening.digest
        mean, projection = whitening.mean.astype(float), whitening.projection.astype(float)
        offsets, flat = maps.offsets, maps.activations
        for row in np.flatnonzero(found.status == 0):
            width, height = maps.map_sizes[row, 0].tolist()
            grid = flat[offsets[row] : offsets[row + 1]].reshape(-1, height, width).astype(float)
            places = rmac_regions(height, width, 3 if min(height, width) > 1 else 1)
            regions = np.array(
                [grid[:, y : y + h, x : x + w].max(axis=(1, 2)) for x, y, w, h in places]
            )
            whitened = unit((unit(regions) - mean) @ projection.T)
            whitened[~regions.any(axis=1)] = 0
            np.testing.assert_allclose(
                found.descriptors[row], unit(whitened.sum(axis=0)), atol=2e-5
            )
    again = rrtool("whiten", "apply", tmp_path / "r.h5", tmp_path / "w.h5", "-o", tmp_path / "x.h5")
    assert_fails(again, 4, "whitened already")


@pytest.mark.parametrize(
    ("options", "code", "texts"),
    [
        ((), 2, ("--pool rmac", "gem")),
        (("--pool", "rmac"), 4, ("not for regions of R-MAC", "--pool gem")),
        (("--pool", "rmac", "--regions", 3), 2, ("whiten apply",)),
        (("--pool", "rmac", "--whitening", "some"), 2, ("do not go together",)),
    ],
)
def test_region_whitening_that_does_not_fit_is_refused(
    made: Path, tmp_path: Path, options: tuple[object, ...], code: int, texts: tuple[str, ...]
) -> None:
    made_of_gem = made / "w.h5"
    if not made_of_gem.exists():
        fit = rrtool("whiten", "fit", made / "f.h5", "--method", "pca", "-o", made_of_gem)
        assert_done(fit)
    found = extract(made / "photos", tmp_path / "r.h5", "--region-whitening", made_of_gem, *options)
    assert_fails(found, code, *texts)


def diffuse(made: Path, queries: str, output: Path, *options: object):
    return rrtool(
        "diffuse", "--graph", made / "g.h5", "--queries", made / queries,
        "--database", made / "r.h5", "-o", output, *options,
    )  # fmt: skip


def test_graph_of_regions_has_as_many_neighbors_as_the_images_bear(
    made: Path, tmp_path: Path
) -> None:
    # 2√10, where a fortieth of the regions would be fewer, and k counts for the seeds too.
    assert_done(rrtool("build-graph", made / "r.h5", "-o", tmp_path / "g.h5"))
    with open_any(tmp_path / "g.h5") as graph:
        assert graph.options["k"] == 6
    many = rrtool("build-graph", made / "r.h5", "-o", tmp_path / "m.h5", "--k", 13)
    assert_done(many)
    assert "k = 13 neighbours are many for 10 images" in many.stderr


@pytest.mark.parametrize("queries", ["f.h5", "r.h5"])
@pytest.mark.parametrize("options", [(), ("--truncate", 1000), ("--top", 4)])
def test_regional_diffusion_ranks_images_once_each(
    made: Path, tmp_path: Path, queries: str, options: tuple[object, ...]
) -> None:
    assert_done(diffuse(made, queries, tmp_path / "d.h5", *options))
    with open_artifact(tmp_path / "d.h5", Ranking) as ranking:
        ids, names = ranking.ids, ranking.database_names
        good = [row for row, name in enumerate(names) if name != "bad.png"]
        assert ids.shape == (10, 4 if options == ("--top", 4) else 9)
        assert all(set(row) <= set(good) for row in ids[good].tolist())
        similarities = ranking.similarities
        own = (ids == np.arange(10)[:, None]) & (ids >= 0)
        np.testing.assert_allclose(similarities[own], 1, atol=1e-5)
        assert (ids[names.index("bad.png")] == -1).all()
        assert all(len(set(row)) == len(row) for row in ids[good].tolist())
        assert ranking.extra["description"]["method"] == "R-Match + D"


def test_regional_diffusion_equals_a_dense_solve(made: Path, tmp_path: Path) -> None:
    options = ("--kq", 3, "--max-iter", 500)
    assert_done(diffuse(made, "r.h5", tmp_path / "d.h5", *options))
    with (
        open_any(made / "r.h5") as regions,
        open_any(made / "g.h5") as graph,
        open_any(tmp_path / "d.h5") as ranking,
    ):
        vectors = regions.descriptors.astype(np.float64)
        offsets = regions.offsets
        n = len(vectors)
        adjacency = np.zeros((n, n))
        rows = np.repeat(np.arange(n), np.diff(graph.indptr))
        adjacency[rows, graph.indices] = graph.weights
        ids, scores = ranking.ids, ranking.scores
    degrees = adjacency.sum(axis=1)
    scale = np.where(degrees > 0, 1 / np.sqrt(np.maximum(degrees, 1e-12)), 0)
    laplacian = np.eye(n) - 0.99 * scale[:, None] * adjacency * scale
    query = 4
    g = np.zeros(n)
    for vector in vectors[offsets[query] : offsets[query + 1]]:
        similarities = vectors @ vector
        nearest = np.argsort(-similarities, kind="stable")[:3]
        g[nearest] += np.maximum(similarities[nearest], 0) ** 3
    f = np.linalg.solve(laplacian, 0.01 * g)
    expected = []
    for first, last in pairwise(offsets):
        phi = vectors[first:last]
        weights = np.linalg.solve(phi @ phi.T + np.eye(last - first), np.ones(last - first))
        expected.append(weights @ f[first:last])
    np.testing.assert_allclose(scores[query], np.array(expected)[ids[query]], rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("queries", ["f.h5", "r.h5"])
def test_search_of_regions_is_cross_matching(made: Path, tmp_path: Path, queries: str) -> None:
    assert_done(rrtool("search", made / queries, made / "r.h5", "-o", tmp_path / "s.h5"))
    with open_any(made / "r.h5") as regions, open_any(made / queries) as asked:
        vectors, offsets = regions.descriptors, regions.offsets
        own = asked.descriptors
        starts = asked.offsets if isinstance(asked, Regions) else np.arange(len(own) + 1)
    with open_artifact(tmp_path / "s.h5", Ranking) as ranking:
        ids, similarities = ranking.ids, ranking.similarities
        assert ranking.extra["description"]["method"] == "R-Match"
    for query in (0, 5):
        expected = {}
        for image, (first, last) in enumerate(pairwise(offsets)):
            if last > first:
                products = own[starts[query] : starts[query + 1]] @ vectors[first:last].T
                expected[image] = float(products.max(axis=1).mean())
        order = sorted(expected, key=lambda image: (-expected[image], image))
        assert ids[query].tolist() == order
        found = [expected[image] for image in order]
        np.testing.assert_allclose(similarities[query], found, atol=1e-6)
    result = rrtool("search", made / "r.h5", made / "r.h5", "-o", tmp_path / "x.h5", "--expand", 2)
    assert_fails(result, 2, "--expand")


def test_hits_of_regions_come_with_the_box_that_is_most_alike(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_regions, "N_BOXES", 4)
    path = api.search(made / "r.h5", made / "r.h5", tmp_path / "s.h5")
    with open_artifact(made / "r.h5", Regions) as regions:
        vectors, boxes, offsets = regions.descriptors, regions.region_boxes, regions.offsets
        bad = regions.names.index("bad.png")
    with open_artifact(path, Ranking) as ranking:
        ids, found, table = ranking.ids, ranking.hit_boxes, list(ranking.rows())
        assert found.shape == (10, 4, 4)
        assert not found[bad].any()
        hits = ranking.hits(0)
    for query, place in np.ndindex(10, 4):
        if query != bad:
            own, its = (slice(*offsets[row : row + 2]) for row in (query, ids[query, place]))
            best = (vectors[own] @ vectors[its].T).max(axis=0)
            chosen = (boxes[its] == found[query, place]).all(axis=1)
            assert best[chosen].max() >= best.max() - 1e-6  # copies are alike everywhere
    assert hits[3].box == tuple(found[0, 3].tolist())
    assert hits[4].box is None
    assert table[0][-4:] == ("x0", "y0", "x1", "y1")
    assert table[1][-4:] == tuple(found[0, 0].tolist())
    assert table[5][-4:] == (None,) * 4


def test_search_of_regions_in_blocks_is_the_same(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = api.search(made / "r.h5", made / "r.h5", tmp_path / "whole.h5")
    monkeypatch.setattr(descriptors, "ROWS_PER_BLOCK", 5)
    monkeypatch.setattr(search_regions, "BLOCK_BYTES", 64)
    monkeypatch.setattr(search_regions, "GROUP_BYTES", 600)
    parts = api.search(made / "r.h5", made / "r.h5", tmp_path / "parts.h5")
    with open_artifact(whole, Ranking) as first, open_artifact(parts, Ranking) as second:
        np.testing.assert_array_equal(first.ids, second.ids)
        np.testing.assert_allclose(first.similarities, second.similarities, atol=1e-6)
        np.testing.assert_array_equal(first.hit_boxes, second.hit_boxes)


def test_search_regional_asks_for_regions_on_both_sides(made: Path, tmp_path: Path) -> None:
    pair = (made / "r.h5", made / "r.h5")
    assert_done(rrtool("search", *pair, "-o", tmp_path / "plain.h5"))
    assert_done(rrtool("search", *pair, "-o", tmp_path / "regional.h5", "--regional"))
    assert digest_of(tmp_path / "regional.h5") == digest_of(tmp_path / "plain.h5")
    for queries, database in (("f.h5", "r.h5"), ("r.h5", "f.h5"), ("f.h5", "f.h5")):
        result = rrtool(
            "search", made / queries, made / database, "--regional", "-o", tmp_path / "x.h5"
        )
        assert_fails(result, 4, "--regional", "expected regions, found features", "f.h5")


def test_ranking_says_how_many_vectors_an_image_has(made: Path, tmp_path: Path) -> None:
    names = {"f.h5": (1, "whole images"), "r.h5": (None, "uniform, 2 levels")}
    with open_any(made / "r.h5") as regions:
        n_regions = regions.descriptors.shape[0] / 9
    for database, (n_vectors, what) in names.items():
        output = tmp_path / f"s-{database}"
        assert_done(rrtool("search", made / "f.h5", made / database, "-o", output))
        with open_any(output) as ranking:
            description = ranking.extra["description"]
            assert description["vectors_per_image"] == (n_vectors or n_regions)
            assert description["described_by"] == what
    table = rrtool(
        "evaluate", *sorted(tmp_path.glob("s-*.h5")), "--ground-truth", "prefix:(..)"
    ).stdout  # fmt: skip
    assert f"{n_regions:.3g}" in table


def test_whiten_apply_whitens_every_region(made: Path, tmp_path: Path) -> None:
    fit = rrtool("whiten", "fit", made / "f.h5", "--method", "pca", "-o", tmp_path / "w.h5", "-q")
    assert_done(fit)
    result = rrtool("whiten", "apply", made / "r.h5", tmp_path / "w.h5", "-o", tmp_path / "rw.h5")
    assert_done(result)
    with (
        open_any(made / "r.h5") as plain,
        open_artifact(tmp_path / "rw.h5", Regions) as whitened,
        open_any(tmp_path / "w.h5") as learned,
    ):
        mean, projection = learned.mean, learned.projection
        expected = (plain.descriptors - mean) @ projection.T
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(whitened.descriptors, expected, atol=1e-5)
        np.testing.assert_array_equal(whitened.offsets, plain.offsets)


def test_regions_bad_input(made: Path, tmp_path: Path) -> None:
    bad = extract(made / "photos", tmp_path / "x.h5", "--regions", 0)
    assert_fails(bad, 2, "--regions", "1 to 10")
    assert_fails(diffuse(made, "f.h5", tmp_path / "x.h5", "--transductive"), 2, "--transductive")
    other = rrtool("build-graph", made / "f.h5", "-o", tmp_path / "g.h5", "--k", 3, "-q")
    assert_done(other)
    result = rrtool(
        "diffuse", "--graph", tmp_path / "g.h5", "--queries", made / "f.h5",
        "--database", made / "r.h5", "-o", tmp_path / "x.h5",
    )  # fmt: skip
    assert_fails(result, 4, "the graph is of other features")


def test_regions_of_a_picture_too_small_for_one_scale(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    picture(0).save(photos / "a.png")
    Image.new("RGB", (20, 18), "red").save(photos / "b.png")
    result = extract(photos, tmp_path / "r.h5", "--regions", 1, "--scales", "1,0.5")
    assert result.exit_code in (0, 3)
    with open_any(tmp_path / "r.h5") as regions:
        counts = np.diff(regions.offsets)
        assert counts[0] > counts[1]
        assert len(regions.region_scales) == counts.sum()


def test_zoomed_regions_are_the_network_on_each_alone(made: Path, tmp_path: Path) -> None:
    photos = made / "photos"
    options = (*NETWORK_OPTIONS, "--max-size", 96, "--device", "cpu", "--engine", "torch")
    result = rrtool(
        "extract", photos, "-o", tmp_path / "z.h5", *options, "--regions", 2, "--zoom", 80
    )
    assert result.exit_code == 3
    network = load_network("squeezenet1_1", "none")
    mean, std = (torch.tensor(each)[:, None, None] for each in (network.mean, network.std))
    with open_artifact(tmp_path / "z.h5", Regions) as regions:
        assert (regions.options["regions"], regions.options["zoom"]) == ("uniform, 2 levels", 80)
        names, boxes, vectors = regions.names, regions.region_boxes, regions.descriptors
        for row in (0, names.index("bad.png"), len(names) - 1):
            own = regions.of(row)
            if names[row] == "bad.png":
                assert own.start == own.stop
                continue
            with Image.open(photos / names[row]) as photo:
                pixels = torch.from_numpy(np.array(photo.convert("RGB"))).permute(2, 0, 1) / 255
            assert own.stop - own.start == len(set(rmac_regions(*pixels.shape[1:], 2)))
            for box, vector in zip(boxes[own].round().astype(int), vectors[own], strict=True):
                x0, y0, x1, y1 = box.tolist()
                region = ((pixels - mean) / std)[None, :, y0:y1, x0:x1]
                factor = 80 / max(x1 - x0, y1 - y0)
                size = [round((y1 - y0) * factor), round((x1 - x0) * factor)]
                region = torch.nn.functional.interpolate(region, size, mode="bilinear")
                with torch.inference_mode():
                    expected = gem(network.backbone(region))[0].numpy()
                expected /= np.linalg.norm(expected)
                np.testing.assert_allclose(vector, expected, atol=1e-4)
    found = rrtool("search", tmp_path / "z.h5", tmp_path / "z.h5", "-o", tmp_path / "s.h5")
    assert_done(found)
    with open_artifact(tmp_path / "s.h5", Ranking) as ranking:
        assert ranking.described()["described_by"] == "uniform, 2 levels, zoomed to 80 pixels"


def test_zoom_bad_input(made: Path, tmp_path: Path) -> None:
    for options, says in (
        (("--zoom", 80), "give --regions"),
        (("--zoom", 80, "--regions", 2, "--scales", 1), "--scales"),
        (("--zoom", 0, "--regions", 2), "--zoom"),
        (("--zoom", 80, "--regions", 2, "--save-maps", tmp_path / "m.h5"), "--save-maps"),
    ):
        result = rrtool(
            "extract", made / "photos", "-o", tmp_path / "x.h5", *NETWORK_OPTIONS, *options
        )
        assert_fails(result, 2, says)
