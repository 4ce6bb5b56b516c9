"""What goes wrong with the inputs: one line, the right exit code, and the other rows unharmed."""

from __future__ import annotations

import errno
import io
import os
import resource
import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
from PIL import Image

from rrtool.artifacts.kinds import open_any
from tests.stages.damaging import edited
from tests.tiny import (
    CPU,
    NETWORK,
    assert_done,
    assert_fails,
    assert_one_line,
    command_line,
    detect_local,
    digest_of,
    extract,
    leftovers,
    make_pictures,
    picture,
    rrtool,
    skipped_rows,
)
from tests.warm import warm_rrtool


def _jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", **options)
    return buffer.getvalue()


def _descriptors(path):
    with open_any(path) as artifact:
        names = artifact.names
        status = artifact.status
        return dict(zip(names, zip(status, artifact.descriptors, strict=True), strict=True))


BAD = {
    "truncated.jpg": _jpeg(picture(1, (300, 200)))[:900],
    "empty.jpg": b"",
    "garbage.png": bytes(range(256)) * 8,
    "zero-size.ppm": b"P6\n0 0\n255\n",
    "text.jpg": b"These are words.\n",
    "truncated.gif": b"GIF89a",
}


@pytest.mark.parametrize("name", BAD)
def test_extract_unusable_image_is_skipped_and_others_are_not_affected(tmp_path, name):
    clean = make_pictures(tmp_path / "clean", 2)
    mixed = tmp_path / "mixed"
    shutil.copytree(clean, mixed)
    (mixed / name).write_bytes(BAD[name])
    assert_done(extract(clean, tmp_path / "clean.h5"))
    result = extract(mixed, tmp_path / "mixed.h5")
    assert_done(result, 3)
    assert "1 inputs were skipped" in result.stderr
    assert list(skipped_rows(tmp_path / "mixed.h5")) == [name]
    expected, found = _descriptors(tmp_path / "clean.h5"), _descriptors(tmp_path / "mixed.h5")
    assert sorted(found) == sorted([*expected, name])
    assert found[name][0] == 1
    assert not found[name][1].any()
    for good, (status, vector) in expected.items():
        assert found[good][0] == status == 0
        np.testing.assert_array_equal(found[good][1], vector)


def test_extract_one_pixel_image_is_skipped_with_its_size(tmp_path):
    images = make_pictures(tmp_path / "images", 1)
    picture(3, (1, 1)).save(images / "dot.png")
    assert_done(extract(images, tmp_path / "f.h5"), 3)
    assert "1×1 pixels are too few" in skipped_rows(tmp_path / "f.h5")["dot.png"]


def test_extract_bomb_is_refused_unread(tmp_path):
    images = make_pictures(tmp_path / "images", 1)
    picture(3, (200, 200)).save(images / "bomb.png")
    assert_done(extract(images, tmp_path / "f.h5", "--max-pixels", 30_000), 3)
    assert "over the limit of 30000" in skipped_rows(tmp_path / "f.h5")["bomb.png"]


