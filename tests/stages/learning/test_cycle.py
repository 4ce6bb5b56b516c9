"""Cycles with stand-ins for data set and network: states, oracle, strategies, resumption."""

from __future__ import annotations

import csv
import html
import json
from dataclasses import replace

import numpy as np
import pytest

from rrtool.artifacts import Provenance, create, open_artifact
from rrtool.artifacts.kinds import AlPretraining, AlState
from rrtool.core.learning.label_propagation import feature_graph, propagate_labels
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Silent
from rrtool.stages.driver import perform
from rrtool.stages.learning.acquisition_options import STRATEGIES
from rrtool.stages.learning.options import AlCycleOptions
from tests.stages.learning.al_standins import CLASSES, NearestMean, made_dataset
from tests.tiny import digest_of, leftovers, skipped_rows

N = 30


def options(strategy="random", semi=False, budget=3, **more):
    return AlCycleOptions(
        images="mnist:made", output="s.h5", strategy=strategy, semi=semi, budget=budget, k=5,
        epochs=2, semi_epochs=2, device="cpu", checkpoint_seconds=0, **more,
    )  # fmt: skip


class Messages(Silent):
    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)


def without_classes(source, **_):
    """As a folder of photos: nothing but the images is known."""
    dataset = made_dataset(N, 0)
    return replace(dataset, class_names=[], labels=np.full(N, -1, np.int32))


