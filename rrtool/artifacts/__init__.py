"""HDF5 artifacts: the only part of rrtool that uses h5py (DESIGN §3, docs/artifacts.md)."""

from rrtool.artifacts.output.writer import OutputFile, create, require_no_input
from rrtool.artifacts.provenance import InputRecord, Provenance
from rrtool.artifacts.reader import Artifact, open_artifact

__all__ = [
    "Artifact",
    "InputRecord",
    "OutputFile",
    "Provenance",
    "create",
    "open_artifact",
    "require_no_input",
]
