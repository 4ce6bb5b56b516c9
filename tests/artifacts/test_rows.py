"""Taking rows of artifacts over images, of every kind, compared with taking them one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rrtool.artifacts import Provenance, create, offsets_of
from rrtool.artifacts.kinds import KINDS, OverImages
from rrtool.artifacts.kinds.local_features import LocalFeaturesFile
from rrtool.artifacts.reader import open_artifact
from rrtool.artifacts.rows import RowLayout, RowTable, TakenRows, put_rows

N_ROWS, N_SCALES = 7, 2
OVER_IMAGES = [kind for kind in KINDS if issubclass(kind, OverImages)]


@pytest.mark.parametrize("kind", OVER_IMAGES, ids=lambda kind: kind.KIND)
def test_every_dataset_of_a_kind_is_of_its_rows_or_of_all(kind: type[OverImages]) -> None:
    layout = RowLayout.of(kind)
    assert {"status", "boxes", "file_digests"} <= layout.plain
    assert layout.divided["reasons/bytes"] == "reasons/offsets"
    assert not layout.plain & layout.divided.keys()
    declared = {column.name for column in vars(kind).values() if hasattr(column, "offsets_of")}
    assert declared - layout.names <= {"center"}


@pytest.fixture
def local(tmp_path: Path) -> LocalFeaturesFile:
    """Local features with rows of different length, some of none."""
    generator = np.random.default_rng(0)
    counts = generator.integers(0, 4, (N_ROWS, N_SCALES))
    m = counts.sum()
    columns = LocalFeaturesFile.columns(
        names=[f"{row}.jpg" for row in range(N_ROWS)],
        reasons=["" if row % 3 else f"reason {row}" for row in range(N_ROWS)],
        status=(np.arange(N_ROWS) % 3 == 0).astype(np.uint8),
        image_sizes=generator.integers(1, 99, (N_ROWS, 2)).astype(np.int32),
        boxes=generator.random((N_ROWS, 4), np.float32),
        file_signatures=generator.integers(1, 99, (N_ROWS, 2)),
        file_digests=generator.integers(0, 256, (N_ROWS, 16)).astype(np.uint8),
        map_sizes=generator.integers(1, 9, (N_ROWS, N_SCALES, 2)).astype(np.int32),
        means=generator.random((m, 2), np.float32),
        covariances=generator.random((m, 3), np.float32),
        strengths=generator.random(m).astype(np.float16),
        channels=generator.integers(0, 9, m).astype(np.uint16),
        offsets=offsets_of(counts),
    )
    provenance = Provenance(LocalFeaturesFile.KIND, {"role": "database"})
    with create(tmp_path / "l.h5", provenance) as output:
        output.publish(columns, extra={"n_scales": N_SCALES, "level_scale": 1.0, "delta": 1})
    return open_artifact(tmp_path / "l.h5", LocalFeaturesFile)


def _row(file: LocalFeaturesFile, row: int) -> dict[str, object]:
    features = file.of(row)
    return {
        "reason": file.reasons[row], "status": file.status[row], "boxes": file.boxes[row],
        "sizes": file.map_sizes[row], "means": features.means, "strengths": features.strengths,
        "channels": features.channels, "scales": features.scales,
    }  # fmt: skip


def _require_row(columns: dict[str, np.ndarray], place: int, expected: dict[str, object]) -> None:
    """A row of datasets, cut out by hand."""
    first = columns["offsets"][N_SCALES * place : N_SCALES * (place + 1) + 1]
    entries = slice(first[0], first[-1])
    text = columns["reasons/offsets"][place : place + 2]
    assert columns["reasons/bytes"][slice(*text)].tobytes().decode() == expected["reason"]
    found = {
        "status": columns["status"][place], "boxes": columns["boxes"][place],
        "sizes": columns["map_sizes"][place], "means": columns["means"][entries],
        "strengths": columns["strengths"][entries], "channels": columns["channels"][entries],
        "scales": np.repeat(np.arange(N_SCALES), np.diff(first)),
    }  # fmt: skip
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


@pytest.mark.parametrize(
    "rows", [[0], [6], [2, 3, 4], [6, 5, 0], [1, 1, 3], [*range(N_ROWS)], [4, 0, 1, 2, 6]]
)
def test_taken_rows_are_those_of_the_artifact(local: LocalFeaturesFile, rows: list[int]) -> None:
    table = RowTable(local)
    taken = TakenRows(table, np.array(rows), table.names, {})
    columns = {name: taken.read(name) for name in taken.names}
    assert {name: len(values) for name, values in columns.items()} == taken.lengths
    for place, row in enumerate(rows):
        _require_row(columns, place, _row(local, row))


def test_no_rows_have_datasets_of_no_length(local: LocalFeaturesFile) -> None:
    table = RowTable(local)
    taken = TakenRows(table, np.zeros(0, np.int64), table.names, {})
    for name in table.names:
        values = taken.read(name)
        assert len(values) == taken.lengths[name] == int(name.endswith("offsets")), name
        assert values.dtype == local.layout(name)[0]


@pytest.mark.parametrize("places", [[0], [3, 1], [4, 0, 2, 1, 3]])
def test_put_rows_replaces_those_rows_alone(local: LocalFeaturesFile, places: list[int]) -> None:
    table = RowTable(local)
    own, other = np.array([5, 4, 3, 2, 1]), np.array([6, 0, 3, 1, 2])[: len(places)]
    into = TakenRows(table, own, table.names, {})
    part = {name: into.read(name) for name in table.names}
    taken = TakenRows(table, other, table.names, {})
    columns = put_rows(LocalFeaturesFile, part, np.array(places), taken)
    assert {name: values.dtype for name, values in columns.items()} == {
        name: values.dtype for name, values in part.items()
    }
    expected = own.copy()
    expected[places] = other
    for place, row in enumerate(expected):
        _require_row(columns, place, _row(local, row))


def test_given_datasets_take_the_place_of_the_artifacts(local: LocalFeaturesFile) -> None:
    digests = np.ones((2, 16), np.uint8)
    taken = TakenRows(RowTable(local), np.array([1, 2]), ["status"], {"file_digests": digests})
    assert taken.lengths == {"status": 2, "file_digests": 2}
    np.testing.assert_array_equal(taken.read("file_digests", slice(1, 2)), digests[1:])
