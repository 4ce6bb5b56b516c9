"""HDF5 artifacts: the only part of rrtool that uses h5py (DESIGN §3, docs/artifacts.md)."""

from rrtool.artifacts.failures import write_failures
from rrtool.artifacts.names import decode_texts, encode_texts
from rrtool.artifacts.provenance import InputRecord, Provenance, image_input
from rrtool.artifacts.reader import Artifact, open_artifact
from rrtool.artifacts.writer import OutputFile, create, require_no_input

__all__ = [
    "Artifact",
    "InputRecord",
    "OutputFile",
    "Provenance",
    "create",
    "decode_texts",
    "encode_texts",
    "image_input",
    "open_artifact",
    "require_no_input",
    "write_failures",
]