def run(opts, load, learner=NearestMean, progress=None):
    """The stage, with stand-ins for the data set and the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rrtool.stages.learning.study.load_dataset", load)
        patch.setattr("rrtool.training.learner.Learner", learner)
        return perform(opts, progress or Messages())


def cycle(output, opts=None, *, load=without_classes, progress=None, **sources):
    return run(replace(opts or options(), output=output, **sources), load, progress=progress)


def oracle(output, opts=None, cycles=3, *, truth="dataset", learner=NearestMean, **more):
    load = more.pop("load", lambda source, **_: made_dataset(N))
    opts = replace(opts or options(), output=output, oracle=truth, cycles=cycles, **more)
    return run(opts, load, learner)


def write_labels(path, rows, wrong=()):
    lines = ["name,label", *(f"img/{row:03d}.png,{CLASSES[row % 3]}" for row in rows), *wrong]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def read(path, *names):
    with open_artifact(path, AlState) as state:
        return [getattr(state, name) for name in names], state.extra


def test_run_without_labels_asks_for_random_images_and_trains_nothing(tmp_path):
    path = cycle(tmp_path / "s.h5", options(budget=4, seed=5))
    with open_artifact(path, AlState) as state:
        assert len(set(state.acquired_ids.tolist())) == 4
        assert (state.labels == -1).all()
        assert AlState.probabilities not in state
        assert state.extra["cycle"] == -1
        assert state.extra["history"] == []
    rows = list(csv.DictReader((tmp_path / "s.to_label.csv").open()))
    assert [int(row["id"]) for row in rows] == read(path, "acquired_ids")[0][0].tolist()
    assert {row["label"] for row in rows} == {row["suggested"] for row in rows} == {""}
    other = cycle(tmp_path / "t.h5", options(budget=4, seed=6))
    assert digest_of(other) != digest_of(path)


def test_run_takes_labels_in_cycle_by_cycle(tmp_path):
    first = cycle(tmp_path / "cold.h5")
    (asked,), _ = read(first, "acquired_ids")
    progress = Messages()
    second = cycle(
        tmp_path / "s0.h5", state=str(first), progress=progress,
        labels=write_labels(tmp_path / "l0.csv", [*asked[1:].tolist(), 0, 1, 2]),
    )  # fmt: skip
    missing = 0 if asked[0] in (0, 1, 2) else 1
    assert any("1 of 3 images" in line for line in progress.lines) == bool(missing)
    (labels, since, asked), extra = read(second, "labels", "labeled_cycle", "acquired_ids")
    labeled = np.flatnonzero(labels >= 0)
    assert (labels[labeled] == labeled % 3).all()
    assert (since[labeled] == 0).all()
    assert not set(asked) & set(labeled)
    assert extra["n_missing"] == missing
    assert extra["history"][0]["accuracy"] is None
    # A cumulative file brings in what is new.
    all_rows = [*labeled.tolist(), *asked.tolist()]
    third = cycle(
        tmp_path / "s1.h5", state=str(second), labels=write_labels(tmp_path / "l1.csv", all_rows)
    )
    (labels, since), extra = read(third, "labels", "labeled_cycle")
    assert set(np.flatnonzero(labels >= 0)) == set(all_rows)
    assert (since[asked] == 1).all()
    assert [entry["cycle"] for entry in extra["history"]] == [0, 1]
    assert [entry["n_labels"] for entry in extra["history"]] == [len(labeled), len(all_rows)]


def test_run_with_mistakes_uses_the_rest_and_lists_them(tmp_path):
    first = cycle(tmp_path / "cold.h5")
    before = first.read_bytes()
    wrong = ["img/999.png,cat", "img/003.png,", "img/004.png,cat", "img/004.png,dog"]
    progress = Messages()
    path = cycle(
        tmp_path / "s.h5", state=str(first), progress=progress,
        labels=write_labels(tmp_path / "l.csv", [0, 1, 2], wrong),
    )  # fmt: skip
    assert read(path, "labels")[0][0][:5].tolist() == [0, 1, 2, -1, -1]
    assert set(skipped_rows(path)) == {"img/999.png", "img/003.png", "img/004.png"}
    assert read(path)[1]["n_skipped"] == 3
    assert len([line for line in progress.lines if "l.csv, line" in line]) == 3
    assert first.read_bytes() == before
    # The corrected file in the next call brings them in.
    corrected = write_labels(tmp_path / "l2.csv", [0, 1, 2, 3, 4])
    path = cycle(tmp_path / "s1.h5", state=str(path), labels=corrected)
    assert read(path, "labels")[0][0][:5].tolist() == [0, 1, 2, 0, 1]
    assert not (tmp_path / "s1.skipped.tsv").exists()


@pytest.mark.parametrize(
    ("rows", "wrong", "what"),
    [
        ([], ["img/001.png,"], "not one of 1 labels can be used"),
        ([], [], "not one of 0 labels"),
        ([0, 3, 6], [], "one class only"),
    ],
)
def test_run_without_usable_labels_writes_nothing(tmp_path, rows, wrong, what):
    with pytest.raises(UsageError, match=what):
        cycle(tmp_path / "s.h5", labels=write_labels(tmp_path / "l.csv", rows, wrong))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.csv"]


def test_run_needs_a_new_label_every_cycle(tmp_path):
    labels = write_labels(tmp_path / "l.csv", [0, 1])
    first = cycle(tmp_path / "s0.h5", labels=labels)
    with pytest.raises(UsageError, match="no new label"):
        cycle(tmp_path / "s1.h5", state=str(first), labels=labels)
    with pytest.raises(UsageError, match="no labels for the next cycle"):
        cycle(tmp_path / "s1.h5", state=str(first))


def test_run_fixes_the_classes_with_the_first_labels_and_adds_named_ones(tmp_path):
    first = cycle(tmp_path / "s0.h5", labels=write_labels(tmp_path / "l.csv", [0, 1]))
    labels = write_labels(tmp_path / "l1.csv", [3, 2])
    second = cycle(tmp_path / "s1.h5", state=str(first), labels=labels)
    assert list(skipped_rows(second)) == ["img/002.png"]
    third = cycle(
        tmp_path / "s2.h5", options(classes=("fox", "cat")), state=str(first), labels=labels
    )
    with open_artifact(third, AlState) as state:
        assert state.class_names == ["cat", "dog", "fox"]
        assert state.labels[:4].tolist() == [0, 1, 2, 0]
        assert state.probabilities.shape == (N, 3)


def test_run_relabels_on_request_alone(tmp_path):
    first = cycle(tmp_path / "s0.h5", labels=write_labels(tmp_path / "l.csv", [0, 1]))
    labels = write_labels(tmp_path / "l1.csv", [3], ["img/000.png,dog"])
    kept = cycle(tmp_path / "s1.h5", state=str(first), labels=labels)
    assert read(kept, "labels")[0][0][:4].tolist() == [0, 1, -1, 0]
    assert "--relabel" in skipped_rows(kept)["img/000.png"]
    changed = cycle(tmp_path / "s2.h5", options(relabel=True), state=str(first), labels=labels)
    (found, since), extra = read(changed, "labels", "labeled_cycle")
    assert found[:4].tolist() == [1, 1, -1, 0]
    assert since[:4].tolist() == [1, 0, -1, 1]
    assert extra["n_skipped"] == 0


def test_run_is_done_once_and_names_what_differs(tmp_path):
    labels = write_labels(tmp_path / "l.csv", [0, 1, 2])
    path = cycle(tmp_path / "s.h5", labels=labels)
    content = path.read_bytes()
    (tmp_path / "s.to_label.csv").write_text("labels of mine")
    assert cycle(tmp_path / "s.h5", labels=labels).read_bytes() == content
    assert (tmp_path / "s.to_label.csv").read_text() == "labels of mine"
    with pytest.raises(ArtifactError, match="another --budget"):
        cycle(tmp_path / "s.h5", options(budget=4), labels=labels)
    with pytest.raises(ArtifactError, match="made from other --labels"):
        cycle(tmp_path / "s.h5", labels=write_labels(tmp_path / "l.csv", [0, 1]))


def test_run_of_other_images_than_the_states_is_refused(tmp_path):
    first = cycle(tmp_path / "s0.h5")
    labels = write_labels(tmp_path / "l.csv", [0, 1])
    with pytest.raises(ArtifactError, match="other images"):
        cycle(
            tmp_path / "s1.h5", state=str(first), labels=labels,
            load=lambda source, **_: made_dataset(N + 1),
        )  # fmt: skip


def test_images_that_cannot_be_read_are_never_asked_for(tmp_path):
    load = lambda source, **_: made_dataset(N, failed=(3, 7))  # noqa: E731
    path = cycle(tmp_path / "s.h5", options(budget=N), load=load)
    (asked, status), extra = read(path, "acquired_ids", "status")
    assert sorted(asked) == [row for row in range(N) if row not in (3, 7)]
    assert np.flatnonzero(status).tolist() == [3, 7]
    assert extra["n_skipped"] == 2
    assert skipped_rows(path)["img/003.png"] == "cut short"


def test_filled_list_comes_back_as_labels(tmp_path):
    """The list with its empty column filled is a labels file as it is."""
    first = cycle(tmp_path / "cold.h5", options(budget=6))
    lines = (tmp_path / "cold.to_label.csv").read_text().splitlines()
    filled = [lines[0], *(line.replace(",,", f",{CLASSES[int(line.split(',')[0]) % 3]},", 1)
                          for line in lines[1:])]  # fmt: skip
    (tmp_path / "filled.csv").write_text("\n".join(filled))
    path = cycle(tmp_path / "s0.h5", state=str(first), labels=str(tmp_path / "filled.csv"))
    (suggested,), extra = read(path, "acquired_ids")
    assert extra["n_labeled"] == 6
    assert extra["n_skipped"] == 0
    rows = list(csv.DictReader((tmp_path / "s0.to_label.csv").open()))
    assert [int(row["id"]) for row in rows] == suggested.tolist()
    assert all(row["suggested"] in CLASSES and float(row["confidence"]) > 0 for row in rows)


def test_contact_sheet_shows_every_image_that_is_asked_for(tmp_path):
    path = cycle(tmp_path / "s.h5", options(budget=4, classes=("a<b", "dog")))
    page = (tmp_path / "s.to_label.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    for row in read(path, "acquired_ids")[0][0]:
        assert f'data-id="{row}" data-name="img/{row:03d}.png"' in page
    classes = html.escape(json.dumps([["a<b", "a<b"], ["dog", "dog"]]))
    assert f'data-classes="{classes.replace("&quot;", "&#34;")}"' in page
    assert 'data-file="s.labels.csv"' in page
    assert f"--state {path} --labels s.labels.csv -o NEXT.h5" in page
    assert "http:" not in page
    assert "https:" not in page


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("semi", [False, True])
def test_oracle_labels_what_each_cycle_asks_for(tmp_path, strategy, semi):
    if strategy == "ceal" and semi:
        with pytest.raises(UsageError, match="do not go together"):
            options(strategy, semi)
        return
    path = oracle(tmp_path / "s.h5", options(strategy, semi))
    paths = [tmp_path / "s-c0.h5", tmp_path / "s-c1.h5", path]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    asked = np.zeros(0, np.int64)
    for number, one in enumerate(paths):
        (labels, since, acquired), extra = read(one, "labels", "labeled_cycle", "acquired_ids")
        labeled = np.flatnonzero(labels >= 0)
        assert (labels[labeled] == labeled % 3).all()
        assert extra["cycle"] == number
        assert len(labeled) == 3 * (number + 1)
        assert len(set(acquired.tolist()) - set(labeled.tolist())) == 3
        if number == 0:
            assert sorted(labels[labeled]) == [0, 1, 2]  # balanced
        assert set(np.flatnonzero(since == number)) == set(asked if number else labeled)
        asked = acquired
        with open_artifact(one, AlState) as state:
            assert (AlState.pseudo_labels in state) == semi
    assert [entry["n_labels"] for entry in extra["history"]] == [3, 6, 9]
    for entry in extra["history"]:
        assert 0.5 < entry["accuracy"] <= 1
        assert (entry["pseudo_label_accuracy"] is not None) >= semi


def test_oracle_first_labels_of_a_budget_that_does_not_divide_go_to_classes_drawn(tmp_path):
    given = set()
    for seed in range(4):
        path = oracle(tmp_path / f"{seed}.h5", options(budget=4, seed=seed), 1)
        (labels,), _ = read(path, "labels")
        counts = np.bincount(labels[labels >= 0], minlength=3)
        assert sorted(counts) == [1, 1, 2]
        given.add(int(counts.argmax()))
    assert len(given) > 1


def test_oracle_first_labels_depend_on_the_seed_alone(tmp_path):
    first = {}
    for name, opts in {
        "a": options(seed=1), "b": options("entropy", True, seed=1), "c": options(seed=2),
    }.items():  # fmt: skip
        (since,), _ = read(oracle(tmp_path / f"{name}.h5", opts, 1), "labeled_cycle")
        first[name] = np.flatnonzero(since == 0).tolist()
    assert first["a"] == first["b"] != first["c"]


@pytest.mark.parametrize("semi", [False, True])
def test_oracle_is_deterministic(tmp_path, semi):
    (tmp_path / "other").mkdir()
    runs = [oracle(folder / "s.h5", options("entropy", semi, seed=4))
            for folder in (tmp_path, tmp_path / "other")]  # fmt: skip
    assert digest_of(runs[0]) == digest_of(runs[1])
    assert digest_of(oracle(tmp_path / "t.h5", options("entropy", semi, seed=5))) != digest_of(
        runs[0]
    )


@pytest.mark.parametrize("n_epochs", [0, 1, 2, 3, 4, 7, 11])
def test_oracle_killed_in_training_continues_to_the_same_state(tmp_path, n_epochs):
    class Killed(BaseException):
        pass

    left = n_epochs
    trained = []

    class Fragile(NearestMean):
        def __init__(self, *args, on_epoch, **more):
            def counted(phase, epoch, values):
                nonlocal left
                if left == 0:
                    raise Killed
                left -= 1
                trained.append((phase, epoch))
                on_epoch(phase, epoch, values)

            super().__init__(*args, on_epoch=counted, **more)

    whole = tmp_path / "whole"
    whole.mkdir()
    expected = oracle(whole / "s.h5", options("jlp", True))
    with pytest.raises(Killed):
        oracle(tmp_path / "s.h5", options("jlp", True), learner=Fragile)
    assert not (tmp_path / "s.h5").exists()
    left = 100
    path = oracle(tmp_path / "s.h5", options("jlp", True), learner=Fragile)
    assert digest_of(path) == digest_of(expected)
    assert len(trained) == 12  # 3 cycles of 2 + 2 epochs: none was trained twice
    assert [len(read(path)[1]["log"])] == [4]
    assert leftovers(tmp_path) == []


def test_oracle_run_again_does_nothing_and_goes_on_from_a_state(tmp_path):
    path = oracle(tmp_path / "s.h5", cycles=2)
    content = path.read_bytes()

    def refuse(*args, **more):
        raise AssertionError

    assert oracle(tmp_path / "s.h5", cycles=2, learner=refuse).read_bytes() == content
    longer = oracle(tmp_path / "t.h5", cycles=3)
    further = oracle(tmp_path / "u.h5", cycles=1, state=str(path))
    assert digest_of(further) == digest_of(longer)


def test_oracle_never_writes_over_the_state_that_it_goes_on_from(tmp_path):
    """Under a name that only the number of the cycle tells."""
    first = oracle(tmp_path / "s-c1.h5", cycles=1)
    content = first.read_bytes()
    with pytest.raises(UsageError, match=r"s-c1\.h5: the output is one of the inputs"):
        oracle(tmp_path / "s.h5", cycles=2, state=str(first), overwrite=True)
    assert first.read_bytes() == content


def test_oracle_from_a_file_asks_only_what_it_can_answer(tmp_path):
    truth = write_labels(tmp_path / "truth.csv", range(12), ["img/012.png,", "nothing,cat"])
    path = oracle(
        tmp_path / "s.h5", cycles=4, truth=truth, load=without_classes,
        to_label=tmp_path / "l.csv",
    )  # fmt: skip
    (labels, asked), extra = read(path, "labels", "acquired_ids")
    assert np.flatnonzero(labels >= 0).tolist() == list(range(12))
    assert len(asked) == 0
    assert extra["n_skipped"] == 2
    assert (tmp_path / "l.csv").read_text().count("\n") == 1
    with pytest.raises(UsageError, match="too few labels"):
        oracle(tmp_path / "t.h5", cycles=5, truth=truth, load=without_classes)


@pytest.mark.parametrize(
    ("opts", "cycles", "load", "what"),
    [
        (options(budget=33), 1, None, "too few images of class cat"),
        (options(), 0, None, "--cycles"),
        (options(), 11, None, "too few labels"),
        (options(subset=31), 1, None, "--subset"),
        (options(), 1, without_classes, "bring no labels"),
    ],
)
def test_oracle_refuses_what_cannot_be(tmp_path, opts, cycles, load, what):
    with pytest.raises(UsageError, match=what):
        oracle(tmp_path / "s.h5", opts, cycles, **({"load": load} if load else {}))
    assert list(tmp_path.iterdir()) == []


def test_subset_is_drawn_by_the_seed_and_kept_by_the_state(tmp_path):
    names = {}
    for seed in (0, 1):
        path = oracle(tmp_path / f"{seed}.h5", options(subset=20, seed=seed), 2)
        with open_artifact(path, AlState) as state:
            names[seed] = state.names
            assert state.features.shape == (20, 36)
            rows = [int(name[4:7]) for name in names[seed]]
            labels = state.labels
            assert rows == sorted(rows)
            assert all(rows[i] % 3 == labels[i] for i in np.flatnonzero(labels >= 0))
    assert names[0] != names[1]


def test_pretraining_starts_the_training_and_is_an_input(tmp_path):
    for name, start in (("a", 0.0), ("b", 1.0)):
        with create(tmp_path / f"{name}.h5", Provenance("al-pretraining", {})) as target:
            target.publish(
                AlPretraining.columns(
                    names=[], reasons=[], status=np.zeros(0, np.uint8),
                    assignments=np.zeros(0, np.int32), parameters={"start": np.float64(start)},
                )
            )  # fmt: skip
    outputs = [
        oracle(tmp_path / f"s-{pre}.h5", cycles=1, **({"pretrain": str(tmp_path / pre)}
                                                     if pre != "none" else {}))
        for pre in ("none", "a.h5", "b.h5")
    ]  # fmt: skip
    digests = [digest_of(path) for path in outputs]
    assert digests[0] == digests[1] != digests[2]
    with open_artifact(outputs[2], AlState) as state:
        assert {record.role for record in state.inputs} == {"images", "pretrain"}
        assert state.extra["pretrained"] is True


def test_held_out_set_of_its_own_is_measured_on(tmp_path):
    sets = {"mnist:made": made_dataset(N, 0), "held": made_dataset(6, 0, seed=3)}
    test_labels = write_labels(tmp_path / "t.csv", range(5))
    arguments = {
        "load": lambda source, **_: sets[source],
        "labels": write_labels(tmp_path / "l.csv", range(6)),
        "test": "held",
        "test_labels": test_labels,
    }
    path = cycle(tmp_path / "s.h5", **arguments)
    _, extra = read(path)
    assert extra["n_test_images"] == 5
    accuracy = extra["history"][0]["accuracy"]
    assert accuracy * 5 == pytest.approx(round(accuracy * 5))
    with open_artifact(path, AlState) as state:
        roles = {record.role for record in state.inputs}
        assert roles == {"images", "labels", "test", "test-labels"}
    sets["mnist:made"] = without_classes("")
    arguments["labels"] = write_labels(tmp_path / "l.csv", [0, 1])
    with pytest.raises(UsageError, match=r"held-out set has a class that is not known.*fox"):
        cycle(tmp_path / "t.h5", **arguments)
    assert not (tmp_path / "t.h5").exists()


def test_ceal_pseudo_labels_come_from_the_cycle_before(tmp_path):
    path = oracle(tmp_path / "s.h5", options("ceal", epsilon=1.0, epsilon_decay=0.05))
    counts = [entry["n_pseudo_labels"] for entry in read(path)[1]["history"]]
    assert counts[0] == 0
    assert counts[1] > 0
    none = oracle(tmp_path / "n.h5", options("ceal", epsilon=0.0))
    assert {entry["n_pseudo_labels"] for entry in read(none)[1]["history"]} == {0}
    same = oracle(tmp_path / "e.h5", options("entropy"))
    names = ("probabilities", "acquired_ids")
    assert all(map(np.array_equal, read(none, *names)[0], read(same, *names)[0]))


@pytest.mark.parametrize(
    "given",
    [{}, {"label_mass": "one"}, {"gamma": 0.5}, {"symmetrize": "sum"}, {"alpha": 0.5}],
    ids=lambda given: next(iter(given), "defaults"),
)
def test_cycle_propagates_labels_as_its_options_say(tmp_path, given):
    labels = write_labels(tmp_path / "l.csv", [0, 3, 6, 9, 12, 1, 4, 2])  # 5, 2 and 1 of a class
    cycle(tmp_path / "s.h5", replace(options(semi=True, **given), k=25), labels=labels)
    (stored, features, labels), _ = read(tmp_path / "s.h5", "pseudo_weights", "features", "labels")
    of_graph = {name: given[name] for name in ("gamma", "symmetrize") if name in given}
    rest = {name: value for name, value in given.items() if name not in of_graph}
    labeled = np.flatnonzero(labels >= 0)
    graph = feature_graph(features, k=25, **of_graph)
    expected = propagate_labels(graph, labeled, labels[labeled], 3, **rest).weights
    np.testing.assert_array_equal(stored, expected)
    plain = propagate_labels(feature_graph(features, k=25), labeled, labels[labeled], 3).weights
    assert np.array_equal(stored, plain) == (not given)
