"""whiten fit, apply and export through the command line, against the core and against extract."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import Result

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Features, Whitening, open_any
from rrtool.core.retrieval.whitening import (
    apply_whitening,
    covariance_of_groups,
    covariance_of_pairs,
    fit_pca,
    fit_supervised,
    l2_normalize,
)
from rrtool.networks import load_network
from rrtool.stages.retrieval import whiten_fit
from rrtool.stages.retrieval.whitening import in_doubles, whitening_columns
from tests.stages.made_features import write_features, write_regions
from tests.tiny import CPU, assert_done, assert_fails, digest_of, make_pictures, rrtool

NAMES = [f"{label}/{view}.jpg" for label in "abcdefgh" for view in range(5)]
LABELS = np.repeat(np.arange(8), 5)


def descriptors(seed: int, k: int = 6) -> np.ndarray:
    generator = np.random.default_rng(seed)
    means, noise = generator.normal(size=(8, k))[LABELS], generator.normal(size=(40, k))
    return l2_normalize((means + noise @ generator.normal(size=(k, k)) + 1).astype(np.float32))


@pytest.fixture
def features(tmp_path: Path) -> Path:
    return write_features(tmp_path / "f.h5", NAMES, descriptors(1))


def fit(features: Path, *options: object, output: str = "w.h5") -> Result:
    return rrtool("whiten", "fit", features, "-o", features.parent / output, *options)


def apply(features: Path, whitening: Path, output: str = "g.h5") -> Result:
    return rrtool("whiten", "apply", features, whitening, "-o", features.parent / output)


def fitted(features: Path, *options: object, output: str = "w.h5") -> Path:
    assert_done(fit(features, *options, output=output))
    return features.parent / output


def applied(features: Path, whitening: Path, output: str = "g.h5") -> Path:
    assert_done(apply(features, whitening, output))
    return features.parent / output


@pytest.mark.parametrize("column", ["mean", "projection"])
def test_whiten_apply_refuses_a_whitening_that_is_not_finite(
    features: Path, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    def broken(mean: np.ndarray, projection: np.ndarray, values: np.ndarray) -> dict:
        columns = {"mean": mean.copy(), "projection": projection.copy()}
        columns[column].flat[-1] = np.inf
        return whitening_columns(**columns, eigenvalues=values)

    monkeypatch.setattr(whiten_fit, "whitening_columns", broken)
    whitening = fitted(features, "--groups", "folder")
    text = f"the {column} holds NaN or infinite values"
    assert_fails(apply(features, whitening), 4, "w.h5", text)


def projection_of(whitening: Path) -> np.ndarray:
    with open_artifact(whitening, Whitening) as artifact:
        return artifact.projection


def test_whiten_fit_writes_what_the_core_learns(features: Path) -> None:
    path = fitted(features, "--groups", "folder", "--dim", 4)
    vectors = descriptors(1)
    expected = fit_supervised(vectors, covariance_of_groups(vectors, LABELS))
    with open_artifact(path, Whitening) as whitening:
        assert whitening.dataset_names() == ["eigenvalues", "mean", "projection"]
        assert whitening.projection.dtype == whitening.mean.dtype == np.float32
        np.testing.assert_allclose(whitening.mean, expected.mean, rtol=1e-6)
        np.testing.assert_allclose(
            whitening.projection, expected.projection[:4], rtol=1e-6, atol=1e-7
        )
        np.testing.assert_allclose(whitening.eigenvalues, expected.eigenvalues[:4])
        assert whitening.extra == {
            "made": {
                "gem_exponent": 3.0, "max_size": 96, "pool": "gem", "scales": [1.0],
                "whitening": "none",
            },
            "method": "supervised", "n_groups": 8, "n_images": 40, "n_pairs": 80,
            "shrinkage": expected.shrinkage,
        }  # fmt: skip
        assert whitening.options == {"dim": 4, "method": "supervised", "shrinkage": None}
        assert whitening.network["name"] == "resnet18"
        assert [record.role for record in whitening.inputs] == ["features", "groups"]


def test_whiten_fit_takes_any_form_of_the_same_groups(features: Path) -> None:
    folder = features.parent
    (folder / "labels.csv").write_text("".join(f"{name},{name[0]}\n" for name in NAMES))
    pairs = [
        f"{NAMES[i]},{NAMES[j]}\n{NAMES[j]},{NAMES[i]}\n"
        for i in range(40)
        for j in range(i)
        if LABELS[i] == LABELS[j]
    ]
    (folder / "pairs.csv").write_text("first,second\n" + "".join(pairs))
    first = fitted(features, "--groups", "folder")
    by_prefix = fitted(features, "--groups", "prefix:([a-h])/", output="prefix.h5")
    by_table = fitted(features, "--groups", folder / "labels.csv", output="table.h5")
    assert digest_of(first) == digest_of(by_prefix) == digest_of(by_table)
    by_pairs = fitted(features, "--pairs", folder / "pairs.csv", output="pairs.h5")
    np.testing.assert_allclose(projection_of(by_pairs), projection_of(first), rtol=1e-5, atol=1e-6)
    with open_any(by_pairs) as whitening:
        assert whitening.extra["n_pairs"] == 80
        assert whitening.extra["n_groups"] is None


def test_whiten_fit_distractors_shift_the_mean_only_and_unusable_rows_nothing(
    features: Path,
) -> None:
    folder, vectors = features.parent, descriptors(1)
    spoiled = np.concatenate([vectors, np.full((1, 6), np.nan), np.zeros((1, 6)), vectors[:1]])
    names = [*NAMES, "a/nan.jpg", "a/zero.jpg", "a/failed.jpg"]
    other = write_features(folder / "spoiled.h5", names, spoiled, failed=[42])
    result = fit(other, "--groups", "folder", output="v.h5")
    assert_done(result)
    assert "1 descriptors are not finite" in result.stderr
    assert digest_of(folder / "v.h5") == digest_of(fitted(features, "--groups", "folder"))
    (folder / "labels.csv").write_text(
        "".join(f"{name},{name[0] if name[0] < 'd' else ''}\n" for name in NAMES)
    )
    path = fitted(features, "--groups", folder / "labels.csv", output="part.h5")
    expected = fit_supervised(
        vectors, covariance_of_groups(vectors, np.where(LABELS < 3, LABELS, -1))
    )
    np.testing.assert_allclose(projection_of(path), expected.projection, rtol=1e-5, atol=1e-6)
    with open_any(path) as whitening:
        assert whitening.extra["n_groups"] == 3
        assert whitening.extra["n_images"] == 40


def test_whiten_fit_pca(features: Path) -> None:
    path = fitted(features, "--method", "pca", "--dim", 3)
    expected = fit_pca(descriptors(1)).projection[:3]
    np.testing.assert_allclose(projection_of(path), expected, rtol=1e-6, atol=1e-6)
    with open_any(path) as whitening:
        assert whitening.extra["method"] == "pca"
        assert "n_pairs" not in whitening.extra


def test_whiten_fit_learns_from_regions_what_needs_no_matches(tmp_path: Path) -> None:
    regions = write_regions(tmp_path / "r.h5", descriptors(1), [3, 0, 7, 30])
    path = fitted(regions, "--method", "center")
    assert_done(rrtool("whiten", "apply", regions, path, "-o", tmp_path / "rw.h5"))
    with open_any(path) as whitening, open_any(tmp_path / "rw.h5") as whitened:
        mean = descriptors(1).mean(axis=0)
        np.testing.assert_allclose(whitening.mean, mean, atol=1e-6)
        np.testing.assert_allclose(
            whitened.descriptors, l2_normalize(descriptors(1) - mean), atol=1e-5
        )
    path = fitted(regions, "--method", "pca", output="pca.h5")
    np.testing.assert_allclose(
        projection_of(path), fit_pca(descriptors(1)).projection, rtol=1e-6, atol=1e-6
    )
    result = fit(regions, "--groups", "prefix:(.)", output="x.h5")
    assert_fails(result, 2, "images match, not their regions")


def test_whiten_apply_centres_on_the_database(features: Path) -> None:
    folder = features.parent
    whitening = fitted(features, "--groups", "folder")
    other = write_features(folder / "d.h5", NAMES[:9], descriptors(4)[:9])
    queries = write_features(folder / "q.h5", NAMES[:3], descriptors(5)[:3])
    for source, output in ((other, "dw.h5"), (queries, "qw.h5")):
        result = rrtool(
            "whiten", "apply", source, whitening, "-o", folder / output, "--center", other
        )
        assert_done(result)
    with open_any(whitening) as w, open_any(folder / "qw.h5") as whitened:
        shifted = l2_normalize(descriptors(5)[:3]) - l2_normalize(descriptors(4)[:9]).mean(axis=0)
        expected = l2_normalize(shifted @ w.projection.T)
        np.testing.assert_allclose(whitened.descriptors, expected, atol=1e-5)
        with open_any(other) as centre:
            assert f"centred on {centre.digest[:8]}" in whitened.options["whitening"]
    assert_done(rrtool("search", folder / "qw.h5", folder / "dw.h5", "-o", folder / "r.h5"))
    # Centred on other features, or not at all, they cannot be compared.
    assert_done(rrtool("whiten", "apply", queries, whitening, "-o", folder / "qx.h5"))
    result = rrtool("search", folder / "qx.h5", folder / "dw.h5", "-o", folder / "x.h5")
    assert_fails(result, 4, "differ in --whitening")


def test_whiten_fit_center_needs_nothing_but_features(features: Path) -> None:
    path = fitted(features, "--method", "center")
    np.testing.assert_array_equal(projection_of(path), np.eye(6))
    result = apply(features, path)
    assert_done(result)
    assert "learnt on these very features" not in result.stderr
    assert_fails(
        fit(features, "--method", "center", "--dim", 2, output="x.h5"), 2, "neither --dim nor"
    )
    assert_fails(
        fit(features, "--method", "pca", "--shrinkage", 2, output="x.h5"), 2, "--shrinkage"
    )


def test_whiten_fit_few_pairs_says_and_records_the_shrinkage(features: Path) -> None:
    (features.parent / "pairs.csv").write_text("a/0.jpg,a/1.jpg\nb/0.jpg,b/1.jpg\n")
    result = fit(features, "--pairs", features.parent / "pairs.csv")
    assert_done(result)
    assert "2 independent matching pairs are fewer than the 6 dimensions" in result.stderr
    with open_any(features.parent / "w.h5") as whitening:
        assert 0 < whitening.extra["shrinkage"] <= 1
        assert f"λ = {whitening.extra['shrinkage']:.3g}" in result.stderr
    assert_done(apply(features, features.parent / "w.h5"))


def test_whiten_fit_keeps_the_dimensions_that_vary(tmp_path: Path) -> None:
    features = write_features(tmp_path / "f.h5", NAMES[:8], descriptors(2, 20)[:8])
    result = fit(features, "--method", "pca", "--shrinkage", 0)
    assert_done(result)
    assert "kept 7 of 20 dimensions" in result.stderr
    assert projection_of(tmp_path / "w.h5").shape == (7, 20)
    assert_fails(
        fit(features, "--method", "pca", "--shrinkage", 0, "--dim", 8, output="x.h5"),
        2,
        "expected at most 7, found 8",
    )
    # Supervised whitening keeps all or some of those that vary: the others have no order.
    groups = ("--groups", "prefix:[ab]/")
    assert projection_of(fitted(features, *groups, output="s.h5")).shape == (20, 20)
    assert projection_of(fitted(features, *groups, "--dim", 7, output="s7.h5")).shape == (7, 20)
    result = fit(features, *groups, "--dim", 8, "-q", output="x.h5")
    assert_fails(result, 2, "expected at most 7, found 8")


def test_whiten_fit_again_is_up_to_date_and_other_options_are_refused(features: Path) -> None:
    fitted(features, "--groups", "folder")
    assert "up to date" in fit(features, "--groups", "folder").stderr
    assert_fails(fit(features, "--groups", "folder", "--dim", 2), 4, "another --dim")
    assert_fails(fit(features, "--groups", "prefix:[a-h]"), 4, "made from other --groups")
    result = fit(features, "--groups", "folder", "--dim", 2, "--overwrite", "--json")
    assert json.loads(result.stdout)["kind"] == "whitening"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "expected --groups or --pairs, found neither"),
        (("--groups", "folder", "--pairs", "p.csv"), "found both"),
        (("--method", "pca", "--groups", "folder"), "takes no matching images"),
        (("--method", "lda", "--groups", "folder"), "unknown --method"),
        (("--groups", "folder", "--dim", 0), "bad --dim"),
        (("--groups", "folder", "--dim", 7), "expected at most 6, found 7"),
        (("--groups", "prefix:("), "not a regular expression"),
        (("--groups", "prefix:a"), "35 of 40 image names have no label"),
        (("--groups", "absent.csv"), "no such ground truth"),
        (("--pairs", "absent.csv"), "cannot read it"),
        (("--groups", "prefix:(.*)"), "no two images with a descriptor match"),
    ],
)
def test_whiten_fit_wrong_options_exit_2(
    features: Path, options: tuple[object, ...], text: str
) -> None:
    assert_fails(fit(features, *options), 2, text)
    assert not (features.parent / "w.h5").exists()


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("", "there are no pairs"),
        ("first,second\n", "there are no pairs"),
        ("a/0.jpg\n", "line 1: wrong number of fields"),
        ("a/0.jpg,a/1.jpg\na/0.jpg,x.jpg\n", "1 of 3 names are not among the features"),
        ("x.jpg,y.jpg\n", "no image of the database"),
        ("a/0.jpg,a/1.jpg\na/2.jpg,a/2.jpg\n", "line 2: a pair of an image with itself"),
        ("a/0.jpg,\n", "1 of 2 names"),
        ('"a/0.jpg,a/1.jpg\n', "malformed table"),
        ("0,a/1.jpg\n", "two images of the database match '0'"),
    ],
)
def test_whiten_fit_wrong_pairs_exit_2(features: Path, table: str, text: str) -> None:
    (features.parent / "pairs.csv").write_text(table)
    assert_fails(fit(features, "--pairs", features.parent / "pairs.csv"), 2, text)


def test_whiten_fit_pairs_of_failed_images_are_said(tmp_path: Path) -> None:
    features = write_features(tmp_path / "f.h5", NAMES, descriptors(3), failed=[0, 5])
    (tmp_path / "pairs.csv").write_text("a/0.jpg,a/1.jpg\nc/0.jpg,c/3.jpg\nb/2.jpg,b/4.jpg\n")
    result = fit(features, "--pairs", tmp_path / "pairs.csv")
    assert_done(result)
    assert "1 of 3 pairs have an image without descriptor" in result.stderr
    with open_any(tmp_path / "w.h5") as whitening:
        assert whitening.extra["n_pairs"] == 2
        assert whitening.extra["n_images"] == 38
    vectors = np.delete(descriptors(3), [0, 5], axis=0)
    matching = covariance_of_pairs(vectors, np.array([[5, 7], [8, 11]]))
    expected = fit_supervised(vectors, matching).projection
    np.testing.assert_allclose(projection_of(tmp_path / "w.h5"), expected, rtol=1e-5, atol=1e-6)
    (tmp_path / "pairs.csv").write_text("a/0.jpg,a/1.jpg\n")
    result = fit(features, "--pairs", tmp_path / "pairs.csv", "-q", output="x.h5")
    assert_fails(result, 2, "no two images with a descriptor match")


@pytest.mark.parametrize("method", ["supervised", "pca"])
def test_whiten_fit_nothing_to_learn_from(tmp_path: Path, method: str) -> None:
    options = ("--method", method, "-q", *(("--groups", "folder") * (method == "supervised")))
    codes = {"supervised": 2, "pca": 4}
    texts = {"supervised": "do not differ", "pca": "too few different descriptors"}
    copies = np.repeat(descriptors(4)[:1], 40, axis=0)
    features = write_features(tmp_path / "copies.h5", NAMES, copies)
    assert_fails(fit(features, *options), codes[method], texts[method])
    texts["supervised"] = "no two images"
    features = write_features(tmp_path / "one.h5", NAMES[:1], copies[:1])
    assert_fails(fit(features, *options), codes[method], texts[method])
    features = write_features(tmp_path / "zero.h5", NAMES, 0 * copies)
    assert_fails(fit(features, *options), codes[method], texts[method])
    features = write_features(tmp_path / "failed.h5", NAMES, copies, failed=range(40))
    assert_fails(fit(features, *options), 4, "no row is usable")


@pytest.mark.parametrize("n", [1, 2, 3, 40])
@pytest.mark.parametrize(("d", "k"), [(1, 3), (5, 7), (64, 512), (300, 300)])
def test_whitening_in_doubles_gives_the_same_bits(n: int, d: int, k: int) -> None:
    generator = np.random.default_rng(d)
    vectors, mean, projection = (
        generator.normal(size=shape).astype(np.float32) for shape in ((n, k), k, (d, k))
    )
    ready = in_doubles(mean, projection)
    assert [each.dtype for each in ready] == [np.float64] * 2
    np.testing.assert_array_equal(
        apply_whitening(vectors, mean, projection), apply_whitening(vectors, *ready)
    )
    # Before they are rounded, too.
    centred = vectors.astype(np.float64) - mean
    np.testing.assert_array_equal(centred @ projection.T, centred @ ready[1].T)


def test_whiten_apply_changes_the_descriptors_alone(tmp_path: Path) -> None:
    learning = write_features(tmp_path / "l.h5", NAMES, descriptors(5))
    whitening = fitted(learning, "--groups", "folder", "--dim", 4)
    vectors = descriptors(6)
    spoiled = 2 * vectors
    spoiled[7], spoiled[8] = 0, np.inf
    features = write_features(tmp_path / "f.h5", NAMES, spoiled, failed=[3], boxes=True)
    result = apply(features, whitening)
    assert_done(result)
    assert "very features" not in result.stderr
    with (
        open_any(features) as before,
        open_artifact(tmp_path / "g.h5", Features) as after,
        open_any(whitening) as learned,
    ):
        assert after.dataset_names() == before.dataset_names()
        for name in before.dataset_names():
            if name != "descriptors":
                np.testing.assert_array_equal(after.read_named(name), before.read_named(name))
                assert after.layout(name)[0] == before.layout(name)[0]
        found = after.descriptors
        expected = apply_whitening(vectors, learned.mean, learned.projection)
        good = np.delete(np.arange(40), [3, 7, 8])
        np.testing.assert_allclose(found[good], expected[good], rtol=1e-5, atol=1e-6)
        assert found.dtype == np.float32
        assert not found[[3, 7]].any()
        assert np.isnan(found[8]).all()
        assert after.network == before.network
        name = f"supervised {learned.digest[:8]}"
        assert after.options == {**before.options, "whitening": name}
        assert [record.kind for record in after.inputs] == ["features", "whitening"]
        assert after.extra == {"n_channels": 9, "n_failed_rows": 1}


def test_whiten_apply_in_blocks_equals_one(features: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whitening = fitted(features, "--groups", "folder")
    whole = applied(features, whitening)
    monkeypatch.setattr("rrtool.stages.retrieval.whiten_apply.ROWS_AT_A_TIME", 7)
    with (
        open_any(whole) as first,
        open_any(applied(features, whitening, "h.h5")) as second,
    ):
        np.testing.assert_allclose(first.descriptors, second.descriptors, rtol=1e-5, atol=1e-6)


def test_whiten_apply_says_when_it_was_learnt_on_the_same_features(features: Path) -> None:
    result = apply(features, fitted(features, "--groups", "folder"))
    assert_done(result)
    assert "learnt on these very features" in result.stderr


def test_search_refuses_a_mix_of_whitenings(features: Path) -> None:
    folder = features.parent
    one = applied(features, fitted(features, "--groups", "folder"), "one.h5")
    pca = applied(features, fitted(features, "--method", "pca", output="p.h5"), "pca.h5")
    assert_done(rrtool("search", one, one, "-o", folder / "r.h5"))
    for other in (features, pca):
        result = rrtool("search", one, other, "-o", folder / "s.h5")
        assert_fails(result, 4, "differ in --whitening", "expected supervised ")
    with open_any(folder / "r.h5") as ranking:
        assert ranking.extra["description"]["whitening"].startswith("supervised ")


def test_whitened_features_are_not_whitened_again(features: Path) -> None:
    whitening = fitted(features, "--groups", "folder")
    whitened = applied(features, whitening)
    assert_fails(apply(whitened, whitening, "h.h5"), 4, "whitened already", "found whitening super")
    result = fit(whitened, "--groups", "folder", output="v.h5")
    assert_fails(result, 4, "whitened already", "extract --whitening none")


def test_whiten_apply_after_a_learned_layer_keeps_its_name(tmp_path: Path) -> None:
    features = write_features(tmp_path / "f.h5", NAMES, descriptors(7), whitening="learned layer")
    with open_artifact(applied(features, fitted(features, "--groups", "folder"))) as whitened:
        assert whitened.options["whitening"].startswith("learned layer, supervised ")
    plain = write_features(tmp_path / "plain.h5", NAMES, descriptors(7))
    assert_fails(apply(plain, tmp_path / "w.h5", "h.h5"), 4, "differ in --whitening")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"network": {"name": "resnet50"}}, "differ in network"),
        ({"network": {"weights_digest": "1" * 32}}, "differ in weights"),
        ({"network": {"upsample": True}}, "differ in --upsample"),
        ({"pool": "mac"}, "differ in --pool"),
        ({"gem_exponent": 2.0}, "differ in --gem-exponent"),
        ({"scales": [1.0, 0.5]}, "differ in --scales"),
        ({"max_size": 64}, "differ in --max-size"),
        ({"k": 5}, "differ in dimension"),
    ],
)
def test_whiten_apply_refuses_features_made_otherwise(
    features: Path, changes: dict[str, object], text: str
) -> None:
    whitening = fitted(features, "--groups", "folder")
    k = changes.pop("k", 6) if "k" in changes else 6
    other = write_features(features.parent / "o.h5", NAMES, descriptors(1, int(k)), **changes)  # type: ignore[arg-type]
    assert_fails(apply(other, whitening), 4, text)


def test_whiten_artifact_of_another_kind(features: Path) -> None:
    whitening = fitted(features, "--groups", "folder")
    assert_fails(apply(features, features), 4, "another kind", "expected whitening")
    assert_fails(apply(whitening, whitening), 4, "another kind", "expected features")
    result = fit(whitening, "--groups", "folder", output="x.h5")
    assert_fails(result, 4, "another kind", "expected features")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A retrieval checkpoint of squeezenet1_1 with two forms of one whitening."""
    return _write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "net.pth", ["sfm"])


