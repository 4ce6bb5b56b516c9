"""Ground truth sources: made by hand in small, and the real files where they are."""

from __future__ import annotations

import os
import pickle
import random
import time
import warnings

import numpy as np
import pytest
from scipy.io import savemat

from rrtool.core.evaluation.evaluation import retrieval_scores
from rrtool.errors import UsageError
from rrtool.ground_truth import detect_protocol, load
from rrtool.ground_truth.boxes import load_boxes
from rrtool.ground_truth.restricted_pickle import load_restricted
from tests.shared_data import ROOT, needs_shared_data

GALLERY = ["cat_1", "cat_2", "cat_3", "dog_1", "dog_2"]
REVISITED = {
    "imlist": GALLERY,
    "qimlist": ["cat_q", "dog_q"],
    "gnd": [
        {"bbx": [1, 2, 30.5, 40], "easy": [0], "hard": [1, 2], "junk": [3]},
        {"bbx": [0, 0, 9, 9], "easy": [], "hard": [4], "junk": []},
    ],
}
DATABASE = [f"jpg/{name}.jpg" for name in GALLERY]


def write_pickle(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return str(path)


def ids(truths):
    return [(truth.positives.tolist(), truth.junk.tolist()) for truth in truths]


@pytest.fixture
def revisited_path(tmp_path):
    return write_pickle(tmp_path / "gnd.pkl", REVISITED)


@pytest.fixture
def oxford_path(tmp_path):
    write_oxford(tmp_path, "hall_1", "oxc1_hall_01 1 2 30 40", ["hall_01", "hall_02"], ["x_1"], [])
    write_oxford(tmp_path, "hall_2", "oxc1_hall_03 0 0 9 9", ["hall_02"], [], ["x_1", "x_2"])
    write_oxford(tmp_path, "hall_3", "oxc1_hall_03 5 5 9.5 9", ["x_2"], [], [])
    return str(tmp_path)


def write_oxford(folder, title, query, good, ok, junk):
    (folder / f"{title}_query.txt").write_text(query + "\n")
    for kind, names in (("good", good), ("ok", ok), ("junk", junk)):
        (folder / f"{title}_{kind}.txt").write_text("".join(f"{name}\n" for name in names))


# --- groups -------------------------------------------------------------------------------------


def test_prefix_groups_by_the_first_group_of_the_expression():
    database = ["castle_001.jpg", "lund_001.jpg", "castle_002.jpg", "castle_old_001.jpg"]
    truths = load(r"prefix:(.+)_\d+").resolve(["castle_001.jpg", "lund_001.jpg"], database)
    # Query 0 finds castle_002 (2), not castle_old_001 (3); itself is junk. lund has no other.
    assert ids(truths["all"]) == [([2], [0]), ([], [1])]


def test_prefix_without_a_group_takes_the_whole_match():
    truths = load("prefix:[a-z]+").resolve(["cat9.jpg"], ["cat1.jpg", "dog1.jpg", "cat2.jpg"])
    assert ids(truths["all"]) == [([0, 2], [])]


def test_prefix_names_that_do_not_match_are_listed():
    with pytest.raises(UsageError) as caught:
        load(r"prefix:([a-z]+)_").resolve(["cat_1"], ["cat_2", "1", "2", "3", "4"])
    assert "4 of 5 image names have no label" in str(caught.value)
    assert "'1', '2', '3' and 1 more" in str(caught.value)


def test_prefix_matches_at_the_start_only_and_never_nothing():
    with pytest.raises(UsageError, match="no label"):
        load("prefix:dog").resolve([], ["a_dog.jpg"])
    with pytest.raises(UsageError, match="no label"):
        load("prefix:[0-9]*").resolve([], ["dog.jpg"])


def test_prefix_bad_expression_is_a_usage_error():
    with pytest.raises(UsageError, match="not a regular expression"):
        load("prefix:(")


def test_folder_groups_by_the_whole_folder_path():
    database = ["a/x/1.jpg", "b/x/2.jpg", "a/x/3.jpg"]
    assert ids(load("folder").resolve(["a/x/1.jpg"], database)["all"]) == [([2], [0])]
    with pytest.raises(UsageError, match=r"no label.*'label/image.jpg'.*'1.jpg'"):
        load("folder").resolve(["1.jpg"], database)


@pytest.mark.parametrize(
    ("file_name", "text"),
    [
        ("labels.csv", "a/1.jpg,cat\na/2.jpg,dog\n\n3,cat\nfree.jpg,\n"),
        ("labels.csv", "\ufefflabel,other,Name\ncat,,a/1.jpg\ndog,,a/2.jpg\ncat ,,3\n,,free.jpg\n"),
        ("labels.tsv", "name\tlabel\na/1.jpg\tcat\na/2.jpg\tdog\n3\tcat\nfree.jpg\t\n"),
        ("labels.txt", "a/1.jpg\tcat\na/2.jpg\tdog\n3\tcat\nfree.jpg\t\n"),
        ("labels.csv", '"a/1.jpg","cat"\r\n"a/2.jpg",dog\r\n3,cat\r\nfree.jpg,""\r\n'),
    ],
)
def test_table_groups_by_label(tmp_path, file_name, text):
    path = tmp_path / file_name
    path.write_text(text, encoding="utf-8", newline="")
    names = ["a/1.jpg", "a/2.jpg", "b/3.png", "free.jpg"]
    truths = load(str(path)).resolve(names, names)
    # An empty label: a query without positives, and nobody's positive.
    assert ids(truths["all"]) == [([2], [0]), ([], [1]), ([0], [2]), ([], [3])]


def test_table_reads_names_that_are_not_utf8(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"caf\xe9.jpg,drink\ntea.jpg,drink\n")
    name = os.fsdecode(b"caf\xe9.jpg")
    assert ids(load(str(path)).resolve([name], ["tea.jpg", name])["all"]) == [([0], [1])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a.jpg,cat\nb.jpg\n",
            r"line 2: wrong number of fields \(expected 2 \(name,label\), fo.*1",
        ),
        ("a.jpg,cat\na.jpg,dog\n", "line 2: a second label for 'a.jpg'.*'cat'.*'dog'"),
        ("a.jpg,cat\n,dog\n", "line 2: empty field"),
        ('a.jpg,"cat\n', "malformed table"),
    ],
)
def test_table_malformed_lines_are_named(tmp_path, text, message):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load(str(path))


