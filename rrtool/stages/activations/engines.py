"""Choose what runs the network: the fastest engine whose descriptors are torch's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from rrtool.core.retrieval.pooling import combine_scales, gem, l2_normalize
from rrtool.errors import UsageError, WorkFailed
from rrtool.networks.engines import (
    BFLOAT16,
    FLOAT32,
    PLAIN,
    Engine,
    Unavailable,
    build,
    candidates,
)
from rrtool.progress import Progress
from rrtool.stages.activations.options import WORTH_IT, InferenceOptions
from rrtool.stages.activations.sources import NetworkSource

# Of the descriptors of photos, to those of torch in float32: what counts as the same network.
LEAST_COSINE = 0.9999
_N_PHOTOS, _MOST_TRIED = 3, 16


class Backbone(nn.Module):
    """A backbone that torch runs until an engine takes over.

    Attributes:
        running: what maps images to activations.
        engine: what that is; None until it has been chosen.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.running = backbone
        self.engine: Engine | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.running(images)


def require_engine(options: InferenceOptions, device: str) -> None:
    """The engine and the precision that are asked for must exist here.

    Raises:
        UsageError: see ``candidates``; or they are of the CPU, and the network runs on a GPU.
    """
    candidates(options.engine, options.precision, in_bfloat16=True)
    asked = [
        f"--{name} {value}"
        for name, value in (("engine", options.engine), ("precision", options.precision))
        if value not in ("auto", "torch")
    ]
    if device != "cpu" and asked:
        found = f"{' '.join(asked)} with {device}"
        what = "on a GPU torch runs the network in half precision"
        raise UsageError(what, found=found, todo="use --device cpu")


def engine_like(options: InferenceOptions, like: Mapping[str, str]) -> InferenceOptions:
    """Options that ask, where they leave it open, for the engine and the precision of others."""
    engine, precision = like.get("engine", "auto"), like.get("precision", "auto")
    if precision not in (FLOAT32, BFLOAT16):  # of a GPU
        return options
    return replace(
        options,
        engine=engine if options.engine == "auto" else options.engine,
        precision=precision if options.precision == "auto" else options.precision,
    )


def choose_engine(source: NetworkSource, in_bfloat16: bool, progress: Progress) -> dict[str, str]:
    """Let the fastest engine that is asked for run the network, if it gives what torch gives.

    It is the same one each time, whatever is left to do, so that a resumed run goes on alike.

    Args:
        in_bfloat16: whether ``auto`` may choose bfloat16, which changes maps more than descriptors.

    Returns:
        Its name and precision, to record.

    Raises:
        WorkFailed: an engine that is asked for does not give it.
    """
    if source.device != "cpu":
        return {"engine": "torch", "precision": "float16"}
    backbone, options = source.network.backbone, source.options
    if not isinstance(backbone, Backbone):
        return {}
    if backbone.engine is None:
        backbone.engine = PLAIN
        is_asked = options.engine != "auto" or options.precision == "bfloat16"
        if is_asked or len(source.collection) >= WORTH_IT:
            found = candidates(options.engine, options.precision, in_bfloat16=in_bfloat16)
            _choose(backbone, source, found, progress)
    return {"engine": backbone.engine.name, "precision": backbone.engine.precision}


def _choose(
    backbone: Backbone, source: NetworkSource, found: Sequence[Engine], progress: Progress
) -> None:
    source.threads.adjust()
    plain, why = backbone.running, ""
    photos = list(_first_photos(source)) if found[0] != PLAIN else []
    expected = _descriptors(source, photos) if photos else None
    for engine in found:
        if engine == PLAIN or expected is None:
            break
        try:
            backbone.running = build(plain, engine, torch.get_num_threads())
            cosine = (expected * _descriptors(source, photos)).sum(dim=1).min().item()
        except (Unavailable, RuntimeError, TypeError, ValueError) as error:
            why = str(error).splitlines()[0]
        else:
            told = f"descriptors of {len(photos)} photos have a cosine of {cosine:.6f} to torch's"
            if cosine >= LEAST_COSINE:
                backbone.engine = engine
                progress.message(f"the network runs by {engine}: {told}")
                return
            why = f"{engine}: {told}, less than {LEAST_COSINE}"
        backbone.running = plain
        if engine != found[-1]:
            progress.message(f"another engine is taken: {why}")
    else:
        raise WorkFailed(why, todo="use --engine auto --precision auto")


def _first_photos(source: NetworkSource) -> Iterator[torch.Tensor]:
    """``(1, H, W, 3)`` uint8 each."""
    n_found = 0
    for row in range(min(len(source.collection), _MOST_TRIED)):
        photo = source.photo(row)
        if photo is not None:
            yield torch.from_numpy(photo[None].copy())
            n_found += 1
            if n_found == _N_PHOTOS:
                return


def _descriptors(source: NetworkSource, photos: Sequence[torch.Tensor]) -> torch.Tensor:
    """``(n, 2k)``: GeM at all scales of what is positive in the maps, and of what is negative."""
    found = []
    for photo in photos:
        maps = [scale for scale in source.maps_of(photo) if scale.numel()]
        pooled = [
            torch.cat([gem(scale.clamp_min(0)), gem(-scale.clamp_max(0))], dim=1) for scale in maps
        ]
        found.append(combine_scales([l2_normalize(each) for each in pooled])[0])
    return torch.stack(found)