def test_extract_all_images_bad_is_a_failure_that_names_one(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.jpg").write_bytes(b"")
    assert_fails(extract(images, tmp_path / "f.h5"), 1, "not one of 1 images", "a.jpg")
    assert not (tmp_path / "f.h5").exists()
    assert list(skipped_rows(tmp_path / "f.h5")) == ["a.jpg"]


def test_detect_local_all_images_bad_is_a_failure_that_names_one(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.jpg").write_bytes(b"")
    assert_fails(detect_local(images, tmp_path / "l.h5"), 1, "not one of 1 images", "a.jpg")


def test_extract_odd_but_good_images_are_described(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    base = picture(5)
    gray16 = np.arange(64 * 72, dtype=np.uint16).reshape(64, 72) * 13
    Image.fromarray(gray16).save(images / "gray16.png")
    base.convert("CMYK").save(images / "cmyk.jpg")
    base.convert("L").save(images / "gray.png")
    base.convert("1").save(images / "bilevel.png")
    transparent = base.convert("RGBA")
    transparent.putalpha(128)
    transparent.save(images / "alpha.png")
    base.convert("P").save(images / "palette.png", transparency=3)
    base.save(images / "moving.gif", save_all=True, append_images=[picture(6)], duration=9)
    base.save(images / "wrong-suffix.png", format="jpeg")
    exif = Image.Exif()
    exif[0x0112] = 6
    base.save(images / "turned.jpg", exif=exif)
    assert_done(extract(images, tmp_path / "f.h5"))
    found = _descriptors(tmp_path / "f.h5")
    assert len(found) == 9
    for _, vector in found.values():
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    with open_any(tmp_path / "f.h5") as artifact:
        sizes = dict(zip(artifact.names, artifact.image_sizes, strict=True))
    assert tuple(sizes["turned.jpg"]) == (64, 72)
    assert tuple(sizes["gray.png"]) == (72, 64)


ODD_NAMES = (
    "with space.png",
    "new\nline.png",
    "🦊.png",
    os.fsdecode(b"b\xff\xfe.png"),
    "t\tab.png",
)


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("good", [True, False])
def test_extract_file_names_of_any_bytes(tmp_path, name, good):
    images = make_pictures(tmp_path / "images", 1)
    if good:
        picture(9).save(images / name)
    else:
        (images / name).write_bytes(b"no image")
    result = extract(images, tmp_path / "f.h5")
    assert_done(result, 0 if good else 3)
    with open_any(tmp_path / "f.h5") as artifact:
        assert sorted(artifact.names) == sorted(["000.png", name])
    if not good:
        assert len(skipped_rows(tmp_path / "f.h5")) == 1


@pytest.mark.parametrize("name", ODD_NAMES)
def test_extract_output_and_folder_names_of_any_bytes(tmp_path, name):
    images = make_pictures(tmp_path / f"dir {name}", 1)
    output = tmp_path / f"{name}.h5"
    result = extract(images, output)
    assert_done(result)
    assert result.stdout_bytes.rstrip(b"\n") == os.fsencode(output)
    missing = tmp_path / "no" / f"{name}.txt"
    assert_fails(extract(missing, tmp_path / "g.h5"), 2, "cannot read the images")


def test_extract_unreadable_subfolder_is_listed(tmp_path, monkeypatch):
    images = make_pictures(tmp_path / "images", 1)
    make_pictures(images / "closed", 1)
    scandir = os.scandir

    def refuse(path="."):
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert_done(extract(images, tmp_path / "f.h5"), 3)
    rows = skipped_rows(tmp_path / "f.h5")
    assert rows == {str(images / "closed"): "Permission denied"}


def test_extract_unreadable_folder_is_a_usage_error(tmp_path, monkeypatch):
    images = make_pictures(tmp_path / "images", 1)

    def refuse(path="."):
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert_fails(extract(images, tmp_path / "f.h5"), 2, "Permission denied")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("nothing", "cannot read the images"),
        ("empty-folder", "no photos in this folder"),
        ("empty.txt", "the list of images is empty"),
        ("twice.txt", "listed twice"),
        ("one.png", "this is one image"),
    ],
)
def test_extract_wrong_image_source_is_a_usage_error(tmp_path, source, text):
    (tmp_path / "empty-folder").mkdir()
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "twice.txt").write_text("a.png\nb.png\na.png\n")
    picture(0).save(tmp_path / "one.png")
    assert_fails(extract(tmp_path / source, tmp_path / "f.h5"), 2, text)
    assert leftovers(tmp_path) == []


def test_extract_image_that_vanishes_from_a_list_is_skipped(tmp_path):
    make_pictures(tmp_path / "images", 1)
    (tmp_path / "list.txt").write_text("images/000.png\nimages/gone.png\nimages\n")
    assert_done(extract(tmp_path / "list.txt", tmp_path / "f.h5"), 3)
    assert set(skipped_rows(tmp_path / "f.h5")) == {"images/gone.png", "images"}


