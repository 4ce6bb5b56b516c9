"""The layers of a retrieval checkpoint after its backbone, against their authors' forward."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from rrtool.errors import UsageError
from rrtool.networks import load_network
from rrtool.stages.retrieval.describer import Describer
from rrtool.stages.retrieval.options import ExtractOptions

K = 512


def _layer(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / math.sqrt(shape[-1])


LOCAL = {"lwhiten.weight": _layer(K, K, seed=1), "lwhiten.bias": _layer(K, seed=2)}
REGIONAL = {"whiten.weight": _layer(K, K, seed=3), "whiten.bias": _layer(K, seed=4)}
FINAL = {"whiten.weight": _layer(64, K, seed=5), "whiten.bias": _layer(64, seed=6)}
EXPONENTS = 1 + 3 * torch.rand(K, generator=torch.Generator().manual_seed(7))


def _gem(x, p, eps=1e-6):
    p = p.reshape(-1, 1, 1)
    return nn.functional.avg_pool2d(x.clamp(min=eps).pow(p), x.shape[-2:]).pow(1.0 / p)


POOLINGS = {
    "gem": _gem,
    "mac": lambda x, p: nn.functional.max_pool2d(x, x.shape[-2:]),
    "spoc": lambda x, p: nn.functional.avg_pool2d(x, x.shape[-2:]),
}


def _norm(x):
    return x / (x.norm(dim=1, keepdim=True) + 1e-6)


def _regions(x, pool, n_levels=3):
    """roipool, as the authors wrote it: ``(b, regions, k, 1, 1)``."""
    steps = torch.arange(2.0, 8.0)
    width, height = x.size(3), x.size(2)
    w = min(width, height)
    b = (max(height, width) - w) / (steps - 1)
    index = torch.min(torch.abs(((w**2 - w * b) / w**2) - 0.4), 0)[1].item()
    more_x, more_y = (index + 1 if width > height else 0), (index + 1 if height > width else 0)
    found = [pool(x).unsqueeze(1)]
    for level in range(1, n_levels + 1):
        side = math.floor(2 * w / (level + 1))
        half = math.floor(side / 2 - 1)
        starts = []
        for length, more in ((height, more_y), (width, more_x)):
            b = 0 if level + more == 1 else (length - side) / (level + more - 1)
            centres = torch.floor(half + torch.arange(float(level + more)) * b).int() - half
            starts.append(centres.tolist())
        for i in starts[0]:
            for j in starts[1]:
                if side:
                    found.append(pool(x.narrow(2, i, side).narrow(3, j, side)).unsqueeze(1))
    return torch.cat(found, dim=1)


def _forward(x, pooling, exponent, head):
    """From activations to a descriptor, as ImageRetrievalNet and Rpool compute it."""
    if "local" in head:
        s = x.size()
        x = x.permute(0, 2, 3, 1).contiguous().view(-1, s[1])
        x = nn.functional.linear(x, *LOCAL.values())
        x = x.view(s[0], s[2], s[3], K).permute(0, 3, 1, 2)

    def pool(region):
        return POOLINGS[pooling](region, exponent)

    if "regional" in head:
        o = _regions(x, pool)
        s = o.size()
        o = _norm(o.reshape(s[0] * s[1], s[2], s[3], s[4]))
        o = _norm(nn.functional.linear(o.squeeze(-1).squeeze(-1), *REGIONAL.values()))
        o = _norm(o.view(s[0], s[1], s[2], s[3], s[4]).sum(1))
    else:
        o = pool(x)
    o = _norm(o).squeeze(-1).squeeze(-1)
    return _norm(nn.functional.linear(o, *FINAL.values())) if "final" in head else o


@pytest.fixture(scope="module")
def backbone():
    state = load_network("squeezenet1_1", "none", seed=3).backbone.state_dict()
    return {f"features.{key}": value for key, value in state.items()}


@pytest.fixture
def saved(backbone, tmp_path):
    """Saves a retrieval checkpoint with these layers and entries of ``meta``."""

    def save(layers, **meta):
        path = tmp_path / "net.pth"
        meta = {"architecture": "squeezenet1_1", **meta}
        torch.save({"meta": meta, "state_dict": {**backbone, **layers}}, path)
        return str(path)

    return save


def _layers_of(head, exponent):
    """Tensors as the authors' network names them."""
    pool = "pool.rpool.p" if "regional" in head else "pool.p"
    return {
        **({} if exponent is None else {pool: exponent}),
        **(LOCAL if "local" in head else {}),
        **({f"pool.{key}": REGIONAL[key] for key in REGIONAL} if "regional" in head else {}),
        **(FINAL if "final" in head else {}),
    }


