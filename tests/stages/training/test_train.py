"""rrtool train: photos in groups, or tuples, to a network that extract loads at once."""

import errno
import json
import os

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rrtool.artifacts import Features, Training, open_artifact
from rrtool.artifacts.output.parts import PartsFolder
from rrtool.networks.weights_file import META
from tests.stages.training.conftest import QUICK, RULE, train
from tests.tiny import assert_done, assert_fails, leftovers, rrtool, skipped_rows

NETWORK = ("--network", "squeezenet1_1", "--engine", "torch", "--device", "cpu", "--scales", "1")


def _meta(path):
    with safe_open(str(path), framework="pt") as file:
        return json.loads(file.metadata()[META])


def test_network_that_is_trained_is_what_extract_takes(trained, things, tmp_path):
    weights = trained / "net.safetensors"
    described = tmp_path / "f.h5"
    assert_done(rrtool("extract", things, "-o", described, *NETWORK, "--weights", weights))
    exponent = load_file(weights)["pool.p"].item()
    assert exponent != 3.0
    with open_artifact(described, Features) as features:
        assert features.options["pool"] == "gem"
        assert features.options["gem_exponent"] == pytest.approx(exponent)
        assert features.network["weights"] == "net.safetensors"
        assert np.isfinite(features.descriptors).all()


def test_record_says_how_the_network_came_about(trained):
    with open_artifact(trained / "net.training.h5", Training) as record:
        log = record.extra["log"]
        assert [entry["epoch"] for entry in log] == [0, 1, 2]
        assert all(0 <= entry["mean_average_precision"] <= 1 for entry in log)
        assert [entry["n_tuples"] for entry in log[1:]] == [6, 6]
        assert record.extra["weights"] == "net.safetensors"
        assert {each.role for each in record.inputs} == {"images", "groups", "validate"}
        held_out = [
            name for name, group in zip(record.names, record.held_out, strict=True) if group >= 0
        ]
        assert {name[:3] for name in held_out} == {"egg", "doo"}
        assert set(np.flatnonzero(record.groups >= 0)) == set(range(6))
    meta = _meta(trained / "net.safetensors")
    assert (meta["architecture"], meta["pooling"]) == ("squeezenet1_1", "gem")
    assert meta["training"]["epoch"] == record.extra["best_epoch"]
    assert meta["training"]["learning_rate"] == 1e-4


def test_epochs_are_told(trained):
    told = (trained / "told.txt").read_text()
    assert "before training: mAP" in told
    assert "epoch 1: loss" in told
    assert "of photos or maps kept in memory" in told
    assert "train: 12/12 tuples" in told


def test_only_layers_that_learn_have_changed(trained, things, tmp_path):
    before = tmp_path / "before.safetensors"
    assert_done(train(things, before, "--lr", "1e-12", "--epochs", "1"))
    first, second = load_file(before), load_file(trained / "net.safetensors")
    moved = {key.rsplit(".", 2)[0] for key in first if not first[key].allclose(second[key])}
    assert moved <= {"features.12", "pool.p", "pool"}
    assert "features.12" in moved


def test_result_does_not_depend_on_what_is_kept_in_memory(things, tmp_path):
    all_kept, few = tmp_path / "all.safetensors", tmp_path / "few.safetensors"
    assert_done(train(things, all_kept))
    for keep in ("0", "0.00003"):
        assert_done(train(things, few, "--keep", keep, "--overwrite"))
        assert all_kept.read_bytes().replace(b"all", b"few") == few.read_bytes(), keep


def test_finished_training_is_up_to_date(net, things):
    result = train(things, net, "--validate", "prefix:(egg|door)_")
    assert_done(result)
    assert "is up to date" in result.stderr
    assert result.stdout.strip() == str(net)


def test_other_options_are_named(net, things):
    held = ("--validate", "prefix:(egg|door)_")
    assert_fails(train(things, net, *held, "--margin", "0.5"), 4, "another --margin")
    assert_fails(train(things, net), 4, "other --validate")
    assert_done(train(things, net, *held, "--margin", "0.5", "--overwrite"))
    assert _meta(net)["training"]["margin"] == 0.5


def test_dry_run_writes_nothing(things, tmp_path):
    result = train(things, tmp_path / "net.safetensors", "--dry-run")
    assert_done(result)
    assert "12 photos are to be worked on" in result.stderr
    assert "of memory" in result.stderr
    assert not list(tmp_path.iterdir())


def test_weights_and_record_belong_together(net, things):
    held = ("--validate", "prefix:(egg|door)_")
    content = net.read_bytes()
    net.write_bytes(content[:-4] + b"\0\0\0\0")
    assert_fails(train(things, net, *held), 2, "net.training.h5 is the record of")
    assert_done(train(things, net, *held, "--overwrite"))
    assert net.read_bytes() == content
    net.unlink()
    assert_done(train(things, net, *held))
    assert net.read_bytes() == content


