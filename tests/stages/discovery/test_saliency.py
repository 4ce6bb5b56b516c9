"""Saliency from images to regions, object saliency and descriptors, through the command line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from rrtool.artifacts import Provenance, create, open_artifact
from rrtool.artifacts.kinds import (
    ActivationMaps,
    Centrality,
    Evaluation,
    Features,
    Regions,
    Saliency,
    open_any,
)
from rrtool.core.diffusion import knn
from rrtool.core.discovery.expanding_gaussian_mixture import (
    MixtureOptions,
    fit_mixtures,
    rectangles,
)
from rrtool.core.discovery.saliency import feature_saliency, prepare_for_detection
from rrtool.stages.discovery.saliency_mapper import search_method
from tests.stages.damaging import edited
from tests.stages.made_maps import network_maps, write_as_before
from tests.tiny import (
    CPU,
    NETWORK,
    assert_done,
    assert_fails,
    digest_of,
    extract,
    leftovers,
    picture,
    rrtool,
)

SIZE = ("--max-size", 160)


def saliency_os(made: Path, output: Path, *options: object, **inputs: Path) -> Result:
    return rrtool(
        "saliency", "os", made / "photos", "-o", output / "s.h5", "--features", output / "os.h5",
        "--regions", inputs.get("regions", made / "r.h5"),
        "--centrality", inputs.get("centrality", made / "c.h5"),
        *NETWORK, *CPU, *SIZE, "--k", 4, *options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Regions, FS.EGM features, graph, centrality and maps of eight pictures, one broken."""
    folder = tmp_path_factory.mktemp("saliency")
    (folder / "photos").mkdir()
    for i in range(7):
        canvas = picture(40 + i, (160, 128))
        canvas.paste(picture(i % 2, (60, 60)), (10 + 9 * i, 8 * i))
        canvas.save(folder / "photos" / f"{i}.png")
    (folder / "photos" / "bad.png").write_bytes(b"no picture")
    result = rrtool(
        "saliency", "fs", folder / "photos", "-o", folder / "r.h5", "--features", folder / "fs.h5",
        "--keep-maps", "--whole", 0, *NETWORK, *CPU, *SIZE,
    )  # fmt: skip
    assert result.exit_code == 3, result.stderr
    result = extract(folder / "photos", folder / "f.h5", "--save-maps", folder / "m.h5", *SIZE)
    assert result.exit_code == 3
    exact = network_maps(folder / "photos", max_size=SIZE[1])
    write_as_before(folder / "m.h5", folder / "m.h5", exact)
    assert_done(rrtool("build-graph", folder / "r.h5", "-o", folder / "g.h5", "--k", 4))
    assert_done(
        rrtool("centrality", folder / "g.h5", "-o", folder / "c.h5", "--measure", "katz", "-q")
    )
    return folder


def activations_of(maps: ActivationMaps, row: int) -> np.ndarray:
    """``(k, h, w)`` of one image at its only scale."""
    (activations,) = maps.of(row)
    return activations


def map_of(saliency: Regions | Saliency, row: int) -> np.ndarray:
    (saliency_map,) = saliency.saliency_maps(row)
    return saliency_map


def unit(vector: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vector)
    return vector / norm if norm else vector