def _described(path, activations, **options):
    network = load_network("squeezenet1_1", path)
    options = {"network": "squeezenet1_1", "weights": path, "device": "cpu", **options}
    describer = Describer.of(network, ExtractOptions(images="i", output="o", **options))
    found = describer(activations)
    assert found.shape == (len(activations[0]), describer.dimension)
    return found, describer.settings()


def _activations(height=9, width=14, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, K, height, width, generator=generator).sub_(0.3).clamp_(min=0)


@pytest.mark.parametrize(
    ("head", "pooling", "name"),
    [
        (("local",), "gem", "gem of whitened positions"),
        (("local", "final"), "mac", "mac of whitened positions"),
        (("regional",), "gem", "regional gem"),
        (("regional", "final"), "mac", "regional mac"),
        (("gemmp",), "gem", "gem by channel"),
        (("gemmp", "final"), "gem", "gem by channel"),
        (("local", "regional", "gemmp", "final"), "gem",
         "regional gem by channel of whitened positions"),
        (("final",), "spoc", "spoc"),
    ],
)  # fmt: skip
def test_head_of_a_checkpoint_gives_what_its_authors_code_gives(saved, head, pooling, name):
    exponent = EXPONENTS if "gemmp" in head else torch.tensor([2.5])
    meta = {
        "local_whitening": "local" in head,
        "regional": "regional" in head,
        "whitening": "final" in head,
        "pooling": "gemmp" if "gemmp" in head else pooling,
    }
    path = saved(_layers_of(head, exponent if pooling == "gem" else None), **meta)
    activations = _activations()
    found, settings = _described(path, [activations], scales=(1.0,))
    expected = _forward(activations, pooling, exponent, head).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert settings["pool"] == name
    assert settings["whitening"] == ("learned layer" if "final" in head else "none")
    shared = pooling == "gem" and "gemmp" not in head
    assert settings["gem_exponent"] == (2.5 if shared else None)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 2), (3, 2), (5, 31), (17, 12)])
def test_regional_whitening_takes_the_authors_regions(saved, size):
    path = saved(_layers_of(("regional",), torch.tensor([3.0])), regional=True, pooling="gem")
    activations = _activations(*size)
    found, _ = _described(path, [activations], scales=(1.0,))
    expected = _forward(activations, "gem", torch.tensor([3.0]), ("regional",)).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("head", "power"), [(("local",), 2.5), (("regional",), 1), (("gemmp",), 1), (("final",), 1)]
)
def test_scales_are_combined_as_the_authors_do(saved, head, power):
    """extract_ms: a power mean only of GeM with one exponent and no whitening after it."""
    exponent = EXPONENTS if "gemmp" in head else torch.tensor([2.5])
    path = saved(_layers_of(head, exponent), pooling="gem")
    scales = [_activations(), _activations(6, 10, seed=1)]
    found, _ = _described(path, scales, scales=(1.0, 0.7))
    mean = sum(_forward(scale, "gem", exponent, head) ** power for scale in scales) / 2
    np.testing.assert_allclose(found, _norm(mean ** (1 / power)).numpy(), rtol=0, atol=2e-6)


def test_options_win_over_the_head(saved):
    path = saved(_layers_of(("gemmp", "final"), EXPONENTS), pooling="gemmp")
    activations = _activations()
    options = {"scales": (1.0,), "whitening": "none", "gem_exponent": 4.0}
    found, settings = _described(path, [activations], **options)
    expected = _forward(activations, "gem", torch.tensor([4.0]), ())
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=2e-6)
    assert settings == {"pool": "gem", "gem_exponent": 4.0, "whitening": "none"}


def test_layers_under_other_names_are_the_same(saved):
    names = {f"rpool.{key}": value for key, value in REGIONAL.items()}
    one = {"rpool.rpool.p": torch.tensor([3.0])}
    activations = _activations()
    first, _ = _described(saved({**names, **one, "pool.p": torch.tensor([3.0])}), [activations])
    again, _ = _described(saved(_layers_of(("regional",), torch.tensor([3.0]))), [activations])
    np.testing.assert_array_equal(first, again)


def test_state_dict_with_a_head_needs_no_meta(saved, backbone, tmp_path):
    layers = _layers_of(("gemmp", "final"), EXPONENTS)
    whole = {f"module.{key}": value for key, value in {**backbone, **layers}.items()}
    torch.save(whole, tmp_path / "bare.pth")
    activations = [_activations()]
    bare, settings = _described(str(tmp_path / "bare.pth"), activations)
    np.testing.assert_array_equal(bare, _described(saved(layers, pooling="gemmp"), activations)[0])
    assert settings["pool"] == "gem by channel"


