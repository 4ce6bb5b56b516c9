"""The schema of a kind: what is written by it can be read, and what does not fit it is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtool.artifacts import Artifact, Provenance, create, open_artifact
from rrtool.artifacts.kinds import KINDS
from rrtool.artifacts.ragged import EncodedTexts, decode_texts, encode_texts, offsets_of
from rrtool.artifacts.schema import Column, Group, Texts, schema_of
from rrtool.errors import ArtifactError
from tests.stages.damaging import edited


class Toy(Artifact):
    """A kind with everything that a schema can say."""

    KIND = "toy"
    FACTS = {"n_scales": int}  # noqa: RUF012
    OPTIONS = {"alpha": (int, float)}  # noqa: RUF012
    names = Texts("n", "of the rows")
    vectors = Column("float32 float16", "n d")
    neighbors = Column("int32", "n k", ids_of="n")
    values = Column("float64", "*", name="deep/values")
    offsets = Column("int64", "nS+1", offsets_of="deep/values")
    sizes = Column("int32", "n S 2")
    extra_column = Column("uint8", "n", optional=True)
    parameters = Group("of anything")


GOOD = {
    "names": ["a", "b\udcff", ""],
    "vectors": np.arange(6, dtype=np.float32).reshape(3, 2),
    "neighbors": np.array([[1, 2], [0, -1], [-1, -1]], np.int32),
    "sizes": np.zeros((3, 2, 2), np.int32),
    "values": np.arange(5.0),
    "offsets": np.array([0, 2, 2, 3, 5, 5, 5]),
    "parameters": {"w": np.ones(2), "layer/b": np.zeros((0, 3))},
}


def _write(path, options=None, extra=None, **changes):
    provenance = Provenance("toy", {"alpha": 0.5} if options is None else options)
    with create(path, provenance, overwrite=True) as output:
        facts = {"n_scales": 2} if extra is None else extra
        return output.publish(Toy.columns(**{**GOOD, **changes}), extra=facts)


def test_columns_come_back_as_they_were_written(tmp_path):
    with open_artifact(_write(tmp_path / "a.h5"), Toy) as toy:
        assert toy.names == GOOD["names"]
        for name in ("vectors", "neighbors", "sizes", "values", "offsets"):
            np.testing.assert_array_equal(getattr(toy, name), GOOD[name])
        assert sorted(toy.parameters) == ["layer/b", "w"]
        assert toy.lengths == {"n": 3, "d": 2, "k": 2, "S": 2}
        assert Toy.extra_column not in toy
        assert Toy.vectors in toy
        assert Toy.names in toy
        np.testing.assert_array_equal(toy.read(Toy.vectors, slice(1, 2)), GOOD["vectors"][1:2])
        with pytest.raises(ArtifactError, match="there is no extra_column in this toy"):
            _ = toy.extra_column


def test_empty_columns_fit(tmp_path):
    path = _write(
        tmp_path / "a.h5", names=[], vectors=np.zeros((0, 2), np.float16),
        neighbors=np.zeros((0, 2), np.int32), sizes=np.zeros((0, 2, 2), np.int32),
        values=np.zeros(0), offsets=np.zeros(1, np.int64),
    )  # fmt: skip
    with open_artifact(path, Toy) as toy:
        assert toy.names == []
        assert toy.vectors.shape == (0, 2)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"vectors": np.zeros((2, 2), np.float32)}, r"vectors .*expected .*\(3, d\).*found .*2, 2"),
        ({"vectors": np.zeros((3, 2, 1), np.float32)}, "vectors has another type or length"),
        ({"vectors": np.zeros(3, np.float32)}, "vectors has another type or length"),
        ({"vectors": None}, "there is no vectors in this toy"),
        ({"offsets": np.zeros(6, np.int64)}, "offsets has another type or length"),
        ({"sizes": np.zeros((3, 2, 3), np.int32)}, r"sizes .*expected int32 \(3, 2, 2\)"),
        ({"names": ["a"]}, r"vectors has another type or length"),
        ({"extra_column": np.zeros(4, np.uint8)}, "extra_column has another type or length"),
    ],
)
def test_layout_that_does_not_fit_is_refused_on_opening(tmp_path, changes, text):
    with pytest.raises(ArtifactError, match=text):
        open_artifact(_write(tmp_path / "a.h5", **changes), Toy)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("neighbors", np.array([[1, 3], [0, 0], [0, 0]], np.int32)),
        ("neighbors", np.array([[1, 2], [0, -2], [0, 0]], np.int32)),
        ("offsets", np.array([0, 2, 2, 3, 5, 4, 5])),
        ("offsets", np.array([1, 2, 2, 3, 5, 5, 5])),
        ("offsets", np.array([0, 2, 2, 3, 5, 5, 6])),
        ("offsets", np.array([0, 2, 2, 3, 4, 4, 4])),
        ("offsets", np.array([0, -1, 2, 3, 5, 5, 5])),
    ],
)
def test_values_that_do_not_fit_are_refused_when_they_are_read(tmp_path, column, values):
    toy = open_artifact(_write(tmp_path / "a.h5", **{column: values}), Toy)
    with toy, pytest.raises(ArtifactError, match=f"damaged toy: {column}"):
        getattr(toy, column)


def test_values_of_a_slice_are_checked_too(tmp_path):
    path = _write(tmp_path / "a.h5", offsets=np.array([0, 2, 2, 3, 5, 4, 5]))
    with open_artifact(path, Toy) as toy:
        assert toy.read(Toy.offsets, slice(0, 3)).tolist() == [0, 2, 2]
        with pytest.raises(ArtifactError, match="offsets"):
            toy.read(Toy.offsets, slice(3, 7))


def test_other_types_are_refused_when_they_are_written():
    with pytest.raises(ValueError, match="vectors is float64, declared float32 or float16"):
        Toy.columns(vectors=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="toy has no vector"):
        Toy.columns(vector=np.zeros((3, 2), np.float32))
    assert Toy.columns(vectors=None) == {}


@pytest.mark.parametrize(
    ("options", "extra", "text"),
    [
        ({}, None, r"its attributes \(options\) .*expected alpha: int or float, found no alpha"),
        ({"alpha": "high"}, None, "found high"),
        (None, {}, r"its attributes \(extra\) .*n_scales: int"),
        (None, {"n_scales": 1.5}, "found 1.5"),
    ],
)
def test_facts_and_options_of_a_kind_are_required(tmp_path, options, extra, text):
    path = _write(tmp_path / "a.h5", options, extra)
    with pytest.raises(ArtifactError, match=text):
        open_artifact(path, Toy)
    open_artifact(path).close()  # of any kind


@pytest.mark.parametrize("name", ["options", "inputs", "network", "extra", "command", "versions"])
@pytest.mark.parametrize(
    "value",
    [b"{}", "{", "[", "3", "null", '"text"', np.float64(2), None, "\x01", '[{"role": 1}]', "[1]"],
)
def test_attribute_that_is_no_json_of_its_kind_is_one_line(tmp_path, name, value):
    path = _write(tmp_path / "a.h5")
    with edited(path) as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = np.bytes_(value) if isinstance(value, bytes) else value
    if name == "command" and isinstance(value, str) and value in ('[{"role": 1}]', "[1]"):
        open_artifact(path, Toy).close()
        return
    with pytest.raises(ArtifactError, match="damaged") as error:
        open_artifact(path, Toy)
    assert "\n" not in str(error.value)


@given(st.lists(st.integers(0, 9), max_size=20))
def test_offsets_of_counts(counts):
    offsets = offsets_of(counts)
    assert offsets.dtype == np.int64
    assert offsets[0] == 0
    assert np.diff(offsets).tolist() == counts


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=9))
def test_encoded_texts_are_the_texts_without_decoding_them(texts):
    columns = encode_texts(texts, "x")
    encoded = EncodedTexts(columns["x/bytes"], columns["x/offsets"])
    assert list(encoded) == texts == decode_texts(*columns.values())
    assert [encoded[row] for row in range(len(texts))] == texts
    assert encoded[-2:] == texts[-2:]
    with pytest.raises(IndexError):
        encoded[len(texts)]
    again = encode_texts(encoded, "x")
    assert again["x/bytes"] is encoded.data
    assert encoded.is_same(EncodedTexts(*again.values()))
    other = encode_texts([*texts, "one more"], "x")
    assert not encoded.is_same(EncodedTexts(*other.values()))
    assert not encoded.is_same(texts)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_every_kind_says_what_its_datasets_mean(kind):
    assert kind.__doc__
    schema = schema_of(kind)
    assert schema
    for column in schema.values():
        assert column.meaning
        if isinstance(column, Column) and column.offsets_of:
            assert column.offsets_of in {
                each.name for each in schema.values() if isinstance(each, Column)
            }


def test_kinds_are_told_apart_by_their_names():
    assert len({kind.KIND for kind in KINDS}) == len(KINDS)
