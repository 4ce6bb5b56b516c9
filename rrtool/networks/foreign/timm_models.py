"""``timm:NAME``: any model of timm that gives a map, whatever its family."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from rrtool.artifacts.digests import digest_of_file
from rrtool.errors import UsageError, WorkFailed
from rrtool.networks.backbones import fitting_architectures
from rrtool.networks.checkpoints import digest_of_state, read_checkpoint
from rrtool.networks.fitting import fill_model, needed
from rrtool.networks.foreign.layout import ClassTokenOf, Layout, MapsOf, find_layout
from rrtool.networks.foreign.timm_weights import pretrained_path
from rrtool.networks.names import NONE, PRETRAINED, TIMM, nearest
from rrtool.networks.network import Network, require_architecture, seeded

# Transformers take images of any size, or of any multiple of the patch, if they are told so.
_ANY_SIZE: tuple[Mapping[str, bool], ...] = (
    {"dynamic_img_size": True}, {"strict_img_size": False}, {},
)  # fmt: skip


def load_timm(name: str, weights: str, *, upsample: bool, seed: int, class_token: bool) -> Network:
    """A model of timm; see ``load_network``.

    Raises:
        UsageError: timm has no such model; it gives no map, or no class token where that is
            wanted; or the weights are of another.
        WorkFailed: weights that are not cached and cannot be downloaded.
    """
    if upsample:
        raise UsageError(f"no up-sampled form of {name} is defined", todo="leave --upsample out")
    model_name = name.removeprefix(TIMM)
    _require_model(model_name)
    options, layout = _explored(name, class_token)
    if weights == PRETRAINED:
        path = pretrained_path(model_name)
        model = _pretrained(model_name, options, path)
    else:
        model = _seeded(model_name, options, seed)
    about = model.pretrained_cfg
    network = Network(
        (ClassTokenOf if class_token else MapsOf)(model, layout), name, layout.n_channels,
        layout.min_size, mean=tuple(about["mean"]), std=tuple(about["std"]),
    )  # fmt: skip
    if weights == NONE:
        return replace(network, weights_digest=digest_of_state(model.state_dict()))
    if weights == PRETRAINED:
        label = f"pretrained ({about['architecture']}.{about['tag']})"
        digest = digest_of_file(path)
        return replace(network, weights=label, weights_digest=digest, trained=True)
    checkpoint = read_checkpoint(weights)
    require_architecture(checkpoint, name)
    notes = fill_model(model, classifier_of(model), name, checkpoint, fitting_architectures)
    return network.filled(checkpoint, notes)


def _require_model(name: str) -> None:
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise UsageError(
            "timm has no such model", where=f"{TIMM}{name}",
            todo=nearest(architecture, timm.list_models()) or "see timm.list_models()",
        )  # fmt: skip
    known = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in known:
        raise UsageError(
            "timm has no such weights of this model", where=f"{TIMM}{name}",
            expected=", ".join(known) or "no weights at all", todo=nearest(name, known),
        )  # fmt: skip


def _explored(name: str, class_token: bool) -> tuple[Mapping[str, bool], Layout]:
    """How to make a model, and the layout of what it gives, from one without values."""
    options, model = _without_values(name.removeprefix(TIMM))
    layout = find_layout(model)
    if layout is None:
        raise UsageError(
            f"{name} gives no map of images of any size", expected="activations (b, k, h, w), or "
            "tokens on a grid", todo="choose another model (docs/networks.md)",
        )  # fmt: skip
    has_token = layout.n_prefix and getattr(model, "cls_token", None) is not None
    if class_token and not has_token:
        what = f"{name} has no class token"
        raise UsageError(what, found="--pool cls", todo="use another --pool")
    return options, layout


def _without_values(name: str) -> tuple[Mapping[str, bool], nn.Module]:
    for options in _ANY_SIZE:
        try:
            with torch.device("meta"):
                return options, _created(name, options)
        except TypeError:  # the family has no such option
            if not options:
                raise
    raise AssertionError("the last options are none")


def _created(name: str, options: Mapping[str, Any]) -> Any:
    from timm import create_model

    return create_model(name, **options).eval()


def _seeded(name: str, options: Mapping[str, bool], seed: int) -> Any:
    """With random values, also of buffers that no state dict has."""
    with seeded(seed):
        return _created(name, options)


def _pretrained(name: str, options: Mapping[str, bool], path: str) -> Any:
    """With timm's weights from a file of its cache, whose names timm knows how to convert.

    Raises:
        WorkFailed: the file is damaged.
    """
    try:
        more = {"pretrained": True, "pretrained_cfg_overlay": {"file": path}}
        return _created(name, {**options, **more})
    except Exception as error:  # noqa: BLE001 - each family converts its files in its own way
        found = (str(error).strip() or type(error).__name__).splitlines()[0]
        todo = "remove it, and it is downloaded again"
        raise WorkFailed(
            "timm cannot load its weights", where=path, found=found, todo=todo
        ) from None


def names_in_file(backbone: nn.Module) -> dict[str, str]:
    """timm's name of each tensor that a backbone needs."""
    model: Any = backbone.get_submodule("model")
    own, classifier = model.state_dict(), classifier_of(model)
    return {
        f"model.{key}": key
        for key in needed(model)
        if own[key].is_floating_point() and not key.startswith(classifier)
    }


def classifier_of(model: Any) -> tuple[str, ...]:
    """Prefixes of the names of a model's layers for classes."""
    names = model.pretrained_cfg.get("classifier") or ()
    names = (names,) if isinstance(names, str) else names
    return tuple(f"{name}." for name in names)