def _write_checkpoint(path: Path, sets: list[str]) -> Path:
    backbone = load_network("squeezenet1_1", "none", seed=3).backbone.state_dict()
    generator = np.random.default_rng(8)

    def form() -> dict[str, np.ndarray]:
        return {"m": generator.random((512, 1)) / 30, "P": generator.normal(size=(16, 512))}

    meta = {
        "architecture": "squeezenet1_1",
        "pooling": "gem",
        "Lw": {name: {"ss": form(), "ms": form()} for name in sets},
    }
    state = {f"features.{key}": value for key, value in backbone.items()}
    torch.save({"meta": meta, "state_dict": state}, path)
    return path


def export(checkpoint: Path, output: Path, *options: object) -> Result:
    return rrtool("whiten", "export", checkpoint, "-o", output, *options)


@pytest.mark.parametrize(("scales", "form"), [("1", "ss"), ("1,0.7071", "ms")])
def test_whiten_export_and_apply_equal_extract_with_the_checkpoint(
    checkpoint: Path, tmp_path: Path, scales: str, form: str
) -> None:
    images = make_pictures(tmp_path / "images", 3)
    network = ("--network", "squeezenet1_1", "--weights", checkpoint, "--scales", scales, *CPU)
    for name, whitening in (("raw.h5", "none"), ("expected.h5", "sfm")):
        options = ("--whitening", whitening, "-o", tmp_path / name)
        assert_done(rrtool("extract", images, *network, *options))
    assert_done(export(checkpoint, tmp_path / "w.h5", "--set", f"sfm/{form}"))
    assert_done(apply(tmp_path / "raw.h5", tmp_path / "w.h5"))
    with (
        open_any(tmp_path / "expected.h5") as expected,
        open_any(tmp_path / "g.h5") as found,
    ):
        np.testing.assert_allclose(found.descriptors, expected.descriptors, rtol=1e-4, atol=1e-5)
        assert found.options == expected.options
    # Alike in name and in fact, the two can be searched together.
    result = rrtool("search", tmp_path / "g.h5", tmp_path / "expected.h5", "-o", tmp_path / "r.h5")
    assert_done(result)


