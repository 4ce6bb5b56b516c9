"""How the graph of a model is searched, and what is told of it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from rrtool.core.learning.label_propagation import feature_graph
from rrtool.errors import WorkFailed
from rrtool.progress import Silent
from rrtool.stages.learning import model as stage
from rrtool.stages.learning.model import Model
from rrtool.stages.learning.propagation_options import PropagationOptions


def model_of(n: int, **options: object) -> Model:
    features = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    return Model(features=features, options=PropagationOptions(k=5, **{"device": "cpu", **options}))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "EXACT_UP_TO", 100)


def test_graph_of_few_images_is_exact_and_nothing_is_told(small: None) -> None:
    model = model_of(100)
    assert (model.graph != feature_graph(model.features, k=5)).nnz == 0
    assert model.graph_facts(Silent()) == {}


def test_graph_of_many_images_is_approximate_and_its_recall_is_told(small: None) -> None:
    pytest.importorskip("faiss")
    model = model_of(101)
    assert model.graph_facts(Silent()) == {}  # it is not built yet
    assert model.graph.nnz
    told = model.graph_facts(Silent())["graph"]
    assert told["neighbors"] == "ivf"
    assert 0.9 < told["recall"] <= 1
    assert model_of(101, device="cuda").method == "exact"
    assert model_of(101, neighbors="exact").method == "exact"
    assert model_of(9, neighbors="hnsw").method == "hnsw"


def test_graph_without_faiss_is_exact_unless_asked_otherwise(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert model_of(101).method == "exact"
    with pytest.raises(WorkFailed, match="--neighbors hnsw needs faiss"):
        _ = model_of(101, neighbors="hnsw").graph
