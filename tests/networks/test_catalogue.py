"""The list of networks says what holds."""

from __future__ import annotations

import json

import pytest
import timm
import torch

from rrtool.networks import packaged
from rrtool.networks.backbones import ARCHITECTURES, cut_backbone, empty_classifier
from rrtool.networks.catalogue import CATALOGUE
from rrtool.networks.foreign import timm_models
from rrtool.networks.foreign.layout import MapsOf, find_layout
from rrtool.networks.names import NAMES
from tests.tiny import assert_done, rrtool

ENTRIES = {entry.name: entry for entry in CATALOGUE}
OF_TIMM = [name for name in ENTRIES if name.startswith("timm:") and name != "timm:NAME"]


def test_every_network_of_ours_is_listed():
    assert list(ENTRIES)[: len(NAMES)] == list(NAMES)
    assert set(NAMES) == {packaged.DEFAULT, *ARCHITECTURES}
    entry = ENTRIES[packaged.DEFAULT]
    assert (entry.dimension, entry.stride) == (packaged.N_CHANNELS, packaged.STRIDE)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_dimension_and_stride_of_torchvisions_are_those_of_their_maps(name):
    backbone = cut_backbone(empty_classifier(name), name, False)
    shape = backbone(torch.zeros(1, 3, 2048, 2048, device="meta")).shape
    entry = ENTRIES[name]
    assert (shape[1], round(2048 / shape[2])) == (entry.dimension, entry.stride)


@pytest.mark.parametrize("name", OF_TIMM)
def test_models_of_timm_are_known_to_it_and_have_these_shapes(name):
    entry, model_name = ENTRIES[name], name.removeprefix("timm:")
    assert model_name in timm.list_pretrained()
    assert timm.get_pretrained_cfg(model_name).license == entry.licence.lower()
    _, model = timm_models._without_values(model_name)
    layout = find_layout(model)
    side = 7 * entry.stride
    shape = MapsOf(model, layout)(torch.zeros(1, 3, side, side, device="meta")).shape
    assert shape == (1, entry.dimension, 7, 7)


def test_networks_are_listed_as_a_table_and_as_json():
    result = rrtool("networks")
    assert_done(result)
    assert all(entry.how in result.stdout for entry in CATALOGUE)
    rows = json.loads(rrtool("networks", "--json").stdout)
    assert [row["name"] for row in rows] == list(ENTRIES)
    assert rows[0] == {
        "name": "efficientnet_lite0", "weights": "ImageNet, a package", "licence": "Apache-2.0",
        "dimension": 1280, "stride": 32, "installed": True, "how_to_get_it": "comes with rrtool",
    }  # fmt: skip