def test_table_distractors_are_not_a_group(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("a.jpg,\nb.jpg,\n")
    assert ids(load(str(path)).resolve(["a.jpg"], ["a.jpg", "b.jpg"])["all"]) == [([], [0])]


def test_table_image_without_a_line_is_an_error(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("a.jpg,cat\n")
    with pytest.raises(UsageError, match=r"1 of 2 image names have no label.*'sub/a.jpg'"):
        load(str(path)).resolve(["a.jpg"], ["a.jpg", "sub/a.jpg"])


def test_groups_behave_as_a_sequence():
    names = ["cat_1", "cat_2", "dog_1"]
    truths = load("prefix:[a-z]+").resolve(names, names)["all"]
    assert len(truths) == 3
    assert ids(truths[1:]) == ids(list(truths))[1:] == [([0], [1]), ([], [2])]
    assert ids([truths[-1]]) == [([], [2])]
    with pytest.raises(IndexError):
        truths[3]


def test_groups_every_row_of_the_query_is_junk():
    truths = load("prefix:[a-z]+").resolve(["cat_1"], ["cat_1", "cat_2", "cat_1"])
    assert ids(truths["all"]) == [([1], [0, 2])]


# --- revisited ----------------------------------------------------------------------------------


def test_revisited_setups(revisited_path):
    truths = load(revisited_path).resolve(["q/cat_q.jpg", "dog_q.png"], DATABASE)
    assert {setup: ids(per_query) for setup, per_query in truths.items()} == {
        "easy": [([0], [1, 2, 3]), ([], [4])],
        "medium": [([0, 1, 2], [3]), ([4], [])],
        "hard": [([1, 2], [0, 3]), ([4], [])],
    }


def test_revisited_follows_the_order_of_the_names(revisited_path):
    truths = load(revisited_path).resolve(["dog_q", "cat_q"], DATABASE[::-1])
    assert ids(truths["easy"]) == [([], [0]), ([4], [1, 2, 3])]


def test_revisited_subset_drops_and_counts_what_is_missing(revisited_path):
    database = ["distractor.jpg", "cat_3.jpg", "dog_1.jpg"]
    truths = load(revisited_path).resolve(["cat_q.jpg"], database)
    assert ids(truths["medium"]) == [([1], [2])]
    assert truths["medium"][0].n_missing_positives == 2
    assert truths["easy"][0].n_missing_positives == 1


def test_revisited_query_images_in_the_database_do_not_change_the_scores(revisited_path):
    source = load(revisited_path)
    with_queries = ["cat_q.jpg", *DATABASE, "dog_q.jpg"]
    truths = source.resolve(["cat_q.jpg"], with_queries)
    assert ids(truths["easy"]) == [([1], [0, 2, 3, 4, 6])]
    without = source.resolve(["cat_q.jpg"], DATABASE)
    options = {"protocol": "revisited", "setup": "medium"}
    ranked_with = np.array([[0, 5, 1, 6, 3, 2, 4]])
    ranked_without = np.array([[4, 0, 2, 1, 3]])
    one = retrieval_scores(ranked_with, truths["medium"], **options)
    other = retrieval_scores(ranked_without, without["medium"], **options)
    assert one.mean_average_precision == other.mean_average_precision < 1


def test_revisited_unknown_query_is_an_error(revisited_path):
    with pytest.raises(UsageError, match=r"1 of 2 queries are not.*'cat_q'.*found 'cow_q.jpg'"):
        load(revisited_path).resolve(["cat_q.jpg", "cow_q.jpg"], DATABASE)


def test_revisited_ambiguous_database_is_an_error(revisited_path):
    with pytest.raises(UsageError, match=r"two images.*match 'cat_1'.*'jpg/cat_1.jpg', 'b/cat_1"):
        load(revisited_path).resolve(["cat_q"], [*DATABASE, "b/cat_1.png"])


def test_revisited_foreign_database_is_an_error(revisited_path):
    with pytest.raises(UsageError, match="no image of the database is in this ground truth"):
        load(revisited_path).resolve(["cat_q"], ["a.jpg", "b.jpg"])


def changed(**changes):
    return {**REVISITED, **changes}


def changed_entry(**changes):
    return changed(gnd=[{**REVISITED["gnd"][0], **changes}, REVISITED["gnd"][1]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "'imlist'"),
        (changed(imlist=None), "'imlist'.*NoneType"),
        (changed(qimlist=[1, 2]), "'qimlist'"),
        (changed(imlist=[*GALLERY, "cat_1"]), "each image name once"),
        (changed(gnd=REVISITED["gnd"][:1]), "'gnd'.*a list of 2.*found 1"),
        (changed(gnd=[1, 2]), r"gnd\[0\].*a dict, found int"),
        (
            changed(gnd=[{"junk": [2], "bbx": [0, 0, 1, 1]}] * 2),
            r"gnd\[0\].*found junk \+ bbx",
        ),
        (changed_entry(hard=[5]), r"gnd\[0\]: 'hard'.*0 to 4, found 5"),
        (changed_entry(junk=[-1]), "'junk'.*found -1"),
        (changed_entry(easy=[1.0]), "'easy'.*found 1.0"),
        (changed_entry(bbx=[1, 2, 3]), "'bbx'"),
        (changed_entry(bbx=[5, 2, 3, 9]), "'bbx'.*x1 > x0"),
        (changed_entry(bbx=[0, 0, float("nan"), 9]), "'bbx'"),
    ],
)
def test_revisited_malformed_content_is_named(tmp_path, content, message):
    with pytest.raises(UsageError, match=message):
        load(write_pickle(tmp_path / "gnd.pkl", content))


@needs_shared_data
@pytest.mark.parametrize(
    ("name", "totals"),
    [("gnd_roxford5k", (3029, 2497, 1356)), ("gnd_rparis6k", (6874, 10350, 7153))],
)
def test_revisited_real_files_have_the_published_totals(name, totals):
    source = load(str(ROOT / "gnd" / f"{name}.pkl"))
    truths = source.resolve(
        [query.name for query in source.queries], [f"{image}.jpg" for image in source.gallery]
    )
    easy, hard, junk = totals
    assert {k: sum(len(t.positives) for t in truth) for k, truth in truths.items()} == {
        "easy": easy,
        "medium": easy + hard,
        "hard": hard,
    }
    assert {k: sum(len(t.junk) for t in truth) for k, truth in truths.items()} == {
        "easy": junk + hard,
        "medium": junk,
        "hard": junk + easy,
    }
    assert len(truths["easy"]) == 70


@needs_shared_data
def test_revisited_real_file_restricted_to_the_subset():
    source = load(str(ROOT / "gnd" / "gnd_roxford5k.pkl"))
    folder = ROOT / "retrieval" / "oxford5k_subset" / "images"
    database = sorted(path.name for path in folder.iterdir())
    truths = source.resolve([source.queries[0].name], database)["medium"]
    full = source.resolve([source.queries[0].name], source.gallery)["medium"]
    kept = len(truths[0].positives)
    assert kept + truths[0].n_missing_positives == len(full[0].positives)
    wanted = {source.gallery[i] for i in full[0].positives} & {n[:-4] for n in database}
    assert {database[i][:-4] for i in truths[0].positives} == wanted


# --- INSTRE -------------------------------------------------------------------------------------

INSTRE = {
    "imlist": ["INSTRE-S1/01a_book/1.jpg", "INSTRE-S1/01a_book/2.jpg", "INSTRE-M/01/1.jpg"],
    "qimlist": ["INSTRE-S1/01a_book/9.jpg", "INSTRE-M/01/9.jpg"],
    "gnd": [{"ok": [0, 2], "bbx": [3, 4, 50, 60]}, {"ok": [2], "bbx": [0, 1, 9, 8]}],
}


def write_matlab(path, content):
    """As MATLAB would: cells of strings, a struct array, indices from 1."""
    keys = list(content["gnd"][0])
    gnd = np.zeros((1, len(content["gnd"])), dtype=[(key, object) for key in keys])
    for i, entry in enumerate(content["gnd"]):
        for key in keys:
            gnd[0, i][key] = np.array([entry[key]], float) + (key != "bbx")
    lists = {key: np.array([content[key]], dtype=object) for key in ("imlist", "qimlist")}
    savemat(path, {**lists, "gnd": gnd})
    return str(path)


@pytest.mark.parametrize("write", [write_matlab, write_pickle])
def test_instre_finds_what_is_ok_from_either_file(tmp_path, write):
    path = write(tmp_path / f"gnd.{'mat' if write is write_matlab else 'pkl'}", INSTRE)
    source = load(path, "instre")
    assert [query.box for query in source.queries] == [(3, 4, 50, 60), (0, 1, 9, 8)]
    # A distractor first, the names with their folders: stems recur, and decide nothing.
    database = ["other/9.jpg", *INSTRE["imlist"], INSTRE["qimlist"][1]]
    truths = source.resolve(INSTRE["qimlist"], database)
    assert {setup: ids(truth) for setup, truth in truths.items()} == {
        "all": [([1, 3], [4]), ([3], [4])]
    }
    assert source.describe()["positives_rule"] == "ok"
    assert [box.name for box in load_boxes(path)] == INSTRE["qimlist"]


def test_revisited_is_the_same_from_a_matlab_file(tmp_path, revisited_path):
    names = ["cat_q", "dog_q"]
    one = load(write_matlab(tmp_path / "gnd.mat", REVISITED), "revisited").resolve(names, DATABASE)
    other = load(revisited_path).resolve(names, DATABASE)
    assert {k: ids(v) for k, v in one.items()} == {k: ids(v) for k, v in other.items()}


def test_instre_of_one_query_is_read_as_a_list(tmp_path):
    one = {"imlist": ["a/1.jpg"], "qimlist": ["a/2.jpg"], "gnd": [{"ok": [0], "bbx": [1, 1, 5, 5]}]}
    truths = load(write_matlab(tmp_path / "gnd.mat", one)).resolve(["a/2.jpg"], ["a/1.jpg"])
    assert ids(truths["all"]) == [([0], [])]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"ok": [3], "bbx": [0, 0, 1, 1]}, r"gnd\[0\]: 'ok'.*0 to 2, found 3"),
        ({"ok": [-1], "bbx": [0, 0, 1, 1]}, "'ok'.*found -1"),
        ({"ok": [0.5], "bbx": [0, 0, 1, 1]}, "'ok'.*found 1.5"),
        ({"ok": [0], "bbx": [9, 9, 5, 5]}, "'bbx'.*x1 > x0"),
    ],
)
def test_instre_malformed_content_is_named(tmp_path, entry, message):
    content = {**INSTRE, "gnd": [entry, INSTRE["gnd"][1]]}
    with pytest.raises(UsageError, match=message):
        load(write_matlab(tmp_path / "gnd.mat", content))


