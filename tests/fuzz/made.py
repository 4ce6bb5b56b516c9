"""Good inputs that no command makes: photos, lists, tables, ground truths, data sets, weights."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from scipy.io import savemat

from rrtool.networks import load_network
from rrtool.networks.backbones import seeded_classifier
from tests.datasets import made_files
from tests.tiny import make_digits, make_pictures, picture

# What is in a file that no case may read or change, and what must never show up.
SECRET = "the-secret-of-another-file\n"  # noqa: S105
DATASETS = ("mnist", "cifar10", "cifar100", "svhn")
NAMES = [f"{'ab'[i % 2]}_{i}.png" for i in range(6)]
_STEMS = [name[:-4] for name in NAMES]


def _images(folder: Path) -> None:
    make_pictures(folder, 6)
    for i, name in enumerate(NAMES):
        (folder / f"{i:03d}.png").rename(folder / name)


def _photos(folder: Path) -> None:
    folder.mkdir()
    picture(1).save(folder / NAMES[0])


def _long(folder: Path) -> None:
    """Names on which a regular expression may go astray."""
    folder.mkdir()
    for i in range(3):
        picture(i).save(folder / f"{'a' * 48}{i}_.png")


def _text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(text.encode())


def _lines(*lines: str) -> Callable[[Path], object]:
    return _text("".join(f"{line}\n" for line in lines))


def _truth(kind: str) -> dict[str, object]:
    entries = []
    for i in range(6):
        mates = [j for j in range(6) if j % 2 == i % 2 and j != i]
        lists = {
            "rev": {"easy": mates[:1], "hard": mates[1:], "junk": [i]},
            "instre": {"ok": mates},
            "classic": {"ok": mates, "junk": [i]},
        }[kind]
        entries.append({**lists, "bbx": [2.0, 3.0, 60.0, 50.0]})
    return {"imlist": _STEMS, "qimlist": _STEMS, "gnd": entries}


def _pickled(kind: str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(pickle.dumps(_truth(kind), protocol=2))


_CIDS = [f"{name[0]}{i}{'0ab'[i % 3]}0c{i}" for i, name in enumerate(NAMES)]


def _tuple_photos(folder: Path) -> None:
    """Where a tuple file looks for its photos."""
    make_pictures(folder / "made", len(_CIDS))
    for source, cid in zip(sorted((folder / "made").iterdir()), _CIDS, strict=True):
        target = folder / cid[-2:] / cid[-4:-2] / cid[-6:-4] / cid
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    (folder / "made").rmdir()


def _tuples(path: Path) -> None:
    split = {"cids": _CIDS, "cluster": [i % 2 for i in range(6)], "qidxs": [0, 1, 4],
             "pidxs": [2, 3, 0], "bbxs": [[1.0, 2.0, 30.0, 40.0]] * 6}  # fmt: skip
    path.write_bytes(pickle.dumps({"train": split, "val": split}, protocol=2))


def _matlab(kind: str) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        content = _truth(kind)
        entries: list = content["gnd"]  # type: ignore[assignment]
        gnd = np.zeros((1, 6), dtype=[(key, object) for key in entries[0]])
        for i, entry in enumerate(entries):
            for key, values in entry.items():
                gnd[0, i][key] = np.array([values], float) + (key != "bbx")
        lists = {key: np.array([content[key]], dtype=object) for key in ("imlist", "qimlist")}
        savemat(path, {**lists, "gnd": gnd}, do_compression=True)

    return make


def _oxford(folder: Path) -> None:
    folder.mkdir()
    for i, stem in enumerate(_STEMS):
        mates = [name for j, name in enumerate(_STEMS) if j % 2 == i % 2 and j != i]
        files = {
            "query": f"oxc1_{stem} 2.0 3.0 60.0 50.0", "good": mates[0], "ok": mates[1],
            "junk": _STEMS[i - 1],
        }  # fmt: skip
        for part, text in files.items():
            (folder / f"q{i}_{part}.txt").write_text(text + "\n")


def _mnist(folder: Path) -> None:
    make_digits(folder, 20, 10)


def _cifar10(folder: Path) -> None:
    folder.mkdir()
    for stem in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        pair = made_files.images_and_labels(3, (32, 32, 3))
        (folder / stem).write_bytes(made_files.cifar_pickle(*pair, "labels"))
    names = [f"class {i}" for i in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, protocol=2))


def _cifar10_binary(folder: Path) -> None:
    folder.mkdir()
    for stem in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        images, labels = made_files.images_and_labels(3, (32, 32, 3))
        (folder / f"{stem}.bin").write_bytes(made_files.cifar_binary(images, labels))
    (folder / "batches.meta.txt").write_text("".join(f"class {i}\n" for i in range(10)))


def _cifar100(folder: Path) -> None:
    folder.mkdir()
    for stem in ("train", "test"):
        pair = made_files.images_and_labels(3, (32, 32, 3), 100)
        content = made_files.python2_cifar_pickle(*pair, "fine_labels")
        (folder / stem).write_bytes(content)


def _svhn(folder: Path) -> None:
    for stem in ("train", "test"):
        made_files.write_svhn(folder, stem, *made_files.images_and_labels(4, (32, 32, 3)))


def _net(path: Path) -> None:
    torch.save(seeded_classifier("squeezenet1_1", 5).state_dict(), path)


def _wrapped(path: Path) -> None:
    state = seeded_classifier("squeezenet1_1", 5).state_dict()
    wrapped = {f"module.{key}": value for key, value in state.items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, path)


def _onnx(path: Path) -> None:
    """A graph of one convolution."""
    import onnx
    from onnx import TensorProto, helper

    weights = np.random.default_rng(2).normal(size=(6, 3, 3, 3)).astype(np.float32)
    any_size = (["b", 3, "h", "w"], ["b", "k", "y", "x"])
    image, map_ = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(("image", "map"), any_size, strict=True)
    )
    node = helper.make_node("Conv", ["image", "weight"], ["map"], strides=[4, 4])
    tensor = onnx.numpy_helper.from_array(weights, "weight")
    graph = helper.make_graph([node], "net", [image], [map_], [tensor])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def _timm(path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(4)
    save_file(timm.create_model("test_resnet").state_dict(), path)


def _safetensors(path: Path) -> None:
    from safetensors.torch import save_file

    save_file(seeded_classifier("squeezenet1_1", 5).state_dict(), path)


def _checkpoint(path: Path) -> None:
    backbone = load_network("squeezenet1_1", "none", seed=3).backbone.state_dict()
    generator = np.random.default_rng(0)
    learned = {
        form: {"m": generator.normal(size=(512, 1)), "P": generator.normal(size=(16, 512))}
        for form in ("ss", "ms")
    }
    meta = {
        "architecture": "squeezenet1_1", "pooling": "gem", "mean": [0.4, 0.4, 0.4],
        "std": [0.2, 0.2, 0.2], "outputdim": 512, "Lw": {"made": learned},
    }  # fmt: skip
    state = {f"features.{key}": value for key, value in backbone.items()}
    torch.save({"meta": meta, "state_dict": {**state, "pool.p": torch.tensor([2.5])}}, path)


def _task(row: int, name: str) -> dict[str, object]:
    """As Label Studio exports it."""
    chosen = {"from_name": "label", "type": "choices", "value": {"choices": [name[0]]}}
    return {
        "id": 40 + row, "data": {"image": f"/data/local-files/?d=x/{name}", "row": row},
        "annotations": [{"result": [chosen], "was_cancelled": row == 5}], "predictions": [],
    }  # fmt: skip


_COCO = {
    "images": [{"id": row, "file_name": name} for row, name in enumerate(NAMES)],
    "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    "annotations": [
        {"id": row, "image_id": row, "category_id": 1 + row % 2, "bbox": [2, 3, 50, 40]}
        for row in range(6)
    ],
}
_FIFTYONE = {"classes": ["a", "b"], "labels": {stem: row % 2 for row, stem in enumerate(_STEMS)}}


def _vectors() -> np.ndarray:
    vectors = np.random.default_rng(6).normal(size=(len(NAMES), 6))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _hloc(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        for name, vector in zip(NAMES, _vectors(), strict=True):
            file[f"{name}/global_descriptor"] = vector
            file[f"{name}/image_size"] = [72, 64]


def _parquet(path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"name": NAMES, "descriptor": _vectors().tolist()}), path)


_SIMILARITIES = {
    query: {name: 1 - abs(i - j) / 9 for j, name in enumerate(NAMES)}
    for i, query in enumerate(NAMES)
}
_GROUPS = [f"{name},{name[0]}" for name in NAMES]
MAKERS: dict[str, Callable[[Path], object]] = {
    "images": _images,
    "photos": _photos,
    "long": _long,
    "digits": lambda folder: make_digits(folder, 60, 20),
    "list.txt": _lines(*(f"images/{name}" for name in NAMES)),
    "list.csv": _lines("path,label", *(f"images/{name},{name[0]}" for name in NAMES)),
    "list.zero": _text("\0".join(f"images/{name}" for name in NAMES) + "\0"),
    "boxes.csv": _lines("name,x0,y0,x1,y1", "a_0.png,5,5,40,40", "b_1.png,9,9,60,60"),
    "groups.csv": _lines("name,label", *_GROUPS),
    "groups.tsv": _lines(*(row.replace(",", "\t") for row in _GROUPS)),
    "pairs.csv": _lines("a_0.png,a_2.png", "a_2.png,a_4.png", "b_1.png,b_3.png"),
    "labels.csv": _lines(
        "id,name,label,score", *(f"{i},{name},{name[0]},0" for i, name in enumerate(NAMES))
    ),
    "truth.csv": _lines("name,label", *_GROUPS),
    "classes.txt": _lines("a", "b"),
    "digits.csv": _lines("name,label", *(f"train-{i:05d},{i % 10}" for i in range(60))),
    "gnd_rev.pkl": _pickled("rev"),
    "gnd_rev.mat": _matlab("rev"),
    "gnd_instre.pkl": _pickled("instre"),
    "gnd_instre.mat": _matlab("instre"),
    "gnd_classic.pkl": _pickled("classic"),
    "sfm": _tuple_photos,
    "tuples.pkl": _tuples,
    "oxford": _oxford,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "cifar10bin": _cifar10_binary,
    "cifar100": _cifar100,
    "svhn": _svhn,
    "names.txt": _lines(*NAMES),
    "own.npy": lambda path: np.save(path, _vectors()),
    "own.npz": lambda path: np.savez_compressed(path, names=NAMES, descriptors=_vectors()),
    "own.parquet": _parquet,
    "own.hdf5": _hloc,
    "tasks.json": _text(json.dumps([_task(row, name) for row, name in enumerate(NAMES)])),
    "coco.json": _text(json.dumps(_COCO)),
    "fiftyone.json": _text(json.dumps(_FIFTYONE)),
    "own.json": _text(json.dumps(_SIMILARITIES)),
    "own.csv": _lines(
        "query,image,score",
        *(f"{q},{name},{s}" for q, found in _SIMILARITIES.items() for name, s in found.items()),
    ),
    "own.txt": _lines(*(f"{q} {name}" for q in NAMES for name in NAMES if name != q)),
    "ranks.npy": lambda path: np.save(path, (np.arange(6)[:, None] + np.arange(6)) % 6),
    "net.pth": _net,
    "net.onnx": _onnx,
    "timm.safetensors": _timm,
    "ckpt.pth": _checkpoint,
    "wrapped.pth": _wrapped,
    "net.safetensors": _safetensors,
}
