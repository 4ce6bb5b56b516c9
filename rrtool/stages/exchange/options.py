"""Options of import and export (docs/formats.md)."""

from dataclasses import MISSING, dataclass
from pathlib import PurePath
from typing import Any, ClassVar

from rrtool.errors import OptionError, UsageError
from rrtool.options import (
    Command,
    OutputOptions,
    OverwriteOptions,
    argument,
    declarations,
    option,
)

AUTO = "auto"
# Of Label Studio, for what lies below its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT.
LOCAL_FILES = "/data/local-files/?d="
FEATURES = ("npy", "npz", "parquet", "hloc")
RANKINGS = ("csv", "ilias", "ranks", "pairs")
TUPLES = "sfm"
# What a suffix stands for where it is features, a ranking, or local features.
_OF_FEATURES = {".npy": "npy", ".npz": "npz", ".parquet": "parquet", ".h5": "hloc",
                ".hdf5": "hloc"}  # fmt: skip
_OF_TUPLES = {".pkl": TUPLES}
_OF_RANKINGS = {".csv": "csv", ".tsv": "csv", ".json": "ilias", ".txt": "pairs"}
LABELS = ("csv", "label-studio", "coco", "fiftyone")
BOXES = ("coco", "yolo", "voc")
FOLDERS = ("yolo", "voc")
_BOXED = ("objects", "regions", "saliency")
_OF_VERIFIED = {".npy": "ranks", ".h5": "hloc-matches", ".hdf5": "hloc-matches"}
SUFFIXES = {
    "features": _OF_FEATURES,
    "ranking": {**_OF_RANKINGS, **_OF_VERIFIED},
    "local-features": {".h5": "hloc-local", ".hdf5": "hloc-local"},
    "al-state": {".csv": "csv", ".tsv": "csv", ".json": "label-studio"},
    **{kind: {".json": "coco"} for kind in _BOXED},
}
FORMATS = {
    "features": FEATURES,
    "ranking": (*RANKINGS, "hloc-matches", "colmap"),
    "local-features": ("hloc-local",),
    "al-state": LABELS,
    **dict.fromkeys(_BOXED, BOXES),
}


@dataclass(frozen=True, kw_only=True)
class ImportOptions(OutputOptions):
    """Take in descriptors, rankings or tuples of other programs (features, ranking, tuples)."""

    COMMAND: ClassVar = Command(
        "import", "rrtool.stages.exchange.import_", "§2.5", "docs/formats.md", python="import_"
    )
    source: str = argument("The file to take in.", role="file")
    format: str = option(
        AUTO,
        "What the file is: descriptors as npy, npz, parquet or hloc (its HDF5 of global features), "
        "a ranking as csv, ilias (its JSON of similarities), ranks (of the revisited "
        "benchmarks) or pairs (of hloc), or tuples to train on as sfm (the pickle of SfM120k); "
        "auto goes by the suffix, and takes .npy for descriptors.",
        choices=(AUTO, *FEATURES, *RANKINGS, TUPLES),
    )  # fmt: skip
    names: str | None = option(
        None,
        "A list of the images' names: for npy and ranks in the order of their rows; of the other "
        "formats, which have names, it says which images to take, and their order.",
        role="file", panel="Inputs",
    )  # fmt: skip
    query_names: str | None = option(
        None, "The same of the queries of a ranking.", role="file", panel="Inputs"
    )
    images: str | None = option(
        None,
        "Of tuples: the folder of the photos, in whose subfolders they lie as their names say.",
        role="images", panel="Inputs",
    )  # fmt: skip
    split: str = option(
        "train", "Of tuples: which of the file's.", choices=("train", "val"), panel="Inputs"
    )
    network_name: str | None = option(
        None,
        "What made the descriptors, in your words: those of different words are not compared with "
        "each other; by default each file has its own.",
    )

    def check(self) -> None:
        super().check()
        form = self.form
        if form in ("npy", "ranks") and self.names is None:
            raise UsageError(
                f"{form} has no names", where=self.source, expected="--names, a list of them"
            )
        if form == "ranks" and self.query_names is None:
            raise UsageError(
                "ranks have no names", where=self.source, expected="--query-names, a list of them"
            )
        if form in FEATURES and self.query_names is not None:
            raise UsageError("--query-names goes with rankings", found=f"--format {form}")
        self._check_tuples(form == TUPLES)
        if self.network_name is not None and not self.network_name.strip():
            raise OptionError("bad --network-name: nothing", option="network_name")

    def _check_tuples(self, are_tuples: bool) -> None:
        if are_tuples and self.images is None:
            raise UsageError(
                "tuples are of photos", where=self.source, expected="--images, their folder"
            )
        others = ("names", "query_names", "network_name") if are_tuples else ("images", "split")
        for name in others:
            if getattr(self, name) != declarations(type(self))[name].default:
                words = "does not go with" if are_tuples else "goes with"
                raise OptionError(
                    f"{self.typed(name)} {words} tuples", option=name, found=getattr(self, name)
                )

    @property
    def form(self) -> str:
        """What the file is.

        Raises:
            OptionError: its suffix does not say so.
        """
        return resolved_form(
            self.format, self.source, {**_OF_RANKINGS, **_OF_FEATURES, **_OF_TUPLES}
        )

    def settings(self) -> dict[str, Any]:
        found = {**super().settings(), "format": self.form}
        if self.form != TUPLES:
            del found["split"]
        return found