def test_matlab_file_of_other_variables_is_named(tmp_path):
    savemat(tmp_path / "gnd.mat", {"imlist": 3, "descriptors": np.eye(3)})
    with pytest.raises(UsageError, match=r"'imlist'.*a list of image names"):
        load(str(tmp_path / "gnd.mat"))
    savemat(tmp_path / "gnd.mat", {"descriptors": np.eye(3)})
    with pytest.raises(UsageError, match=r"'imlist'.*NoneType"):
        load(str(tmp_path / "gnd.mat"))


@pytest.mark.parametrize("content", [b"", b"no MATLAB file", b"MATLAB 5.0 MAT-file" + bytes(200)])
def test_damaged_matlab_file_is_a_usage_error(tmp_path, content):
    path = tmp_path / "gnd.mat"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="MATLAB"):
        load(str(path))


# --- the restricted pickle ----------------------------------------------------------------------


def shared_lists(empty, begin, end):
    """Lists of twice the one before, sixty times: few bytes that unfold to 2 to the 60 values."""
    steps = (
        begin + b"h" + bytes([i]) + b"h" + bytes([i]) + end + b"q" + bytes([i + 1])
        if end == b"\x86"
        else b"]" + begin + b"h" + bytes([i]) + b"h" + bytes([i]) + end + b"q" + bytes([i + 1])
        for i in range(60)
    )
    return b"\x80\x02" + empty + b"q\0" + b"".join(steps) + b"."