def _with_nan(tensor):
    broken = tensor.clone()
    broken.view(-1)[-1] = math.nan
    return broken


@pytest.mark.parametrize(
    ("layers", "meta", "text"),
    [
        ({}, {"local_whitening": True}, "a layer which it lacks (expected lwhiten.weight)"),
        ({}, {"regional": True}, "a layer which it lacks (expected pool.whiten.weight)"),
        ({"pool.rpool.p": torch.ones(1)}, {}, "lacks (expected pool.whiten.weight)"),
        ({}, {"whitening": True}, "a layer which it lacks (expected whiten.weight)"),
        ({"whiten.weight": torch.ones(9, 8)}, {}, "whiten does not fit its other layers"),
        ({"lwhiten.weight": torch.ones(9, 8)}, {}, "lwhiten does not fit its other layers"),
        ({"lwhiten.weight": torch.ones(9)}, {}, "lwhiten is no linear layer"),
        ({"whiten.bias": torch.ones(9)}, {}, "unknown layers of a retrieval checkpoint"),
        ({"pool.centroids": torch.ones(9)}, {}, "1 unknown: pool.centroids"),
        ({"attention.weight": torch.ones(9)}, {}, "1 unknown: attention.weight"),
        ({"pool.p": torch.ones(7)}, {}, "exponent of the pooling does not fit"),
        ({"pool.p": torch.ones(0)}, {}, "the exponent of the checkpoint's pooling"),
        ({"pool.p": torch.tensor([0.0])}, {}, "pooling is not positive (found 0)"),
        ({"pool.p": torch.tensor([-3.0])}, {}, "pooling is not positive (found -3)"),
        ({"pool.p": torch.tensor([math.nan])}, {}, "pool.p holds NaN or infinite values"),
        ({"pool.p": torch.tensor([math.inf])}, {}, "pool.p holds NaN or infinite values"),
        ({"pool.p": torch.tensor([3])}, {}, "pool.p holds no plain numbers (found strided int64)"),
        ({"pool.p": torch.ones(1), "pool.rpool.p": 2 * torch.ones(1)}, {}, "two exponents"),
        ({"features.0.bias": _with_nan(torch.ones(64))}, {}, "0.bias holds NaN or infinite"),
        ({"whiten.weight": _with_nan(FINAL["whiten.weight"])}, {}, "whiten.weight holds NaN"),
        ({"lwhiten.weight": torch.ones(1).expand(K, K)}, {}, "more values than the file holds"),
        ({}, {"pooling": 3}, "meta pooling is no name"),
        ({}, {"regional": "yes"}, "meta regional is neither true nor false"),
        ({}, {"architecture": ["x"]}, "architecture is no name"),
        ({}, {"architecture": "densenet121"}, "another network (expected squeezenet1_1, found"),
        ({}, {"mean": [0.1, math.nan, 0.2]}, "meta mean is not three numbers in range"),
        ({}, {"std": [0.1, 0.0, 0.2]}, "meta std is not three numbers in range"),
        ({}, {"mean": "abc"}, "meta mean is not three numbers in range"),
        ({}, {"Lw": [1]}, "meta Lw is no table"),
        ({}, {"Lw": {"s": {"ms": {"m": np.ones(K)}}}}, "s/ms has mismatched shapes"),
        ({}, {"Lw": {"s": {"ms": {"m": np.ones(3), "P": np.eye(3)}}}}, "s/ms does not fit"),
        ({}, {"Lw": {"s": {"ms": {"m": np.ones(K), "P": np.full((2, K), np.inf)}}}},
         "the whitening s/ms holds NaN or infinite values"),
        ({}, {"Lw": {"s": {"ms": {"m": [[1], [1, 2]], "P": 0}}}}, "s/ms holds no numbers"),
    ],
)  # fmt: skip
def test_head_that_is_wrong_or_unknown_is_refused_by_name(saved, layers, meta, text):
    with pytest.raises(UsageError) as error:
        load_network("squeezenet1_1", saved(layers, **meta))
    assert text in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_unknown_pooling_asks_for_one(saved):
    path = saved({}, pooling="netvlad")
    with pytest.raises(UsageError, match=r"pooling is not known .*found netvlad.*--pool"):
        _described(path, [_activations()])
    assert _described(path, [_activations()], pool="gem")[1]["pool"] == "gem"
    path = saved(_layers_of(("local",), None))
    with pytest.raises(UsageError, match="--pool crow needs"):
        _described(path, [_activations()], pool="crow")
