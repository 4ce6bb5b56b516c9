"""``rrtool export``: features, rankings, matches, labels, boxes → files of other programs."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from rrtool.artifacts import (
    AlState,
    Artifact,
    Features,
    LocalFeaturesFile,
    Objects,
    Ranking,
    Regions,
    Saliency,
    open_artifact,
)
from rrtool.artifacts.foreign.hloc import hloc_bytes
from rrtool.errors import UsageError
from rrtool.exchange.names import list_of
from rrtool.exchange.numpy_files import npy_pieces, npz_bytes
from rrtool.exchange.parquet import parquet_bytes
from rrtool.files import is_same_file, open_regular, require_place, write_durably, write_failures
from rrtool.progress import Progress
from rrtool.stages.exchange.boxes import files_of_boxes
from rrtool.stages.exchange.labels import files_of_labels
from rrtool.stages.exchange.local_features import local_groups
from rrtool.stages.exchange.options import ExportOptions
from rrtool.stages.exchange.rankings import Files, Pieces, files_of_matches, files_of_ranking

_KINDS = (Features, Ranking, LocalFeaturesFile, AlState, Objects, Regions, Saliency)


def run(options: ExportOptions, progress: Progress) -> Path:
    """Write an artifact in the form of another program.

    A file that is there and has the same content is left alone; another is only replaced with
    ``--overwrite``.

    Raises:
        RrtoolError: the artifact is of another kind or has no such form, or a file is in the way.
    """
    with open_artifact(options.artifact, *_KINDS) as artifact:
        files = _files_of(artifact, options, progress)
        _require_places(files, options)
        fresh = [path for path, pieces in files.items() if not _has(path, pieces)]
        for path in fresh:
            if path.exists() and not options.overwrite:
                raise UsageError(
                    "the output exists and has another content", where=path,
                    todo="use --overwrite to replace it, or choose another -o",
                )  # fmt: skip
        if options.dry_run:
            _foretell(files, fresh, progress)
            return Path(options.output)
        for path in fresh:
            with write_failures(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_durably(path, files[path]())
    _tell(files, fresh, options, progress)
    return Path(options.output)


def _require_places(files: Files, options: ExportOptions) -> None:
    """Where a folder is written, it and all in it may be new.

    Raises:
        UsageError: there is no place for a file.
    """
    folder = Path(options.output)
    if options.is_folder and folder.exists() and not folder.is_dir():
        raise UsageError("the output is a file", where=folder, expected="the name of a folder")
    if options.is_folder and not folder.exists():
        require_place(folder)
    for path in files:
        if not options.is_folder or path.parent.is_dir():
            require_place(path)
        if is_same_file(path, options.artifact):
            raise UsageError("the output is the artifact itself", where=path)


def _tell(files: Files, fresh: list[Path], options: ExportOptions, progress: Progress) -> None:
    if options.is_folder:
        progress.message(f"{len(files)} files of labels in {options.output}")
    for path in () if options.is_folder else files:
        if path != Path(options.output):
            what = "labelling interface" if path.suffix == ".xml" else "names"
            progress.message(f"{what}: {path}")
    if not fresh:
        progress.message(f"{options.output} is up to date")


def _foretell(files: Files, fresh: list[Path], progress: Progress) -> None:
    for path in files:
        standing = "would be replaced" if path.exists() else "would be written"
        progress.message(f"{path} {standing if path in fresh else 'is up to date'}")


def _files_of(artifact: Artifact, options: ExportOptions, progress: Progress) -> Files:
    form, output = options.form_of(artifact.kind), Path(options.output)
    if isinstance(artifact, Features):
        return _files_of_features(artifact, form, output, progress)
    if isinstance(artifact, LocalFeaturesFile):
        local = artifact
        return {output: lambda: [hloc_bytes(local_groups(local))]}
    if isinstance(artifact, AlState):
        return files_of_labels(artifact, form, output, options.image_prefix)
    if isinstance(artifact, (Objects, Regions, Saliency)):
        return files_of_boxes(artifact, form, output)
    if not isinstance(artifact, Ranking):
        raise UsageError("this kind has no other form", where=artifact.path, found=artifact.kind)
    ranking = artifact
    if form in ("colmap", "hloc-matches"):
        return files_of_matches(ranking, form, output, progress)
    return files_of_ranking(ranking, form, output, progress)


def _files_of_features(features: Features, form: str, output: Path, progress: Progress) -> Files:
    names, n_failed = features.names, int(np.count_nonzero(features.status))
    vectors = features.descriptors.astype(np.float32, copy=False)
    if n_failed:
        progress.message(f"{n_failed} of {len(names)} images have no descriptor: theirs are zero")
    if form == "npy":
        return {
            output.with_suffix(".names.txt"): lambda: [list_of(names)],
            output: lambda: npy_pieces(vectors),
        }
    if form == "npz":
        return {output: lambda: [npz_bytes(names, vectors)]}
    if form == "parquet":
        return {output: lambda: [parquet_bytes(names, vectors)]}
    sizes = features.image_sizes

    def groups() -> Iterable[tuple[str, Mapping[str, np.ndarray]]]:
        for name, vector, size in zip(names, vectors, sizes, strict=True):
            known = {"image_size": size.astype(np.int64)} if size.all() else {}
            yield name, {"global_descriptor": vector, **known}

    return {output: lambda: [hloc_bytes(groups())]}


def _has(path: Path, pieces: Pieces) -> bool:
    """Whether a file is there with this content."""
    if not path.is_file():
        return False
    with open_regular(path) as file:
        for piece in pieces():
            content = piece.encode("utf-8", "surrogateescape") if isinstance(piece, str) else piece
            if file.read(len(content)) != content:
                return False
        return not file.read(1)
