"""Tuples: pairs are of two images of one group, or the artifact is damaged."""

import numpy as np
import pytest

from rrtool.artifacts import Provenance, Tuples, create, open_artifact
from rrtool.errors import ArtifactError


def _written(path, groups, pairs):
    columns = Tuples.columns(
        names=[f"{row}.jpg" for row in range(len(groups))],
        groups=np.array(groups, np.int32),
        pairs=np.array(pairs, np.int32).reshape(-1, 2),
    )
    with create(path, Provenance("tuples", {})) as output:
        return output.publish(columns, extra={"images": "photos"})


@pytest.mark.parametrize("pairs", [[], [[0, 2], [2, 0], [1, 3]]])
def test_checked_tuples_are_what_was_written(tmp_path, pairs):
    with open_artifact(_written(tmp_path / "t.h5", [0, 1, 0, 1, -1], pairs), Tuples) as tuples:
        groups, found = tuples.checked()
        assert groups.tolist() == [0, 1, 0, 1, -1]
        assert found.tolist() == pairs
        assert tuples.images == "photos"
        assert [*tuples.rows()][:2] == [("name", "group"), ("0.jpg", 0)]


@pytest.mark.parametrize("pair", [[0, 1], [0, 0], [0, -1], [4, 4], [0, 4], [5, 4], [0, 9]])
def test_checked_tuples_refuse_pairs_of_no_one_group(tmp_path, pair):
    written = _written(tmp_path / "t.h5", [0, 1, 0, 1, -1, -1], [[0, 2], pair])
    with open_artifact(written, Tuples) as tuples, pytest.raises(ArtifactError):
        tuples.checked()


def test_groups_beyond_the_images_are_refused(tmp_path):
    written = _written(tmp_path / "t.h5", [0, 7], [])
    with open_artifact(written, Tuples) as tuples, pytest.raises(ArtifactError):
        tuples.checked()