def array_of_nothing(n):
    """An array of the shape (n, 0): no byte of data, and n lists."""
    whole = pickle.dumps(np.empty((1, 0), np.uint8), protocol=2)
    return whole.replace(b"K\x01K\x01K\x00\x86", b"K\x01J" + n.to_bytes(4, "little") + b"K\x00\x86")


def buffer_of_a_number(n):
    """numpy makes an array of a number in place of bytes."""
    call = b"cnumpy.core.numeric\n_frombuffer\n"
    return b"\x80\x02" + call + b"(\x8a\x08" + n.to_bytes(8, "little") + b"NNNtR."


class Attack:
    """Pickles to a call of `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickle_that_runs_a_command_is_refused_unrun(tmp_path, protocol):
    canary = tmp_path / "canary"
    attack = Attack(os.system, f"touch {canary}")
    path = write_pickle(tmp_path / "gnd.pkl", changed(extra=attack), protocol)
    with pytest.raises(UsageError, match=r"posix.system.*|nt.system.*") as caught:
        load(path)
    assert "was not run" in str(caught.value)
    assert not canary.exists()
    # The attack is a real one: an ordinary reader runs it.
    pickle.loads((tmp_path / "gnd.pkl").read_bytes())  # noqa: S301 - our own harmless touch
    assert canary.exists()


@pytest.mark.parametrize(
    "attack",
    [
        Attack(eval, "1"),
        Attack(getattr, "a", "upper"),
        Attack(np.load, "x"),
        Attack(np.frombuffer, b"12345678"),
        np.array([object, None], dtype=object),
        np.zeros(2, dtype=[("a", "i4")]),
    ],
)
def test_pickle_with_anything_but_plain_data_is_refused(tmp_path, attack):
    path = write_pickle(tmp_path / "gnd.pkl", {"x": attack})
    with pytest.raises(UsageError, match="more than plain data"):
        load_restricted(tmp_path / path)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([1, 2], dtype=">i4"),
        np.array([True, False]),
        np.array(["abc", "de"]),
        np.empty((0,), dtype=np.uint16),
    ],
)
def test_pickle_numpy_arrays_come_as_lists(tmp_path, array, protocol):
    path = write_pickle(tmp_path / "a.pkl", {"array": array, "scalar": np.int64(7)}, protocol)
    assert load_restricted(tmp_path / path) == {"array": array.tolist(), "scalar": 7}


def test_pickle_of_python_2_strings_and_arrays(tmp_path):
    # What Python 2 wrote for {'caf\xe9': numpy.array([1, 2])}: byte strings, numpy.core.
    stream = (
        b"\x80\x02}U\x04caf\xe9cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        b"U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02i4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08\x01\x00\x00\x00\xfe\xff\xff\xfftbs."
    )
    (tmp_path / "py2.pkl").write_bytes(stream)
    assert load_restricted(tmp_path / "py2.pkl") == {"caf\xe9": [1, -2]}


def test_pickle_numpy_lists_serve_as_ground_truth(tmp_path):
    content = changed_entry(easy=np.array([0]), bbx=np.array([1.0, 2, 30.5, 40]))
    source = load(write_pickle(tmp_path / "gnd.pkl", content))
    plain = load(write_pickle(tmp_path / "plain.pkl", REVISITED))
    assert source.queries == plain.queries


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"\x80\x02]r\xff\xff\xff\x7f.", "'imlist'"),  # index of a memo
        (b"\x80\x05\x96" + (1 << 35).to_bytes(8, "little") + b"x.", "EOFError"),  # bytearray
        (b"\x80\x02\x8b\x88\x13\0\0" + b"\1" * 5000 + b".", "a number of 39993 bits"),
        (shared_lists(b"]", b"(", b"e"), "unfolds to more than"),
        (shared_lists(b")", b"", b"\x86"), "unfolds to more than"),
        (b"\x80\x02}" + shared_lists(b")", b"", b"\x86")[2:-1] + b"Ns.", "list"),  # a key
        (b"\x80\x04\x8f.", "a set"),
        (array_of_nothing(10**9), "unfolds to more than"),
        (buffer_of_a_number(10**12), "a buffer of no bytes"),
    ],
)
def test_pickle_that_asks_for_memory_or_time_without_end_is_refused(tmp_path, stream, message):
    (tmp_path / "gnd.pkl").write_bytes(stream)
    start = time.monotonic()
    with pytest.raises(UsageError, match=message):
        load(str(tmp_path / "gnd.pkl"))
    assert time.monotonic() - start < 10


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # damaged escapes in old strings
def test_pickle_damaged_bytes_raise_usage_errors_only(tmp_path):
    whole = pickle.dumps({**REVISITED, "array": np.arange(3)}, protocol=2)
    path = tmp_path / "gnd.pkl"
    rng = random.Random(0)
    n_refused = 0
    for _ in range(1500):
        damaged = bytearray(whole[: rng.randrange(len(whole) + 1)])
        for _ in range(rng.randrange(4)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            load(str(path))
        except UsageError:
            n_refused += 1
    assert n_refused > 1000


# --- oxford5k -----------------------------------------------------------------------------------


def test_oxford_good_and_ok_are_positive(oxford_path):
    database = ["x_2.jpg", "x_1.jpg", "hall_02.jpg", "hall_01.jpg", "other.jpg"]
    truths = load(oxford_path).resolve(["jpg/hall_01.jpg", "hall_03.jpg"], database)
    assert ids(truths["all"]) == [([1, 2, 3], []), ([2], [0, 1])]


def test_oxford_queries_of_one_image_go_by_order(oxford_path):
    truths = load(oxford_path).resolve(["hall_03", "hall_01", "hall_03"], ["x_2", "hall_02"])
    assert ids(truths["all"]) == [([1], [0]), ([1], []), ([0], [])]
    assert [truth.n_missing_positives for truth in truths["all"]] == [0, 2, 0]


def test_oxford_queries_of_one_image_go_by_box(oxford_path):
    boxes = [np.float32([5, 5, 9.5, 9]), None, np.float32([0, 0, 9, 9])]
    truths = load(oxford_path).resolve(
        ["hall_03", "hall_01", "hall_03"], ["x_2", "hall_02"], query_boxes=boxes
    )
    assert ids(truths["all"]) == [([0], []), ([1], []), ([1], [0])]


def test_oxford_lists_may_have_blanks_and_windows_line_ends(tmp_path):
    write_oxford(tmp_path, "hall_1", "hall 0 0 1 1", [], [], [])
    (tmp_path / "hall_1_good.txt").write_bytes(b"hall \r\n\r\n x_1\r\n")
    truths = load(str(tmp_path)).resolve(["hall"], ["x_1", "hall"])
    assert ids(truths["all"]) == [([0, 1], [])]


def test_oxford_query_left_over_is_an_error(oxford_path):
    source = load(oxford_path)
    with pytest.raises(UsageError, match=r"no query.*'hall_03'.*one row a query, found 3 rows"):
        source.resolve(["hall_03"] * 3, ["x_2"])
    with pytest.raises(UsageError, match=r"no query.*its box"):
        source.resolve(["hall_03"], ["x_2"], query_boxes=[(1, 1, 2, 2)])
    with pytest.raises(UsageError, match="1 of 1 queries are not"):
        source.resolve(["tower"], ["x_2"])


@pytest.mark.parametrize(
    "query", ["", "hall", "hall 1 2 3", "hall 1 2 3 x", "hall 5 0 5 9", "hall 0 0 inf 9"]
)
def test_oxford_malformed_query_is_named(tmp_path, query):
    write_oxford(tmp_path, "hall_1", query, [], [], [])
    with pytest.raises(UsageError, match=r"hall_1_query.txt, line 1: malformed query"):
        load(str(tmp_path))


def test_oxford_missing_file_is_named(oxford_path, tmp_path):
    (tmp_path / "hall_2_ok.txt").unlink()
    with pytest.raises(UsageError, match=r"hall_2_ok.txt: cannot read it"):
        load(oxford_path)


@needs_shared_data
def test_oxford_real_files():
    folder = ROOT / "gnd" / "oxford5k_gt_files"
    source = load(str(folder))
    assert len(source.queries) == 55
    names = sorted(set(load(str(ROOT / "gnd" / "gnd_roxford5k.pkl")).gallery))
    truths = source.resolve([query.image for query in source.queries], names)["all"]
    for query, truth in zip(source.queries, truths, strict=True):
        listed = (folder / f"{query.title}_good.txt").read_text().split()
        listed += (folder / f"{query.title}_ok.txt").read_text().split()
        assert len(truth.positives) + truth.n_missing_positives == len(listed)
        assert {names[i] for i in truth.positives} == set(listed) & set(names)


# --- choosing the protocol ----------------------------------------------------------------------


def test_detect_protocol_by_form(tmp_path, revisited_path):
    (tmp_path / "labels.csv").write_text("a,b\n")
    (tmp_path / "oxford").mkdir()
    write_oxford(tmp_path / "oxford", "hall_1", "hall 0 0 1 1", [], [], [])
    assert detect_protocol("prefix:x") == "groups"
    assert detect_protocol("folder") == "groups"
    assert detect_protocol(str(tmp_path / "labels.csv")) == "groups"
    assert detect_protocol(revisited_path) == "revisited"
    assert detect_protocol(str(tmp_path / "oxford")) == "oxford5k"


def test_detect_protocol_refuses_what_it_does_not_know(tmp_path):
    (tmp_path / "image.jpg").write_bytes(b"")
    for source, found in (
        (tmp_path, "a folder"),
        (tmp_path / "image.jpg", "'.jpg'"),
        (tmp_path / "absent", "no such"),
    ):
        with pytest.raises(UsageError, match=found):
            detect_protocol(str(source))


def test_load_checks_the_protocol_asked_for(revisited_path):
    assert load(revisited_path, "revisited").protocol == "revisited"
    with pytest.raises(UsageError, match="expected oxford5k, found revisited"):
        load(revisited_path, "oxford5k")
    with pytest.raises(UsageError, match="expected instre, found revisited"):
        load(revisited_path, "instre")
    with pytest.raises(UsageError, match=r"unknown protocol.*'imagenet'"):
        load(revisited_path, "imagenet")


@pytest.mark.parametrize("kind", ["groups", "revisited", "oxford5k"])
def test_describe_names_every_rule(kind, request):
    fixtures = {"revisited": "revisited_path", "oxford5k": "oxford_path"}
    source = request.getfixturevalue(fixtures[kind]) if kind in fixtures else "folder"
    described = load(source).describe()
    assert (described["protocol"], described["source"]) == (kind, source)
    for rule in ("positives", "junk", "average_precision", "precision", "mean"):
        assert described[f"{rule}_rule"]


def test_rule_that_later_pythons_may_read_otherwise_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        groups = load("prefix:^([[a]+)_", "groups")
    assert groups.labels(["[a_1.jpg", "a_1.jpg"]) == ["[a", "a"]