@dataclass(frozen=True, kw_only=True)
class ExportOptions(OverwriteOptions):
    """Give out features, rankings, labels or boxes in a form that other programs read."""

    COMMAND: ClassVar = Command(
        "export", "rrtool.stages.exchange.export", "§2.5", "docs/formats.md", quick=False
    )
    artifact: str = argument(
        "Features, a ranking, local features, a state of al-cycle, objects, or what saliency found."
    )
    output: str = option(
        MISSING,
        "The file to write; lists of names are written beside it where it has none. Of yolo and "
        "voc the folder.",
        role="output", shapes=False, panel="Output", flags=("--output", "-o"),
    )  # fmt: skip
    format: str = option(
        AUTO,
        "What to write: features as npy, npz, parquet or hloc; a ranking as csv, ilias, ranks or "
        "pairs, its matches as hloc-matches or colmap; local features as hloc-local; the labels "
        "of a state, and the images it asks for, as csv, label-studio, coco or fiftyone; the boxes "
        "of objects or of salient regions as coco, or a folder of yolo or voc; auto goes by the "
        "suffix.",
        choices=(AUTO, *FEATURES, *RANKINGS, "hloc-matches", "hloc-local", "colmap",
                 *LABELS[1:], *FOLDERS),
    )  # fmt: skip
    image_prefix: str = option(
        LOCAL_FILES,
        "What stands before the name of an image in its address, for label-studio; by default "
        "images lie where Label Studio may read local files.",
    )

    @property
    def is_folder(self) -> bool:
        """Whether a folder is written, and no file."""
        return self.format in FOLDERS

    def written(self) -> dict[str, str]:
        """See ``Options``: what is in a folder, only the stage knows."""
        return {} if self.is_folder else super().written()

    def form_of(self, kind: str) -> str:
        """What to write of an artifact of a kind.

        Raises:
            OptionError: the suffix does not say so, or the kind has no such form.
        """
        form = resolved_form(self.format, self.output, SUFFIXES[kind])
        if form not in FORMATS[kind]:
            raise OptionError(
                f"{kind} cannot be written so", option="format", where=self.artifact,
                expected=", ".join(FORMATS[kind]), found=form,
            )  # fmt: skip
        return form


def resolved_form(form: str, path: str, suffixes: dict[str, str]) -> str:
    """A format, or that of a file's suffix.

    Raises:
        OptionError: there is none of this suffix.
    """
    if form != AUTO:
        return form
    suffix = PurePath(path).suffix.lower()
    if suffix not in suffixes:
        raise OptionError(
            "the suffix does not tell the format", option="format", where=path,
            expected=f"--format, or one of {', '.join(suffixes)}", found=suffix or "none",
        )  # fmt: skip
    return suffixes[suffix]
