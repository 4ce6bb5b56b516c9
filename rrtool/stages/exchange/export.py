"""``rrtool export``: features, rankings, matches, labels, objects → files of other programs."""

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
    open_artifact,
)
from rrtool.artifacts.foreign.hloc import hloc_bytes
from rrtool.errors import UsageError
from rrtool.exchange.names import list_of
from rrtool.exchange.numpy_files import npy_pieces, npz_bytes
from rrtool.exchange.parquet import parquet_bytes
from rrtool.files import is_same_file, open_regular, require_place, write_durably, write_failures
from rrtool.progress import Progress
from rrtool.stages.exchange.labels import files_of_labels, object_pieces
from rrtool.stages.exchange.local_features import local_groups
from rrtool.stages.exchange.options import ExportOptions
from rrtool.stages.exchange.rankings import Files, Pieces, files_of_matches, files_of_ranking

_KINDS = (Features, Ranking, LocalFeaturesFile, AlState, Objects)


def run(options: ExportOptions, progress: Progress) -> Path:
    """Write an artifact in the form of another program.

    A file that is there and has the same content is left alone; another is only replaced with
    ``--overwrite``.

    Raises:
        RrtoolError: the artifact is of another kind or has no such form, or a file is in the way.
    """
    with open_artifact(options.artifact, *_KINDS) as artifact:
        files = _files_of(artifact, options, progress)
        for path in files:
            require_place(path)
            if is_same_file(path, options.artifact):
                raise UsageError("the output is the artifact itself", where=path)
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
                write_durably(path, files[path]())
    for path in files:
        if path != Path(options.output):
            what = "labelling interface" if path.suffix == ".xml" else "names"
            progress.message(f"{what}: {path}")
    if not fresh:
        progress.message(f"{options.output} is up to date")
    return Path(options.output)


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
    if isinstance(artifact, Objects):
        objects = artifact
        return {output: lambda: object_pieces(objects)}
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
