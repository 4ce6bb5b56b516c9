"""The kinds of artifacts: what each holds, and how it is read and written."""

from pathlib import Path

from rrtool.artifacts.kinds.activation_maps import ActivationMaps
from rrtool.artifacts.kinds.evaluation import Evaluation
from rrtool.artifacts.kinds.features import Features
from rrtool.artifacts.kinds.graph import Centrality, Graph, GraphShare
from rrtool.artifacts.kinds.images import OverImages
from rrtool.artifacts.kinds.learning import AlAgreement, AlPretraining, AlState, Training
from rrtool.artifacts.kinds.local_features import LocalFeaturesFile
from rrtool.artifacts.kinds.objects import Objects
from rrtool.artifacts.kinds.offline_diffusion import OfflineDiffusion
from rrtool.artifacts.kinds.ranking import Hit, Ranking
from rrtool.artifacts.kinds.regions import Regions, Saliency, Salient
from rrtool.artifacts.kinds.tuples import Tuples
from rrtool.artifacts.kinds.whitening import Whitening
from rrtool.artifacts.reader import Artifact, open_artifact

KINDS: tuple[type[Artifact], ...] = (
    Features, ActivationMaps, LocalFeaturesFile, Regions, Saliency, Objects, Whitening, Graph,
    GraphShare, Centrality, OfflineDiffusion, Ranking, Evaluation, AlState, AlPretraining,
    AlAgreement, Tuples, Training,
)  # fmt: skip


def open_any(path: str | Path) -> Artifact:
    """Open an artifact of whichever kind, as the class of its kind; see ``open_artifact``."""
    return open_artifact(path, *KINDS)
