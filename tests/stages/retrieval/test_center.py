"""The whitening that comes with rrtool, about the mean of the photos or of a database."""

from __future__ import annotations

import re

import numpy as np
import pytest

import rrtool
from rrtool.errors import ArtifactError, UsageError
from rrtool.networks import packaged
from rrtool.networks.packaged import own_head
from tests.tiny import make_pictures

SMALL = {"max_size": 64, "scales": (1.0,), "engine": "torch"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("center")
    make_pictures(folder / "photos", 5)
    make_pictures(folder / "one", 1)
    return folder


def _described(folder, photos, name, **options):
    path = rrtool.extract(folder / photos, folder / name, overwrite=True, **SMALL, **options)
    with rrtool.open(path) as features:
        center = features.center if type(features).center in features else None
        return np.array(features.descriptors), center, dict(features.options)


def test_descriptors_are_whitened_about_their_mean_and_the_learnt_one(folder):
    plain, center, _ = _described(folder, "photos", "plain.h5", whitening="none")
    assert center is None
    white, center, options = _described(folder, "photos", "white.h5")
    mean, projection = own_head().whitenings["photos"]["ms"]
    expected_center = (10 * mean.astype(float) + plain.sum(axis=0)) / (10 + len(plain))
    np.testing.assert_allclose(center, expected_center, atol=1e-6)
    expected = (plain - expected_center) @ projection.T.astype(float)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert white.shape == (5, 1024)
    np.testing.assert_allclose(white, expected, atol=1e-5)
    assert re.fullmatch("photos@[0-9a-f]{8}/ms", options["whitening"])


def test_another_version_of_the_whitening_is_told_apart(folder, monkeypatch):
    _described(folder, "photos", "version1.h5")
    other = own_head()
    other.whitenings["photos"]["ms"][1][0, 0] += 1
    monkeypatch.setattr(packaged, "own_head", lambda: other)
    _described(folder, "one", "version2.h5", center=folder / "version1.h5")
    with pytest.raises(ArtifactError, match="--whitening"):
        rrtool.search(folder / "version2.h5", folder / "version1.h5", folder / "r.h5")


def test_queries_are_whitened_about_the_mean_of_their_database(folder):
    _, center, _ = _described(folder, "photos", "database.h5")
    database = folder / "database.h5"
    _, own_center, _ = _described(folder, "one", "query.h5", center=database)
    np.testing.assert_array_equal(own_center, center)
    alone, other_center, _ = _described(folder, "one", "alone.h5")
    assert not np.array_equal(other_center, center)
    assert np.isfinite(alone).all()
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)
    rrtool.search(folder / "query.h5", database, folder / "r.h5", overwrite=True)
    with pytest.raises(ArtifactError, match=r"different means.*--center .*database\.h5"):
        rrtool.search(folder / "alone.h5", database, folder / "s.h5")


@pytest.mark.parametrize("options", [{"pool": "mac"}, {"gem_exponent": 4.0}, {"regions": 1}])
def test_what_it_was_not_learnt_on_is_not_whitened(folder, options):
    path = rrtool.extract(folder / "one", folder / "other.h5", overwrite=True, **SMALL, **options)
    with rrtool.open(path) as made:
        assert made.options["whitening"] == "none"
        assert made.descriptors.shape[1] == 1280
    with pytest.raises(UsageError, match="GeM with exponent 3"):
        _described(folder, "one", "refused.h5", whitening="photos", **options)


def test_a_center_must_go_with_the_features(folder):
    _described(folder, "photos", "white.h5")
    with pytest.raises(ArtifactError, match="would not be"):
        _described(folder, "one", "a.h5", whitening="none", center=folder / "white.h5")
    _described(folder, "photos", "plain.h5", whitening="none")
    with pytest.raises(ArtifactError, match="not whitened about a mean"):
        _described(folder, "one", "b.h5", center=folder / "plain.h5")
    with pytest.raises(ArtifactError, match="another network"):
        _described(
            folder, "one", "c.h5", center=folder / "white.h5",
            network="squeezenet1_1", weights="none",
        )  # fmt: skip


def test_without_whitenings_a_center_changes_nothing(folder):
    plain, _, _ = _described(folder, "photos", "plain.h5", whitening="none")
    same, center, _ = _described(
        folder, "photos", "same.h5", whitening="none", center=folder / "plain.h5"
    )
    assert center is None
    np.testing.assert_array_equal(same, plain)