def test_extract_box_outside_the_image_fails_its_row_only(tmp_path):
    images = make_pictures(tmp_path / "images", 2)
    (tmp_path / "boxes.csv").write_text("000.png,500,500,600,600\n001.png,0,0,60,60\n")
    assert_done(extract(images, tmp_path / "f.h5", "--boxes", tmp_path / "boxes.csv"), 3)
    assert "outside the image of 72×64" in skipped_rows(tmp_path / "f.h5")["000.png"]
    assert _descriptors(tmp_path / "f.h5")["001.png"][0] == 0


def test_extract_box_that_reaches_beyond_the_image_is_clipped(tmp_path):
    images = make_pictures(tmp_path / "images", 1)
    (tmp_path / "boxes.csv").write_text("000.png,-9,4,1000,60\n")
    assert_done(extract(images, tmp_path / "f.h5", "--boxes", tmp_path / "boxes.csv"))
    with open_any(tmp_path / "f.h5") as artifact:
        np.testing.assert_array_equal(artifact.boxes, [[0, 4, 72, 60]])


def test_extract_box_of_an_absent_image_is_listed(tmp_path):
    images = make_pictures(tmp_path / "images", 1)
    (tmp_path / "boxes.csv").write_text("000.png,0,0,60,60\nabsent.png,0,0,9,9\n")
    assert_done(extract(images, tmp_path / "f.h5", "--boxes", tmp_path / "boxes.csv"), 3)
    assert "the image is not there" in skipped_rows(tmp_path / "f.h5")["absent.png"]
    (tmp_path / "boxes.csv").write_text("absent.png,0,0,9,9\n")
    result = extract(images, tmp_path / "g.h5", "--boxes", tmp_path / "boxes.csv")
    assert_fails(result, 2, "none of the boxes")


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Features of four images; tests copy them before they spoil them."""
    folder = tmp_path_factory.mktemp("features")
    make_pictures(folder / "images", 4)
    assert_done(extract(folder / "images", folder / "f.h5"))
    return folder / "f.h5"


def _spoiled(features, tmp_path, rows, value):
    path = tmp_path / "spoiled.h5"
    shutil.copy(features, path)
    with edited(path) as file:
        file["descriptors"][rows] = value
    return path


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_search_descriptors_that_are_not_finite_are_left_out_and_said(features, tmp_path, value):
    path = _spoiled(features, tmp_path, slice(1, 2), value)
    result = rrtool("search", features, path, "-o", tmp_path / "r.h5")
    assert_done(result)
    assert "1 descriptors are not finite" in result.stderr
    assert "001.png" in result.stderr
    with open_any(tmp_path / "r.h5") as ranking:
        assert ranking.ids.shape == (4, 3)
        assert 1 not in ranking.ids
        assert np.isfinite(ranking.scores).all()


def test_search_zero_descriptors_are_said_and_come_last(features, tmp_path):
    path = _spoiled(features, tmp_path, slice(2, 3), 0)
    result = rrtool("search", features, path, "-o", tmp_path / "r.h5")
    assert_done(result)
    assert "1 descriptors are zero" in result.stderr
    with open_any(tmp_path / "r.h5") as ranking:
        assert ranking.ids.shape == (4, 4)
        assert (ranking.ids[:, -1] == 2).all()


def test_search_no_usable_descriptor_is_an_artifact_error(features, tmp_path):
    path = _spoiled(features, tmp_path, slice(None), np.nan)
    result = rrtool("search", features, path, "-o", tmp_path / "r.h5", "-q")
    assert_fails(result, 4, "no row is usable")


def test_search_ranking_in_place_of_features(features, tmp_path):
    assert_done(rrtool("search", features, features, "-o", tmp_path / "r.h5"))
    result = rrtool("search", tmp_path / "r.h5", features, "-o", tmp_path / "s.h5")
    assert_fails(result, 4, "another kind", "expected features", "found ranking")


def _with_attribute(features, tmp_path, name, value):
    path = tmp_path / "changed.h5"
    shutil.copy(features, path)
    with edited(path) as file:
        if value is None:
            del file.attrs[name]
        else:
            file.attrs[name] = value
    return path


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("format_version", 99, "newer rrtool"),
        ("format_version", "many", "format_version"),
        ("complete", False, "not complete"),
        ("kind", None, "not one of rrtool's"),
        ("options", "{", "its attributes"),
        ("options", None, "its attributes"),
        ("inputs", '[{"a": 1}]', "its attributes"),
        ("digest", None, "its attributes"),
    ],
)
def test_search_foreign_or_damaged_attributes(features, tmp_path, name, value, text):
    path = _with_attribute(features, tmp_path, name, value)
    assert_fails(rrtool("search", features, path, "-o", tmp_path / "r.h5"), 4, text, path.name)


def test_search_other_network(features, tmp_path):
    result = extract(features.parent / "images", tmp_path / "other.h5", "--seed", 7)
    assert_done(result)
    result = rrtool("search", features, tmp_path / "other.h5", "-o", tmp_path / "r.h5")
    assert_fails(result, 4, "differ in weights")


def test_search_other_pooling(features, tmp_path):
    assert_done(extract(features.parent / "images", tmp_path / "other.h5", "--pool", "mac"))
    result = rrtool("search", features, tmp_path / "other.h5", "-o", tmp_path / "r.h5")
    assert_fails(result, 4, "differ in --pool", "expected gem", "found mac")


def test_detect_local_maps_of_other_images(tmp_path):
    make_pictures(tmp_path / "a", 2)
    make_pictures(tmp_path / "b", 3)
    assert_done(extract(tmp_path / "a", tmp_path / "f.h5", "--save-maps", tmp_path / "m.h5"))
    result = rrtool("detect-local", tmp_path / "b", "-o", tmp_path / "l.h5", "--maps",
                    tmp_path / "m.h5", "--scales", "1")  # fmt: skip
    assert_fails(result, 4, "other images", "e.g. 002.png")


def test_search_text_file_in_place_of_an_artifact(features, tmp_path):
    (tmp_path / "notes.h5").write_text("not an artifact")
    result = rrtool("search", features, tmp_path / "notes.h5", "-o", tmp_path / "r.h5")
    assert_fails(result, 4, "notes.h5", "not an HDF5 file")


def test_search_missing_artifact_folder_and_foreign_hdf5(features, tmp_path):
    result = rrtool("search", features, tmp_path / "none.h5", "-o", tmp_path / "r.h5")
    assert_fails(result, 2, "No such file")
    assert_fails(rrtool("search", features, tmp_path, "-o", tmp_path / "r.h5"), 2, "directory")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    result = rrtool("search", features, tmp_path / "foreign.h5", "-o", tmp_path / "r.h5")
    assert_fails(result, 4, "not one of rrtool's")


def test_search_truncated_artifact_at_any_length(features, tmp_path):
    content = features.read_bytes()
    for length in (0, 1, 8, 100, 1000, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.h5").write_bytes(content[:length])
        result = rrtool("search", features, tmp_path / "cut.h5", "-o", tmp_path / "r.h5")
        assert_fails(result, 4, "cut.h5")


def test_inspect_artifact_with_flipped_bytes_is_one_line_and_exit_4(features, tmp_path):
    content = features.read_bytes()
    generator = np.random.default_rng(4)
    for _ in range(30):
        damaged = bytearray(content)
        # Metadata lies at both ends, data between them.
        for position in generator.integers(0, 6000, 3) - 3000:
            damaged[position] ^= int(generator.integers(1, 256))
        (tmp_path / "damaged.h5").write_bytes(damaged)
        result = rrtool("inspect", tmp_path / "damaged.h5", "--verify")
        assert_fails(result, 4, "damaged.h5")


def _fail_with_full_disk(*_args, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


def _fail_for_lists(descriptor, content, write=os.write):
    if b"# rrtool: inputs that were skipped" in bytes(content):
        _fail_with_full_disk()
    return write(descriptor, content)


def _is_full_disk_failure(result, output):
    assert_fails(result, 1, "the disk is full", "finished parts are kept")
    assert not output.exists()


def test_full_disk_while_writing_a_part_keeps_finished_parts(tmp_path, monkeypatch):
    images, output = make_pictures(tmp_path / "images", 70), tmp_path / "f.h5"
    replace = os.replace
    calls = []

    def full_after_a_while(source, target):
        calls.append(str(target))
        if sum(call.endswith(".h5") for call in calls) > 2:
            _fail_with_full_disk()
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full_after_a_while)
        _is_full_disk_failure(extract(images, output), output)
    assert leftovers(tmp_path) == [".f.h5.parts"]
    assert sorted(os.listdir(tmp_path / ".f.h5.parts"))[:2] == ["0000000.h5", "0000001.h5"]
    result = extract(images, output)
    assert_done(result)
    assert "64 of 70 images are done" in result.stderr
    assert_done(extract(images, tmp_path / "g.h5"))
    assert digest_of(output) == digest_of(tmp_path / "g.h5")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("function", ["fsync", "mkdir"])
def test_full_disk_at_any_call_is_one_line(tmp_path, monkeypatch, function):
    images, output = make_pictures(tmp_path / "images", 2), tmp_path / "f.h5"
    with monkeypatch.context() as patch:
        patch.setattr(os, function, _fail_with_full_disk)
        result = extract(images, output)
    assert_fails(result, 1, "the disk is full")
    assert not output.exists()
    assert_done(extract(images, output))
    assert leftovers(tmp_path) == []


def test_full_disk_in_hdf5_is_one_line(tmp_path, monkeypatch):
    images, output = make_pictures(tmp_path / "images", 2), tmp_path / "f.h5"
    with monkeypatch.context() as patch:
        patch.setattr(h5py.File, "create_dataset", _fail_with_full_disk)
        _is_full_disk_failure(extract(images, output), output)
    assert_done(extract(images, output))
    assert leftovers(tmp_path) == []


def test_write_that_the_system_refuses_leaves_no_broken_part(tmp_path):
    """HDF5 writes when it closes a file: a failure there must not pass for a finished part."""
    images, output = make_pictures(tmp_path / "images", 12), tmp_path / "f.h5"
    done = subprocess.run(
        [warm_rrtool(), "extract", images, "-o", output, *NETWORK, *CPU, "-q"],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot write the output (found [Errno 27] File too large)" in done.stderr
    assert os.listdir(tmp_path / ".f.h5.parts") == ["key"]
    assert_done(extract(images, output))
    assert_done(extract(images, tmp_path / "g.h5"))
    assert digest_of(output) == digest_of(tmp_path / "g.h5")


def test_full_disk_for_the_list_of_skipped_inputs_is_one_line(tmp_path, monkeypatch):
    images, output = make_pictures(tmp_path / "images", 1), tmp_path / "f.h5"
    (images / "bad.png").write_bytes(b"")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _fail_for_lists)
        _is_full_disk_failure(extract(images, output), output)
    assert_done(extract(images, output), 3)


def _in_process_of_its_own(*arguments):
    done = subprocess.run(
        [warm_rrtool(), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done


def test_interrupt_exits_130_and_the_rerun_completes_to_the_same(tmp_path):
    images = make_pictures(tmp_path / "images", 40)
    output = tmp_path / "f.h5"
    arguments = ("extract", images, "-o", output, *NETWORK, *CPU)
    process = subprocess.Popen(
        command_line(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell would hand down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / ".f.h5.parts" / "0000000.h5").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert "interrupted" in assert_one_line(stderr)
    assert not output.exists()
    # In processes of their own like the first run: libraries loaded here may have set the number
    # of threads, and with it the last bits.
    again = _in_process_of_its_own(*arguments)
    assert "continuing an interrupted run" in again.stderr
    _in_process_of_its_own("extract", images, "-o", tmp_path / "g.h5", *NETWORK, *CPU)
    assert digest_of(output) == digest_of(tmp_path / "g.h5")
    assert leftovers(tmp_path) == []
