"""import: files of other programs become artifacts, or are refused in one line."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import rrtool
from rrtool.exchange.described import Unit
from tests.stages.exchange.made_files import (
    NAMES,
    unit_vectors,
    write_hloc,
    write_json,
    write_names,
    write_npz,
    write_parquet,
)
from tests.tiny import assert_done, assert_fails, digest_of, make_pictures, skipped_rows
from tests.tiny import rrtool as run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_names(tmp_path / "names.txt", NAMES)
    return tmp_path


def _write(folder, form, vectors, names=NAMES):
    """A file in a form, and the words that import takes it in by."""
    if form == "npy":
        np.save(folder / "x.npy", vectors)
        write_names(folder / "names.txt", names)
        return ["x.npy", "--names", "names.txt"]
    write = {"npz": write_npz, "parquet": write_parquet, "h5": write_hloc}[form]
    write(folder / f"x.{form}", vectors, names)
    return [f"x.{form}"]


@pytest.mark.parametrize("form", ["npy", "npz", "parquet", "h5"])
def test_import_features_are_those_of_the_file(here, form):
    vectors = unit_vectors()
    assert_done(run("import", *_write(here, form, vectors), "-o", "f.h5"))
    with rrtool.open("f.h5") as features:
        assert features.names == NAMES
        assert features.descriptors.dtype == np.float32
        assert features.descriptors.tobytes() == vectors.tobytes()
        assert not features.status.any()
        assert features.inputs[0].role == "source"
        sizes = [[100 + row, 50] for row in range(5)] if form == "h5" else np.zeros((5, 2))
        np.testing.assert_array_equal(features.image_sizes, sizes)


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", "int32", "uint8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_import_converts_and_normalises_and_says_so(here, dtype, order):
    values = np.asarray(100 * np.abs(unit_vectors()), dtype=dtype, order=order)
    result = run("import", *_write(here, "npy", values), "-o", "f.h5")
    assert_done(result)
    assert "become float32" in result.stderr
    assert "5 of 5 descriptors are not of unit length" in result.stderr
    exact = values.astype(np.float64)
    exact /= np.sqrt((exact**2).sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(rrtool.open("f.h5").descriptors, exact.astype(np.float32))


def test_import_names_choose_and_order_the_rows_of_a_file_with_names(here):
    chosen = [NAMES[3], NAMES[0]]
    write_names(here / "some.txt", chosen)
    words = _write(here, "h5", unit_vectors())
    assert_done(run("import", *words, "--names", "some.txt", "-o", "f.h5"))
    with rrtool.open("f.h5") as features:
        assert features.names == chosen
        np.testing.assert_array_equal(features.descriptors, unit_vectors()[[3, 0]])
        np.testing.assert_array_equal(features.image_sizes[:, 0], [103, 100])


def test_import_npz_without_names_takes_them_from_a_list(here):
    np.savez("x.npz", unit_vectors())
    assert_fails(run("import", "x.npz", "-o", "f.h5"), 2, "which array are the names", "arr_0")
    assert_done(run("import", "x.npz", "--names", "names.txt", "-o", "f.h5"))
    assert rrtool.open("f.h5").names == NAMES


@pytest.mark.parametrize("form", ["npy", "npz", "parquet", "h5"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "not finite"), (np.inf, "not finite"), (-np.inf, "not finite"), (0.0, "is zero")],
)
def test_import_bad_row_keeps_its_place_with_a_reason(here, form, value, reason):
    vectors = unit_vectors()
    vectors[2, slice(None) if value == 0 else 4] = value
    result = run("import", *_write(here, form, vectors), "-o", "f.h5")
    assert_done(result, 3)
    assert list(skipped_rows(here / "f.h5")) == [NAMES[2]]
    with rrtool.open("f.h5") as features:
        np.testing.assert_array_equal(features.status, [0, 0, 1, 0, 0])
        assert reason in features.reasons[2]
        assert not features.descriptors[2].any()
        np.testing.assert_array_equal(features.descriptors[[0, 1, 3, 4]], vectors[[0, 1, 3, 4]])


def test_import_of_no_good_row_fails(here):
    words = _write(here, "npy", np.full((5, 3), np.nan))
    assert_fails(run("import", *words, "-o", "f.h5"), 1, "not one of 5 descriptors")
    assert not (here / "f.h5").exists()


class _Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def _npy(shape, descr="<f4", content=b""):
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def _zipped(name, content, length=None):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    data = bytearray(file.getvalue())
    if length is not None:  # another length of the content, in the directory
        place = data.rfind(b"PK\x01\x02") + 24
        data[place : place + 4] = length.to_bytes(4, "little")
    return bytes(data)


def _cut(path, write, *args):
    write(path, *args)
    path.write_bytes(path.read_bytes()[:-30])


def _no_utf8(path):
    texts = pa.array([b"a", b"\xff"], pa.binary()).view(pa.string())
    table = {"name": texts, "descriptor": [[1.0], [2.0]]}
    parquet.write_table(pa.table(table), path)


def _parquet(path, vectors, names=("a", "b")):
    parquet.write_table(pa.table({"name": list(names), "descriptor": vectors}), path)


def _hdf5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[f"{name}/global_descriptor"] = values


def _linked(path):
    with h5py.File(path, "w") as file:
        file["a/global_descriptor"] = h5py.ExternalLink("elsewhere.h5", "/x")


GOOD = unit_vectors()
BAD = {
    "objects": ("x.npy", lambda p: np.save(p, np.array([[1, _Bomb()]]), allow_pickle=True),
                "objects of Python"),
    "pickle": ("x.npy", lambda p: p.write_bytes(pickle.dumps(_Bomb())), "no file of NumPy's"),
    "object names": ("x.npz", lambda p: np.savez(p, v=GOOD, n=np.array([*NAMES], object)),
                     "objects of Python"),
    "object vectors": ("x.npz", lambda p: np.savez(p, d=GOOD.astype(object), names=NAMES),
                       "objects of Python"),
    "too few names": ("x.npy", lambda p: np.save(p, unit_vectors(7)),
                      "another number of names than of descriptors (expected 7"),
    "one axis": ("x.npy", lambda p: np.save(p, GOOD[0]), "no matrix of descriptors"),
    "three axes": ("x.npy", lambda p: np.save(p, GOOD[None]), "no matrix of descriptors"),
    "complex": ("x.npy", lambda p: np.save(p, GOOD * 1j), "neither numbers nor texts"),
    "truth values": ("x.npy", lambda p: np.save(p, GOOD > 0), "neither numbers nor texts"),
    "texts": ("x.npy", lambda p: np.save(p, np.array([["a"]])), "no matrix of descriptors"),
    "nothing": ("x.npy", lambda p: np.save(p, GOOD[:0]), "no descriptors in it"),
    "empty file": ("x.npy", lambda p: p.write_bytes(b""), "no file of NumPy's"),
    "cut npy": ("x.npy", lambda p: _cut(p, np.save, GOOD), "larger than what is stored"),
    "huge": ("x.npy", lambda p: p.write_bytes(_npy((1 << 40, 1 << 20))), "larger than what"),
    "negative": ("x.npy", lambda p: p.write_bytes(_npy((-5, 2))), "larger than what"),
    "header": ("x.npy", lambda p: p.write_bytes(b"\x93NUMPY\x01\0\x20\0" + b"(" * 32),
               "no file of NumPy's"),
    "cut npz": ("x.npz", lambda p: _cut(p, write_npz, GOOD), "no file of NumPy's"),
    "bomb": ("x.npz", lambda p: p.write_bytes(_zipped("a.npy", _npy((1 << 28, 1)), 1 << 30)),
             "a length that nothing stored has"),
    "two matrices": ("x.npz", lambda p: np.savez(p, a=GOOD, b=GOOD, n=NAMES),
                     "which array are the descriptors"),
    "npz twice": ("x.npz", lambda p: write_npz(p, GOOD, ["a", "b", "a", "c", "d"]),
                  "a name occurs twice (found 'a')"),
    "empty name": ("x.npz", lambda p: write_npz(p, GOOD, ["a", "", "b", "c", "d"]),
                   "no name of an image"),
    "not HDF5": ("x.h5", lambda p: p.write_bytes(b"nothing" * 99), "not an HDF5 file"),
    "cut HDF5": ("x.h5", lambda p: _cut(p, write_hloc, GOOD), "damaged, cut short"),
    "no vectors": ("x.h5", lambda p: h5py.File(p, "w").create_dataset("a/keypoints", data=GOOD),
                   "no global descriptors of hloc"),
    "two lengths": ("x.h5", lambda p: _hdf5(p, a=GOOD[0], b=GOOD[0, :3]), "not of one length"),
    "linked": ("x.h5", _linked, "a link to elsewhere"),
    "cut parquet": ("x.parquet", lambda p: _cut(p, write_parquet, GOOD), "no Parquet file"),
    "no UTF-8": ("x.parquet", _no_utf8, "codec can't decode"),
    "ragged": ("x.parquet", lambda p: _parquet(p, [[1.0, 2.0], [1.0]]), "not of one length"),
    "no list": ("x.parquet", lambda p: _parquet(p, [[1.0], None]), "not of one length"),
    "gap": ("x.parquet", lambda p: _parquet(p, [[1.0], [None]]), "has gaps"),
    "no name": ("x.parquet", lambda p: _parquet(p, [[1.0], [2.0]], ["a", None]), "has no name"),
    "no column": ("x.parquet", lambda p: _parquet(p, [1.0, 2.0]), "which column has the desc"),
    "twice": ("x.parquet", lambda p: _parquet(p, [[1.0], [2.0]], "aa"), "a name occurs twice"),
    "pipe": ("x.h5", os.mkfifo, "a pipe, a socket or a device"),
    "folder": ("x.npz", os.mkdir, "Is a directory"),
    "missing": ("x.npz", lambda p: None, "No such file"),
    "suffix": ("x.bin", lambda p: p.write_bytes(b""), "the suffix does not tell the format"),
    "similarities": ("x.json", lambda p: write_json(p, {"q": ["a"]}), "as ILIAS has them"),
    "no number": ("x.json", lambda p: write_json(p, {"q": {"a": "1"}}), "no similarity"),
    "NaN": ("x.json", lambda p: p.write_text('{"q": {"a": NaN}}'), "no similarity"),
    "huge number": ("x.json", lambda p: p.write_text('{"q": {"a": 1' + "0" * 999 + "}}"),
                    "no similarity"),
    "keys": ("x.json", lambda p: p.write_text('{"q": {"a": 1, "a": 2}}'), "occurs twice"),
    "deep": ("x.json", lambda p: p.write_text("[" * 99999), "cannot read the JSON"),
    "half a character": ("x.json", lambda p: p.write_text('{"q": {"\\ud800": 1}}'),
                         "no name of an image"),
    "no query": ("x.json", lambda p: p.write_text("{}"), "there is no query in it"),
    "score": ("x.csv", lambda p: p.write_text("q,a,1\nq,b,x\n"), "line 2: no score"),
    "rank": ("x.csv", lambda p: p.write_text("query,rank,name,score,similarity\nq,nan,a,1,1\n"),
             "line 2: no rank"),
    "image twice": ("x.csv", lambda p: p.write_text("q,a,1\nq,a,2\n"), "has an image twice"),
    "three words": ("x.txt", lambda p: p.write_text("q a b\n"), "line 1: no pair of images"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_import_refuses_in_one_line(here, case):
    name, make, text = BAD[case]
    make(here / name)
    words = ["--names", "names.txt"] if name == "x.npy" else []
    where = "names.txt" if case == "too few names" else name
    assert_fails(run("import", name, *words, "-o", "f.h5"), 2, text, where)
    assert not (here / "f.h5").exists()
    assert not (here / "exploded").exists()


RANKS = np.array([[0, 2], [1, 0], [2, 1]])
BAD_RANKS = {
    "floats": (RANKS * 1.0, "no ranks"),
    "transposed": (RANKS.T, "the ranks are of other queries"),
    "too large": (RANKS + 1, "images that are not there (expected rows below 3, found 1 to 3)"),
    "too small": (RANKS - 2, "images that are not there"),
    "twice": (RANKS * 0, "a ranking has an image twice"),
    "gap": (RANKS - 1, "a ranking has a gap"),
}


@pytest.mark.parametrize("case", BAD_RANKS)
def test_import_refuses_ranks_of_others(here, case):
    ranks, text = BAD_RANKS[case]
    np.save("r.npy", ranks)
    assert_fails(_import_ranks(here), 2, text)


def _import_ranks(here):
    write_names(here / "db.txt", "abc")
    write_names(here / "q.txt", "xy")
    words = ("--format", "ranks", "--names", "db.txt", "--query-names", "q.txt")
    return run("import", "r.npy", *words, "-o", "r.h5")


def test_import_names_that_match_nothing_are_refused(here):
    words = _write(here, "h5", unit_vectors())
    write_names(here / "names.txt", [NAMES[0], "z.jpg"])
    line = assert_fails(run("import", *words, "--names", "names.txt", "-o", "f.h5"), 2)
    assert "1 of 2 names match nothing in x.h5 (expected names such as 'a.jpg'" in line
    write_json(here / "x.json", {"q": {"a.jpg": 1, "b.jpg": 2}})
    line = assert_fails(run("import", "x.json", "--names", "names.txt", "-o", "f.h5"), 2)
    assert "1 of 2 names match nothing in names.txt" in line


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("x.npy",), "npy has no names (expected --names"),
        (("x.npy", "--format", "ranks", "--names", "n"), "expected --query-names"),
        (("x.npz", "--query-names", "n"), "--query-names goes with rankings"),
        (("x.npz", "--network-name", " "), "bad --network-name"),
    ],
)
def test_import_options_that_do_not_go_together(here, words, text):
    assert_fails(run("import", *words, "-o", "f.h5"), 2, text)


def test_import_of_an_artifact_is_refused(here):
    assert_done(run("import", *_write(here, "npz", unit_vectors()), "-o", "f.h5"))
    assert_fails(run("import", "f.h5", "-o", "g.h5"), 2, "an artifact already")


def test_import_again_is_up_to_date_until_the_file_changes(here):
    words = ["import", *_write(here, "npy", unit_vectors()), "-o", "f.h5"]
    assert_done(run(*words))
    before = digest_of(here / "f.h5")
    result = run(*words)
    assert_done(result)
    assert "is up to date" in result.stderr
    assert_fails(run(*words, "--network-name", "n"), 4, "another --network-name")
    write_names(here / "names.txt", NAMES[::-1])
    assert_fails(run(*words), 4, "made from other --names")
    assert_done(run(*words, "--overwrite"))
    assert digest_of(here / "f.h5") != before


def test_import_descriptors_of_two_files_are_compared_where_the_user_says_so(here):
    for name, seed in (("q", 1), ("d", 2)):
        write_npz(here / f"{name}.npz", unit_vectors(seed=seed))
        assert_done(run("import", f"{name}.npz", "-o", f"{name}.h5"))
        words = ("import", f"{name}.npz", "-o", f"{name}n.h5", "--network-name", "my network")
        assert_done(run(*words))
    line = assert_fails(run("search", "q.h5", "d.h5", "-o", "r.h5"), 4, "differ in network")
    assert "--network-name" in line
    assert_fails(run("search", "qn.h5", "d.h5", "-o", "r.h5"), 4, "differ in network")
    assert_done(run("search", "qn.h5", "dn.h5", "-o", "r.h5"))
    expected = np.argsort(-(unit_vectors(seed=1) @ unit_vectors(seed=2).T), axis=1)
    np.testing.assert_array_equal(rrtool.open("r.h5").ids, expected)


def test_import_all_that_comes_after_works(here):
    """Two groups of directions: whatever ranks must find the own group first."""
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(2, 8), 6, axis=0)
    vectors = centres + rng.normal(scale=0.02, size=centres.shape)
    names = [f"{'ab'[i // 6]}_{i}.jpg" for i in range(12)]
    write_npz(here / "x.npz", vectors, names)
    rrtool.import_("x.npz", "f.h5")
    rrtool.search("f.h5", "f.h5", "s.h5")
    rrtool.whiten_fit("f.h5", "w.h5", method="pca", dim=4)
    rrtool.whiten_apply("f.h5", "w.h5", "fw.h5")
    rrtool.build_graph("f.h5", "g.h5", k=5)
    rrtool.diffuse("d.h5", graph="g.h5", queries="f.h5", database="f.h5")
    result = run("evaluate", "s.h5", "d.h5", "--ground-truth", "prefix:(.)_")
    assert_done(result)
    assert "100.00" in result.stdout
    assert "as imported" in result.stdout
    scores = rrtool.evaluate(("s.h5", "d.h5"), ground_truth="prefix:(.)_")
    assert [each["scores"][0]["mAP"] for each in scores] == [1.0, 1.0]
    make_pictures(here / "photos", 1)
    (here / "photos" / "000.png").rename(here / "photos" / names[0])
    page = rrtool.report(("d.h5",), "page.html", images="photos")
    assert "a_0.jpg" in page.path.read_text(encoding="utf-8")


def test_import_ilias_orders_by_similarity(here):
    content = {"q/1": {"a": 0.25, "b": 0.5, "c": -1}, "q/2": {}, "q/3": {"c": 1, "d": 1}}
    write_json(here / "x.json", content)
    result = run("import", "x.json", "-o", "r.h5")
    assert_done(result)
    assert "the database is the 4 images that are in the rankings" in result.stderr
    with rrtool.open("r.h5") as ranking:
        assert ranking.query_names == list(content)
        assert [(h.rank, h.name, h.similarity) for h in ranking.hits("q/1")] == [
            (1, "b", 0.5), (2, "a", 0.25), (3, "c", -1.0),
        ]  # fmt: skip
        assert ranking.hits("q/2") == []
        assert [hit.name for hit in ranking.hits("q/3")] == ["c", "d"]


def test_import_lists_complete_and_order_a_ranking(here):
    write_json(here / "x.json", {"q": {"a": 1, "b": 2}, "p": {"a": 1}})
    write_names(here / "db.txt", ["z", "a", "b"])
    write_names(here / "q.txt", ["p"])
    words = ("import", "x.json", "--names", "db.txt", "--query-names", "q.txt", "-o", "r.h5")
    assert_done(run(*words))
    with rrtool.open("r.h5") as ranking:
        assert (ranking.query_names, ranking.database_names) == (["p"], ["z", "a", "b"])
        np.testing.assert_array_equal(ranking.ids, [[1]])
    write_names(here / "q.txt", ["nobody"])
    assert_fails(run(*words, "--overwrite"), 2, "1 of 1 names match nothing in x.json")


@pytest.mark.parametrize(
    "text",
    [
        "q,a,1\nq,b,3\np,a,0\nq,c,2\n",
        "score;image;query\n1;a;q\n3;b;q\n0;a;p\n2;c;q\n",
        "query\tname\tscore\nq\ta\t1\nq\tb\t3\np\ta\t0\nq\tc\t2\n",
    ],
)
def test_import_csv_orders_by_score(here, text):
    (here / "x.csv").write_text(text)
    assert_done(run("import", "x.csv", "-o", "r.h5"))
    with rrtool.open("r.h5") as ranking:
        assert [(hit.name, hit.score) for hit in ranking.hits("q")] == [
            ("b", 3.0), ("c", 2.0), ("a", 1.0),
        ]  # fmt: skip
        assert [hit.name for hit in ranking.hits("p")] == ["a"]


def test_import_ranks_are_those_of_the_columns(here):
    np.save("r.npy", np.array([[0, 2], [1, 0], [2, -1]], dtype=np.int16))
    assert_done(_import_ranks(here))
    with rrtool.open("r.h5") as ranking:
        assert [[hit.name for hit in ranking.hits(query)] for query in "xy"] == [
            ["a", "b", "c"], ["c", "a"],
        ]  # fmt: skip
        assert np.isnan(ranking.hits("x")[0].similarity)
    scores = rrtool.evaluate(("r.h5",), ground_truth=str(_groups(here)))
    # a and c are right: of x at 1 and 3, of y at 1 and 2 (trapezoids, as in the released code).
    x = (1 + (1 / 2 + 2 / 3) / 2) / 2
    assert scores[0]["scores"][0]["mAP"] == pytest.approx((x + 1) / 2)


def _groups(here):
    path = here / "groups.csv"
    path.write_text("name,label\nx,1\na,1\nb,2\nc,1\ny,1\n")
    return path


def test_import_pairs_are_in_the_order_of_the_lines(here):
    (here / "x.txt").write_text("q b\nq a\n\np a\n")
    assert_done(run("import", "x.txt", "-o", "r.h5"))
    with rrtool.open("r.h5") as ranking:
        assert [hit.name for hit in ranking.hits("q")] == ["b", "a"]


def test_unit_keeps_every_bit_of_what_is_of_unit_length_in_single_precision():
    near, far = unit_vectors() * np.float32(1 + 5e-6), unit_vectors() * np.float32(1 + 5e-5)
    kept, changed = Unit.of(near), Unit.of(far)
    assert kept.vectors.tobytes() == near.tobytes()
    assert (kept.n_normalised, changed.n_normalised) == (0, len(NAMES))
    np.testing.assert_allclose(np.linalg.norm(changed.vectors, axis=1), 1, atol=1e-7)
