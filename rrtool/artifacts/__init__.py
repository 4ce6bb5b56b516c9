"""HDF5 artifacts: the only part of rrtool that uses h5py (DESIGN §3, docs/artifacts.md)."""

from rrtool.artifacts.compatibility import (
    require_centrality_of,
    require_centrality_of_regions,
    require_equal,
    require_graph_of,
    require_same_names,
    require_same_network,
)
from rrtool.artifacts.digests import digest_of_source, file_input, source_input
from rrtool.artifacts.kinds import (
    ActivationMaps,
    AlAgreement,
    AlPretraining,
    AlState,
    Centrality,
    Evaluation,
    Features,
    Graph,
    GraphShare,
    LocalFeaturesFile,
    Objects,
    OfflineDiffusion,
    OverImages,
    Ranking,
    Regions,
    Saliency,
    Salient,
    Training,
    Tuples,
    Whitening,
    open_any,
)
from rrtool.artifacts.output.parts import PartsFolder
from rrtool.artifacts.output.skipped import skipped_list_path, write_skipped_list
from rrtool.artifacts.output.writer import OutputFile, create
from rrtool.artifacts.provenance import InputRecord, Provenance
from rrtool.artifacts.ragged import EncodedTexts, decode_texts, encode_texts, offsets_of
from rrtool.artifacts.reader import Artifact, open_artifact