def gem(activations: np.ndarray, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    values = activations[:, y0:y1, x0:x1].astype(np.float64)
    pooled = (values**3).mean(axis=(1, 2)) ** (1 / 3)
    return pooled / np.linalg.norm(pooled)


def largest(activations: np.ndarray, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    return unit(activations[:, y0:y1, x0:x1].astype(np.float64).max(axis=(1, 2)))


def test_saliency_fs_finds_and_describes_the_regions_of_the_map(made: Path) -> None:
    with (
        open_artifact(made / "r.h5", Regions) as regions,
        open_artifact(made / "m.h5", ActivationMaps) as maps,
    ):
        offsets, names = regions.offsets, regions.names
        boxes, vectors = regions.region_boxes, regions.descriptors
        for row, name in enumerate(names):
            if name == "bad.png":
                assert offsets[row] == offsets[row + 1]
                continue
            activations = activations_of(maps, row)
            saliency = feature_saliency(activations)
            np.testing.assert_allclose(map_of(regions, row), saliency, atol=1e-5)
            (mixture,) = fit_mixtures([prepare_for_detection(saliency, 7)])
            found = rectangles(mixture, saliency.shape)
            assert len(found) == offsets[row + 1] - offsets[row] > 0
            height, width = saliency.shape
            for i, box in enumerate(found.tolist()):
                place = offsets[row] + i
                share = np.array(box) / [width, height, width, height]
                np.testing.assert_allclose(boxes[place], share * [160, 128, 160, 128], atol=1e-3)
                np.testing.assert_allclose(vectors[place], gem(activations, *box), atol=1e-5)
                x0, y0, x1, y1 = box
                mean = saliency[y0:y1, x0:x1].mean()
                assert regions.region_saliencies[place] == pytest.approx(mean, abs=1e-5)


def test_fs_descriptor_is_the_weighted_sum_of_its_regions(made: Path, tmp_path: Path) -> None:
    with (
        open_artifact(made / "r.h5", Regions) as regions,
        open_artifact(made / "fs.h5", Features) as features,
    ):
        vectors, descriptors = regions.descriptors, features.descriptors
        weights = regions.region_weights
        result = rrtool(
            "saliency", "fs", made / "photos", "-o", tmp_path / "r.h5", "--maps", made / "m.h5",
            "--features", tmp_path / "f.h5", "--aggregate", "sum", "--whole", 0,
        )  # fmt: skip
        assert result.exit_code == 3
        with open_artifact(tmp_path / "f.h5", Features) as summed:
            plain = summed.descriptors
        assert features.options["described_by"] == "FS.EGM"
        for row, (first, last) in enumerate(pairwise(regions.offsets)):
            own = weights[first:last]
            assert own.sum() == pytest.approx(1 if last > first else 0, abs=1e-5)
            expected = unit(own @ vectors[first:last].astype(np.float64))
            np.testing.assert_allclose(descriptors[row], expected, atol=1e-5)
            expected = unit(vectors[first:last].astype(np.float64).sum(axis=0))
            np.testing.assert_allclose(plain[row], expected, atol=1e-5)


@pytest.mark.parametrize("whole", [0, 0.25, 1])
def test_whole_photo_has_its_share_in_the_descriptor(
    made: Path, tmp_path: Path, whole: float
) -> None:
    options = ("--features", tmp_path / "f.h5", "--whole", whole)
    with (
        open_artifact(fs_on_maps(made, tmp_path, *options), Regions) as regions,
        open_artifact(tmp_path / "f.h5", Features) as features,
        open_artifact(made / "m.h5", ActivationMaps) as maps,
    ):
        vectors = regions.descriptors.astype(np.float64)
        n_mixed = 0
        for row, (first, last) in enumerate(pairwise(regions.offsets)):
            activations = activations_of(maps, row)
            if first == last or not activations.size:
                continue
            height, width = activations.shape[1:]
            by_regions = unit(regions.region_weights[first:last] @ vectors[first:last])
            everything = gem(activations, 0, 0, width, height)
            expected = unit((1 - whole) * by_regions + whole * everything)
            np.testing.assert_allclose(features.descriptors[row], expected, atol=1e-5)
            n_mixed += 1
        assert n_mixed == 7


def fs_on_maps(made: Path, folder: Path, *options: object) -> Path:
    """The feature saliency of the maps by other options."""
    output = folder / "r.h5"
    maps = ("--maps", made / "m.h5", "--keep-maps")
    assert rrtool("saliency", "fs", made / "photos", "-o", output, *maps, *options).exit_code == 3
    return output


def test_saliency_by_the_norm_of_crow_alone_has_the_same_regions(
    made: Path, tmp_path: Path
) -> None:
    crow = fs_on_maps(made, tmp_path, "--saliency-normalization", "crow")
    with open_artifact(made / "r.h5", Regions) as one, open_artifact(crow, Regions) as other:
        np.testing.assert_array_equal(one.offsets, other.offsets)
        np.testing.assert_allclose(one.region_boxes, other.region_boxes)
        np.testing.assert_allclose(one.descriptors, other.descriptors, atol=1e-6)
        for row, (first, last) in enumerate(pairwise(one.offsets)):
            if first < last:
                values = map_of(other, row)
                assert np.square(np.square(values)).sum() == pytest.approx(1, abs=1e-5)  # ‖F‖
                np.testing.assert_allclose(
                    other.region_saliencies[first:last],
                    one.region_saliencies[first:last] * values.max(), rtol=1e-5,
                )  # fmt: skip


def test_samples_that_count_equally_give_the_regions_of_the_printed_equations(
    made: Path, tmp_path: Path
) -> None:
    # Of an option that is given twice the last counts, which the pipelines' figures rely on.
    equal = fs_on_maps(made, tmp_path, "--samples", "weighted", "--samples", "equal")
    with open_artifact(equal, Regions) as regions:
        counts = np.diff(regions.offsets)
        for row in np.flatnonzero(counts):
            prepared = prepare_for_detection(map_of(regions, row), 7)
            (mixture,) = fit_mixtures([prepared], MixtureOptions(weigh_samples=False))
            assert counts[row] == len(mixture)
            own = slice(regions.offsets[row], regions.offsets[row + 1])
            np.testing.assert_allclose(regions.region_weights[own], mixture.weights, rtol=1e-5)


def test_saliency_fs_reads_maps_in_place_of_the_network(made: Path, tmp_path: Path) -> None:
    result = rrtool(
        "saliency", "fs", made / "photos", "-o", tmp_path / "r.h5", "--maps", made / "m.h5",
        "--keep-maps",
    )  # fmt: skip
    assert result.exit_code == 3
    with (
        open_artifact(tmp_path / "r.h5", Regions) as one,
        open_artifact(made / "r.h5", Regions) as other,
    ):
        for name in ("offsets", "region_boxes"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_allclose(one.descriptors, other.descriptors, atol=1e-6)


@pytest.mark.parametrize("pooling", ["gem", "max"])
def test_object_saliency_equals_a_loop_over_positions(
    made: Path, tmp_path: Path, pooling: str
) -> None:
    pooled = {"gem": gem, "max": largest}[pooling]
    assert saliency_os(made, tmp_path, "--patch", 3, "--patch-pooling", pooling).exit_code == 3
    with (
        open_artifact(made / "r.h5", Regions) as regions,
        open_artifact(made / "c.h5", Centrality) as centrality,
        open_artifact(made / "m.h5", ActivationMaps) as maps,
        open_artifact(tmp_path / "s.h5", Saliency) as found,
    ):
        vectors = regions.descriptors.astype(np.float64)
        significance = regions.region_saliencies.astype(np.float64) ** 3
        significance *= centrality.centrality
        for row in (0, 3):
            activations = activations_of(maps, row)
            features = feature_saliency(activations).astype(np.float64)
            height, width = features.shape
            expected = np.zeros((height, width))
            for y in range(height):
                for x in range(width):
                    box = max(x - 1, 0), max(y - 1, 0), min(x + 2, width), min(y + 2, height)
                    if (
                        features[y, x] ** 3 <= 1e-3
                        or not activations[:, box[1] : box[3], box[0] : box[2]].any()
                    ):
                        continue
                    similarities = vectors @ pooled(activations, *box)
                    nearest = np.argsort(-similarities, kind="stable")[:4]
                    weights = np.maximum(similarities[nearest], 0) ** 3
                    expected[y, x] = features[y, x] ** 3 * (weights @ significance[nearest])
            np.testing.assert_allclose(map_of(found, row), expected / expected.max(), atol=2e-4)


def test_object_saliency_describes_images_by_the_regions_it_finds_and_the_whole(
    made: Path, tmp_path: Path
) -> None:
    assert saliency_os(made, tmp_path).exit_code == 3
    with (
        open_artifact(tmp_path / "s.h5", Saliency) as saliency,
        open_artifact(tmp_path / "os.h5", Features) as features,
        open_artifact(made / "m.h5", ActivationMaps) as maps,
    ):
        assert features.options["described_by"] == "OS.EGM"
        offsets, boxes = saliency.offsets, saliency.region_boxes
        row = 2
        activations = activations_of(maps, row)
        height, width = activations.shape[1:]
        cells = boxes[offsets[row] : offsets[row + 1]] / [160, 128, 160, 128]
        cells = np.rint(cells * [width, height, width, height]).astype(int)
        weights = saliency.region_weights[offsets[row] : offsets[row + 1]]
        pooled = [gem(activations, *box) for box in cells.tolist()]
        whole = gem(activations, 0, 0, width, height)
        expected = unit(0.2 * unit(weights @ np.array(pooled)) + 0.8 * whole)
        np.testing.assert_allclose(features.descriptors[row], expected, atol=1e-5)
    assert_done(rrtool("search", made / "f.h5", tmp_path / "os.h5", "-o", tmp_path / "d.h5"))


def test_object_saliency_by_inverted_lists_is_that_of_all_regions(
    made: Path, tmp_path: Path
) -> None:
    pytest.importorskip("faiss")
    found = {}
    for method in ("auto", "ivf"):  # so few regions are one list
        (tmp_path / method).mkdir()
        assert saliency_os(made, tmp_path / method, "--method", method).exit_code == 3
        with open_artifact(tmp_path / method / "s.h5", Saliency) as saliency:
            found[method] = saliency.map_values
            assert saliency.options["method"] == {"auto": "exact"}.get(method, method)
    np.testing.assert_allclose(found["ivf"], found["auto"], atol=1e-5)


def test_object_saliency_searches_many_regions_by_inverted_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert search_method("auto", 10_000) == "exact"
    assert search_method("auto", 10_001) == ("ivf" if knn.has_faiss() else "exact")
    assert search_method("exact", 10_001) == "exact"
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert search_method("auto", 10_001) == "exact"


def test_object_saliency_without_faiss_says_what_to_do(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    result = saliency_os(made, tmp_path, "--method", "ivf", "-q")
    assert_fails(result, 1, "--method ivf needs faiss", "--method exact")


def test_saliency_again_is_up_to_date(made: Path, tmp_path: Path) -> None:
    assert saliency_os(made, tmp_path).exit_code == 3
    before = digest_of(tmp_path / "s.h5"), digest_of(tmp_path / "os.h5")
    (tmp_path / "os.h5").unlink()
    result = saliency_os(made, tmp_path)
    assert result.exit_code == 3
    assert (digest_of(tmp_path / "s.h5"), digest_of(tmp_path / "os.h5")) == before
    assert "is up to date" in saliency_os(made, tmp_path).stderr
    assert leftovers(tmp_path) == []
    assert_fails(saliency_os(made, tmp_path, "--theta", 2, "-q"), 4, "another --theta")


def test_whitened_regions_take_patches_whitened_alike(made: Path, tmp_path: Path) -> None:
    fit = ("whiten", "fit", made / "f.h5", "--method", "pca", "--dim", 5)
    assert_done(rrtool(*fit, "-o", tmp_path / "w.h5", "-q"))
    apply = ("whiten", "apply", made / "r.h5", tmp_path / "w.h5", "-o", tmp_path / "rw.h5")
    assert_done(rrtool(*apply))
    assert_done(rrtool("build-graph", tmp_path / "rw.h5", "-o", tmp_path / "g.h5", "--k", 4))
    measure = ("--measure", "degree", "-q")
    assert_done(rrtool("centrality", tmp_path / "g.h5", "-o", tmp_path / "c.h5", *measure))
    inputs = {"regions": tmp_path / "rw.h5", "centrality": tmp_path / "c.h5"}
    missing = saliency_os(made, tmp_path, **inputs)
    assert_fails(missing, 4, "whitened otherwise", "--whitening")
    result = saliency_os(made, tmp_path, "--whitening", tmp_path / "w.h5", **inputs)
    assert result.exit_code == 3, result.stderr


def test_saliency_bad_input(made: Path, tmp_path: Path) -> None:
    other = ("build-graph", made / "f.h5", "-o", tmp_path / "g.h5", "--k", 2)
    assert_done(rrtool(*other))
    measure = ("--measure", "degree", "-q")
    assert_done(rrtool("centrality", tmp_path / "g.h5", "-o", tmp_path / "c.h5", *measure))
    wrong = saliency_os(made, tmp_path, centrality=tmp_path / "c.h5")
    assert_fails(wrong, 4, "not that of these regions", "build-graph")
    assert_fails(saliency_os(made, tmp_path, "--theta", -1), 2, "--theta")
    assert_fails(saliency_os(made, tmp_path, "--patch", 0), 2, "--patch")
    assert_fails(saliency_os(made, tmp_path, "--method", "lsh"), 2, "--method", "exact, ivf, hnsw")
    assert_fails(saliency_os(made, tmp_path, "--rho", 0), 2, "--rho")
    assert_fails(saliency_os(made, tmp_path, "--aggregate", "max"), 2, "--aggregate")
    assert_fails(saliency_os(made, tmp_path, "--gem-exponent", 2), 4, "--gem-exponent")
    assert_fails(saliency_os(made, tmp_path, "--seed", 5), 4, "another network")
    fs = ("saliency", "fs", made / "photos", "-o", tmp_path / "x.h5")
    assert_fails(rrtool(*fs, *NETWORK, "--sigma", 0), 2, "bad --sigma", "more than 0")
    assert_fails(rrtool(*fs, *NETWORK, "--sigma", "inf"), 2, "bad --sigma")
    assert_fails(rrtool(*fs, *NETWORK, "--overlap", 1), 2, "bad --overlap", "(0, 1)", "found 1")
    same = (*fs, *NETWORK, "--features", tmp_path / "x.h5")
    assert_fails(rrtool(*same), 2, "--output and --features name the same file")


def write_over(path: Path, source: Path, name: str, value: float) -> Path:
    """A copy of an artifact with another first value in one of its datasets."""
    shutil.copy(source, path)
    with edited(path) as file:
        file[name][(0,) * file[name].ndim] = value
    return path


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        ("--centrality", "centrality", np.nan),
        ("--centrality", "centrality", -1),
        ("--regions", "region_saliencies", np.inf),
        ("--maps", "activations", -1),
        ("--maps", "activations", np.nan),
        ("--maps", "offsets", 9),
    ],
)
def test_object_saliency_damaged_input_is_an_artifact_error(
    made: Path, tmp_path: Path, option: str, name: str, value: float
) -> None:
    source = made / {"--centrality": "c.h5", "--regions": "r.h5", "--maps": "m.h5"}[option]
    damaged = write_over(tmp_path / "x.h5", source, name, value)
    result = saliency_os(made, tmp_path, option, damaged, "-q")
    text = "sizes and values do not fit" if name == "offsets" else name
    assert_fails(result, 4, f"{damaged}: damaged", text)
    assert not (tmp_path / "s.h5").exists()


def test_object_saliency_of_other_lengths_is_an_artifact_error(made: Path, tmp_path: Path) -> None:
    for name, source, datasets in (
        ("centrality", "c.h5", ("centrality", "status")),
        ("regions", "r.h5", ("descriptors",)),
    ):
        path = tmp_path / source
        shutil.copy(made / source, path)
        with edited(path) as file:
            for dataset in datasets:
                values = file[dataset][()]
                del file[dataset]
                file[dataset] = values[..., :-1]
        result = saliency_os(made, tmp_path, "-q", **{name: path})
        assert_fails(result, 4, source, "the centrality is not" if name == "centrality" else "511")


def edit_maps(made: Path, output: Path, edit: Callable[[list[np.ndarray]], None]) -> Path:
    """The maps of ``made`` after ``edit`` has changed the activations of its images in place."""
    with open_artifact(made / "m.h5", ActivationMaps) as maps:
        columns = {name: maps.read_named(name) for name in maps.dataset_names()}
        sizes, offsets = columns["map_sizes"][:, 0], columns["offsets"]
        images = [
            columns["activations"][start:stop].reshape(-1, height, width)
            for (width, height), (start, stop) in zip(sizes, pairwise(offsets), strict=True)
            if stop > start
        ]
        edit(images)
        provenance = Provenance(maps.kind, maps.options, maps.inputs, maps.network, maps.device)
        with create(output, provenance) as target:
            target.publish(columns, extra=maps.extra)
    return output


def run_on_maps(made: Path, folder: Path, maps: Path) -> None:
    """Regions, FS.EGM, graph, centrality, object saliency and OS.EGM from these maps."""
    common = ("--maps", maps, "--keep-maps", "--features", folder / "fs.h5")
    assert rrtool("saliency", "fs", made / "photos", "-o", folder / "r.h5", *common).exit_code == 3
    assert_done(rrtool("build-graph", folder / "r.h5", "-o", folder / "g.h5", "--k", 4, "-q"))
    centrality = ("centrality", folder / "g.h5", "-o", folder / "c.h5", "--measure", "katz", "-q")
    assert_done(rrtool(*centrality))
    object_saliency_on_maps(made, folder, maps)


def object_saliency_on_maps(made: Path, folder: Path, maps: Path) -> None:
    result = rrtool(
        "saliency", "os", made / "photos", "-o", folder / "s.h5", "--features", folder / "os.h5",
        "--regions", folder / "r.h5", "--centrality", folder / "c.h5", "--maps", maps, "--k", 4,
    )  # fmt: skip
    assert result.exit_code == 3, result.stderr


def test_all_zero_map_has_no_region_and_its_row_says_so(made: Path, tmp_path: Path) -> None:
    def silence(images: list[np.ndarray]) -> None:
        images[2][:] = 0

    run_on_maps(made, tmp_path, edit_maps(made, tmp_path / "m.h5", silence))
    for regions, features in (("r.h5", "fs.h5"), ("s.h5", "os.h5")):
        with (
            open_any(tmp_path / regions) as found,
            open_artifact(tmp_path / features, Features) as f,
        ):
            counts = np.diff(found.offsets)
            assert counts[2] == 0
            assert (counts[[0, 1, 3]] > 0).all()
            assert not map_of(found, 2).any()
            for without in (found, f):
                assert without.n_scales_without_regions.tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
            assert not f.descriptors[2].any()
            assert np.isfinite(f.descriptors).all()


def test_constant_map_is_described_all_over(made: Path, tmp_path: Path) -> None:
    def flatten(images: list[np.ndarray]) -> None:
        images[1][:] = images[1].mean(axis=(1, 2), keepdims=True)

    run_on_maps(made, tmp_path, edit_maps(made, tmp_path / "m.h5", flatten))
    for regions, features in (("r.h5", "fs.h5"), ("s.h5", "os.h5")):
        with (
            open_any(tmp_path / regions) as found,
            open_artifact(tmp_path / features, Features) as f,
        ):
            np.testing.assert_allclose(map_of(found, 1), 1, atol=1e-5)
            assert np.diff(found.offsets)[1] > 0
            # Every region of a constant map has the descriptor of the whole.
            with open_artifact(tmp_path / "m.h5", ActivationMaps) as maps:
                whole = unit(activations_of(maps, 1)[:, 0, 0].astype(np.float64))
            np.testing.assert_allclose(f.descriptors[1], whole, atol=1e-5)


def test_image_like_no_region_is_described_as_a_whole(made: Path, tmp_path: Path) -> None:
    def silence(images: list[np.ndarray]) -> None:
        images[3][:] = 0
        for activations in images:
            activations[:9] = 0

    run_on_maps(made, tmp_path, edit_maps(made, tmp_path / "m.h5", silence))
    unlike = np.random.default_rng(1).random((9, 20, 20)).astype(np.float32)

    def estrange(images: list[np.ndarray]) -> None:
        silence(images)
        height, width = images[3].shape[1:]
        images[3][:9] = unlike[:, :height, :width]

    other = tmp_path / "other"
    other.mkdir()
    for name in ("r.h5", "c.h5"):
        (other / name).symlink_to(tmp_path / name)
    object_saliency_on_maps(made, other, edit_maps(made, other / "m.h5", estrange))
    with (
        open_artifact(other / "s.h5", Saliency) as saliency,
        open_artifact(other / "os.h5", Features) as features,
        open_artifact(other / "m.h5", ActivationMaps) as maps,
    ):
        assert not map_of(saliency, 3).any()
        assert np.diff(saliency.offsets)[3] == 0
        assert features.n_scales_without_regions.tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
        activations = activations_of(maps, 3)
        whole = gem(activations, 0, 0, activations.shape[2], activations.shape[1])
        np.testing.assert_allclose(features.descriptors[3], whole, atol=1e-5)


def test_map_of_one_position_is_one_region(made: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    picture(1, (32, 32)).save(photos / "a.png")
    tiny = ("saliency", "fs", photos, "-o", tmp_path / "r.h5", "--features", tmp_path / "f.h5")
    assert_done(rrtool(*tiny, *NETWORK, *CPU, "--keep-maps", *SIZE, "-q"))
    result = rrtool(
        "saliency", "os", photos, "-o", tmp_path / "s.h5", "--features", tmp_path / "os.h5",
        "--regions", made / "r.h5", "--centrality", made / "c.h5", *NETWORK, *CPU, *SIZE, "-q",
    )  # fmt: skip
    assert_done(result)
    assert_done(extract(photos, tmp_path / "whole.h5", *SIZE, "-q"))
    with open_artifact(tmp_path / "whole.h5", Features) as features:
        whole = features.descriptors
    for regions, features in (("r.h5", "f.h5"), ("s.h5", "os.h5")):
        with (
            open_any(tmp_path / regions) as found,
            open_artifact(tmp_path / features, Features) as f,
        ):
            assert found.map_sizes.tolist() == [[[1, 1]]]
            assert found.region_boxes.tolist() == [[0, 0, 32, 32]]
            assert map_of(found, 0).tolist() == [[1]]
            np.testing.assert_allclose(f.descriptors, whole, atol=1e-5)


def assert_threshold_scores(
    score: dict, artifact: Regions | Saliency, power: int, boxes: dict[str, tuple]
) -> None:
    """maxF and the largest mean IoU, by counts on a grid that cells and pixels are made of."""
    maps, counts = [], []
    for name in ("0.png", "3.png"):
        maps.append(map_of(artifact, artifact.names.index(name)).astype(np.float64) ** power)
        height, width = maps[-1].shape
        mask = np.zeros((128 * height, 160 * width), dtype=bool)
        x0, y0, x1, y1 = boxes[name]  # photos are 160 × 128
        mask[y0 * height : y1 * height, x0 * width : x1 * width] = True
        counts.append(mask.reshape(height, 128, width, 160).sum(axis=(1, 3)))  # of each cell
    f_scores, ious = [], []
    for k in range(256):
        rows = []
        for found, within in zip(maps, counts, strict=True):
            chosen = found / found.max() * 255 >= k
            n_chosen, both = 128 * 160 * chosen.sum(), within[chosen].sum()
            n_all = n_chosen + within.sum() - both
            rows.append((both / n_chosen, both / within.sum(), both / n_all))
        precision, recall, iou = np.mean(rows, axis=0)
        f_scores.append(1.3 * precision * recall / max(0.3 * precision + recall, 1e-12))
        ious.append(iou)
    assert score["maxF"] == pytest.approx(max(f_scores), abs=1e-6)
    assert score["maxIoU"] == pytest.approx(max(ious), abs=1e-6)


def assert_region_scores(
    score: dict, artifact: Regions | Saliency, boxes: dict[str, tuple]
) -> None:
    """CorLoc of the most salient region, and of any."""
    first, any_ = [], []
    for name in ("0.png", "3.png"):
        own = artifact.of(artifact.names.index(name))
        x0, y0, x1, y1 = boxes[name]
        ious = []
        for a, b, c, d in artifact.region_boxes[own].tolist():
            shared = max(min(c, x1) - max(a, x0), 0) * max(min(d, y1) - max(b, y0), 0)
            ious.append(shared / ((c - a) * (d - b) + (x1 - x0) * (y1 - y0) - shared))
        first.append(ious[int(np.argmax(artifact.region_saliencies[own]))] >= 0.5)
        any_.append(max(ious) >= 0.5)
    assert (score["CorLoc"], score["CorLoc_any"]) == (np.mean(first), np.mean(any_))


def test_evaluate_saliency_by_boxes_equals_a_hand_count(made: Path, tmp_path: Path) -> None:
    assert saliency_os(made, tmp_path).exit_code == 3
    boxes = {"0.png": (0, 0, 80, 128), "3.png": (40, 16, 160, 128), "bad.png": (0, 0, 9, 9)}
    lines = [",".join(map(str, (name, *box))) for name, box in boxes.items()]
    (tmp_path / "boxes.csv").write_text("name,x0,y0,x1,y1\n" + "\n".join(lines) + "\n")
    command = ("evaluate", tmp_path / "s.h5", made / "r.h5", "--boxes", tmp_path / "boxes.csv")
    result = rrtool(*command, "--json", "-o", tmp_path / "e.h5")
    assert_done(result)
    first, second, third = json.loads(result.stdout)
    assert (first["method"], second["method"], third["method"]) == ("OS", "FS", "FS^3")
    assert (first["n_images"], first["n_boxes"]) == (2, 2)

    def hand_counted(artifact: Regions | Saliency, power: int) -> list[float]:
        shares = []
        for name in ("0.png", "3.png"):
            found = map_of(artifact, artifact.names.index(name)).astype(np.float64)
            fine = np.kron(found**power, np.ones((128, 160)))  # a pixel is height × width of them
            fine = fine.reshape(128, found.shape[0], 160, found.shape[1]).sum(axis=(1, 3))
            x0, y0, x1, y1 = boxes[name]
            shares.append(fine[y0:y1, x0:x1].sum() / fine.sum())
        return shares

    with (
        open_artifact(tmp_path / "s.h5", Saliency) as saliency,
        open_artifact(made / "r.h5", Regions) as regions,
    ):
        expected = hand_counted(saliency, 1)
        for score, artifact, power in (
            (first, saliency, 1),
            (second, regions, 1),
            (third, regions, 3),
        ):
            shares = hand_counted(artifact, power)
            assert score["saliency_precision"] == pytest.approx(np.mean(shares), abs=1e-5)
            assert_threshold_scores(score, artifact, power, boxes)
        assert_region_scores(first, saliency, boxes)
        assert_region_scores(second, regions, boxes)
    assert third["region_recall@0.5"] is third["CorLoc"] is third["odAP"] is None
    with open_artifact(tmp_path / "e.h5", Evaluation) as evaluation:
        per_image = evaluation.read_named("0/saliency_precisions")
        np.testing.assert_allclose(per_image[~np.isnan(per_image)], expected, atol=1e-5)
    shown = rrtool(*command).stdout
    assert "recall@0.5" in shown
    assert "odAP rule: boxes of all images" in shown
    assert "maxF rule: maps cut at 256 thresholds" in shown


def test_evaluate_by_boxes_bad_input(made: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("name,x0,y0,x1,y1\nelsewhere.png,0,0,5,5\n")
    boxes = ("--boxes", tmp_path / "boxes.csv")
    assert_fails(rrtool("evaluate", made / "r.h5", *boxes), 2, "none of the boxes")
    assert_fails(rrtool("evaluate", made / "r.h5"), 2, "--ground-truth or --boxes")
    assert_fails(rrtool("evaluate", made / "f.h5", *boxes), 4, "another kind")
    plain = ("saliency", "fs", made / "photos", "-o", tmp_path / "r.h5", "--maps", made / "m.h5")
    assert rrtool(*plain).exit_code == 3
    (tmp_path / "boxes.csv").write_text("name,x0,y0,x1,y1\n0.png,0,0,80,128\n")
    done = rrtool("evaluate", tmp_path / "r.h5", *boxes, "--json")
    assert_done(done)
    assert "its regions alone are scored (--keep-maps" in done.stderr
    (score,) = json.loads(done.stdout)
    assert score["saliency_precision"] is score["maxF"] is None
    assert score["CorLoc"] in (0, 1)