def test_whiten_export_dry_run_writes_nothing(checkpoint: Path, tmp_path: Path) -> None:
    result = export(checkpoint, tmp_path / "w.h5", "--dry-run")
    assert_done(result)
    assert "w.h5 (whitening) would be made" in result.stderr
    assert not (tmp_path / "w.h5").exists()


def test_whiten_export_chooses_the_set(checkpoint: Path, tmp_path: Path) -> None:
    assert_done(export(checkpoint, tmp_path / "w.h5"))
    with open_artifact(tmp_path / "w.h5", Whitening) as whitening:
        assert whitening.extra["set"] == "sfm/ms"
        assert whitening.projection.shape == (16, 512)
        assert np.isnan(whitening.eigenvalues).all()
    several = _write_checkpoint(tmp_path / "several.pth", ["sfm", "landmarks"])
    expected = "--set with one of sfm/ss, sfm/ms, landmarks/ss, landmarks/ms"
    assert_fails(export(several, tmp_path / "v.h5"), 2, "several whitenings", expected)
    assert_fails(export(several, tmp_path / "v.h5", "--set", "paris"), 2, expected, "found paris")
    assert_done(export(several, tmp_path / "v.h5", "--set", "landmarks"))
    assert_fails(export(several, tmp_path / "v.h5", "--set", "sfm"), 4, "another --set")


def test_whiten_export_of_a_file_without_whitening(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "plain.pth")
    output = tmp_path / "w.h5"
    assert_fails(export(tmp_path / "plain.pth", output), 2, "carries no whitening", "plain.pth")
    assert_fails(export(tmp_path / "absent.pth", output), 2, "no such weights file")
    (tmp_path / "text.pth").write_text("no checkpoint")
    assert_fails(export(tmp_path / "text.pth", output), 2, "not a readable weights file")


def test_whiten_apply_refuses_a_whitening_of_another_checkpoint(
    checkpoint: Path, features: Path
) -> None:
    whitening = features.parent / "w.h5"
    assert_done(export(checkpoint, whitening))
    assert_fails(apply(features, whitening), 4, "differ in weights")