def test_weights_without_a_record_are_replaced_on_request_alone(net, things):
    record = net.with_name("net.training.h5")
    record.unlink()
    assert_fails(train(things, net), 2, "has no record", "--overwrite")
    assert not record.exists()
    assert_done(train(things, net, "--overwrite", "--epochs", "1"))


def test_record_of_another_network_is_replaced_on_request_alone(net, things):
    other = net.with_suffix(".pth")
    content = net.with_name("net.training.h5").read_bytes()
    line = assert_fails(train(things, other), 2, "the record of another network", "--overwrite")
    assert "found net.safetensors" in line
    assert net.with_name("net.training.h5").read_bytes() == content
    assert not other.exists()
    assert_done(train(things, other, "--overwrite", "--epochs", "1"))


def test_weights_of_others_are_never_replaced(things, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"mine")
    line = assert_fails(train(things, path, "--overwrite"), 2, "not ours")
    assert "rrtool train did not write" in line
    assert path.read_bytes() == b"mine"


def test_output_may_be_no_input_and_no_record(things, tmp_path):
    path = tmp_path / "net.safetensors"
    assert_fails(train(things, path, "--record", path), 2, "same file")


def _killing(monkeypatch, when):
    """A run that is killed after a checkpoint is written, or before."""
    write = PartsFolder.write_part

    def write_part(self, number, datasets):
        if when(datasets):
            raise KeyboardInterrupt
        write(self, number, datasets)

    monkeypatch.setattr(PartsFolder, "write_part", write_part)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_killed_run_goes_on_where_it_was(trained, things, tmp_path, monkeypatch, epoch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    more = ("--epochs", "3", "--validate", "0.4", "--seed", "3")
    assert_done(train(things, whole / "net.safetensors", *more))
    with monkeypatch.context() as patch:
        _killing(patch, lambda state: int(state["epoch"]) == epoch)
        assert train(things, killed / "net.safetensors", *more).exit_code == 130
    assert not (killed / "net.safetensors").exists()
    result = train(things, killed / "net.safetensors", *more)
    assert_done(result)
    assert ("epoch 1:" in result.stderr) == (epoch == 1)
    assert _same(whole, killed)
    assert leftovers(killed) == []


def _same(first, second):
    """Weights byte for byte, and records but for times."""
    contents = [(folder / "net.safetensors").read_bytes() for folder in (first, second)]
    logs = []
    for folder in (first, second):
        with open_artifact(folder / "net.training.h5", Training) as record:
            logs.append([{k: v for k, v in e.items() if k != "seconds"}
                         for e in record.extra["log"]])  # fmt: skip
    return contents[0] == contents[1] and logs[0] == logs[1]


def test_kill_between_weights_and_record_is_mended(things, tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr("rrtool.artifacts.output.writer.OutputFile.publish", _interrupt)
        assert train(things, path).exit_code == 130
    content = path.read_bytes()
    result = train(things, path)
    assert_done(result)
    assert "epoch" not in result.stderr  # all were done
    assert path.read_bytes() == content
    assert leftovers(tmp_path) == []


def _interrupt(*args, **kwargs):
    raise KeyboardInterrupt


def test_run_may_end_with_fewer_epochs_than_were_asked_for(things, tmp_path, monkeypatch):
    path, whole = tmp_path / "net.safetensors", tmp_path / "whole.safetensors"
    with monkeypatch.context() as patch:
        _killing(patch, lambda state: int(state["epoch"]) == 3)
        assert train(things, path, "--epochs", "9").exit_code == 130
    result = train(things, path, "--epochs", "2")
    assert_done(result)
    assert "epoch 1" not in result.stderr
    assert_done(train(things, whole, "--epochs", "2"))
    assert load_file(path)["pool.p"].equal(load_file(whole)["pool.p"])


def test_full_disk_at_a_checkpoint_ends_the_run_and_keeps_the_one_before(
    things, tmp_path, monkeypatch
):
    path = tmp_path / "net.safetensors"
    with monkeypatch.context() as patch:
        _failing_writes(patch, after=1)
        assert_fails(train(things, path, "--epochs", "3"), 1, "the disk is full", "again")
    result = train(things, path, "--epochs", "3")
    assert_done(result)
    assert "epoch 1:" not in result.stderr
    assert "epoch 2:" in result.stderr


def _failing_writes(patch, after):
    """Parts after the first so many find no space."""
    from rrtool.artifacts.output import parts

    real, n_written = parts.new_hdf5, 0

    def new_hdf5(target):
        nonlocal n_written
        n_written += 1
        if n_written > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(target)

    patch.setattr(parts, "new_hdf5", new_hdf5)


def test_photos_that_cannot_be_read_are_listed(things, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in things.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "cup_1.png").write_bytes(b"\x89PNG no more")
    result = train(folder, tmp_path / "net.safetensors")
    assert_done(result, 3)
    assert list(skipped_rows(tmp_path / "net.training.h5")) == ["cup_1.png"]
    with open_artifact(tmp_path / "net.training.h5", Training) as record:
        assert record.status.sum() == 1


def test_photos_too_small_for_the_network_are_listed(things, tmp_path):
    result = train(things, tmp_path / "net.safetensors", "--image-size", "16")
    assert_fails(result, 1, "not one tuple")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("prefix:(.*)[.]", "nothing to learn from"), ("prefix:.*(png)", "there are no negatives"),
     (None, "--groups, or tuples")],
)  # fmt: skip
def test_groups_that_make_no_tuples_are_an_error(things, tmp_path, rule, expected):
    groups = () if rule is None else ("--groups", rule)
    result = rrtool("train", things, *groups, "-o", tmp_path / "net.safetensors", *QUICK)
    assert_fails(result, 2, expected)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "expected"),
    [("1.5", "between 0 and 1"), ("prefix:(zebra)_", "no two of the photos"),
     ("prefix:([a-z]*)_", "photos that --validate leaves show the same"), ("0.99", "leaves show"),
     ("prefix:(cup|door|egg)_", "--validate leaves are in one group"), ("no.csv", "no.csv")],
)  # fmt: skip
def test_validation_that_leaves_nothing_is_an_error(things, tmp_path, given, expected):
    result = train(things, tmp_path / "net.safetensors", "--validate", given)
    line = assert_fails(result, 2, expected)
    assert line.startswith(f"rrtool: {given}: ") or given == "1.5"
    assert ("hold fewer groups out" in line) == ("leaves" in line)


def test_weights_of_another_network_are_refused(trained, things, tmp_path):
    weights = ("--network", "resnet18", "--weights", trained / "net.safetensors")
    result = rrtool("train", things, "--groups", RULE, "-o", tmp_path / "n.safetensors", *weights)
    assert_fails(result, 2, "of another network", "squeezenet1_1")


def test_training_goes_on_from_weights_and_exponent_of_another(trained, things, tmp_path):
    path = tmp_path / "net.safetensors"
    weights = ("--weights", trained / "net.safetensors", "--lr", "1e-12", "--epochs", "1")
    assert_done(train(things, path, *weights))
    first, second = load_file(trained / "net.safetensors"), load_file(path)
    assert second["pool.p"].item() == pytest.approx(first["pool.p"].item())


def _checkpoint(path, weights, **layers):
    tensors = {**load_file(weights), **layers}
    save_file(tensors, path, {META: json.dumps({"pooling": "gem"})})
    return path


def test_whitening_of_a_checkpoint_is_left_out(trained, things, tmp_path):
    weights = _checkpoint(
        tmp_path / "w.safetensors", trained / "net.safetensors",
        **{"whiten.weight": torch.eye(512), "whiten.bias": torch.zeros(512)},
    )  # fmt: skip
    path = tmp_path / "net.safetensors"
    result = train(things, path, "--weights", weights, "--epochs", "1")
    assert_done(result)
    assert "has a whitening, which does not go with new weights: learn another by --whiten" in (
        result.stderr
    )
    assert not any(name.startswith("whiten") for name in load_file(path))


def test_checkpoint_that_whitens_positions_is_refused(trained, things, tmp_path):
    weights = _checkpoint(
        tmp_path / "w.safetensors", trained / "net.safetensors",
        **{"lwhiten.weight": torch.eye(512), "lwhiten.bias": torch.zeros(512)},
    )  # fmt: skip
    result = train(things, tmp_path / "net.safetensors", "--weights", weights)
    assert_fails(result, 2, "cannot be trained")


def test_pooling_of_a_checkpoint_that_is_not_gem_or_mac_is_refused(trained, things, tmp_path):
    weights = tmp_path / "w.safetensors"
    save_file(load_file(trained / "net.safetensors"), weights, {META: '{"pooling": "crow"}'})
    result = train(things, tmp_path / "net.safetensors", "--weights", weights)
    assert_fails(result, 2, "crow", "--pool")


def test_several_networks_and_losses(things, tmp_path):
    more = (
        "--loss", "triplet", "--margin", "0.1", "--pool", "mac", "--train-from", "last",
        "--epochs", "1",
    )  # fmt: skip
    path = tmp_path / "net.safetensors"
    assert_done(train(things, path, "--network", "mobilenet_v2", *more, "--batch-norm", "learnt"))
    assert _meta(path)["pooling"] == "mac"
    assert "pool.p" not in load_file(path)
    described = ("--network", "mobilenet_v2", "--weights", path, "--max-size", "64")
    assert_done(rrtool("extract", things, "-o", tmp_path / "f.h5", *NETWORK, *described))


def test_diverging_training_says_where_and_leaves_what_was_good(things, tmp_path, monkeypatch):
    from rrtool.training.retrieval import learner

    path, calls = tmp_path / "net.safetensors", 0
    contrastive = learner.contrastive

    def diverging(*args):
        nonlocal calls
        calls += 1
        return contrastive(*args) * (float("nan") if calls > 12 + 7 else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(learner, "contrastive", diverging)
        result = train(things, path, "--epochs", "4")
    assert_fails(result, 1, "batch 2 of epoch 2", "--epochs 1")
    result = train(things, path, "--epochs", "1")
    assert_done(result)
    assert "epoch 1:" not in result.stderr  # it is the one that was kept
    assert path.exists()
