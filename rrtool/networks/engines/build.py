"""From a backbone of torch's to the same backbone run by an engine."""

import copy
import io
import logging
import sys
import warnings
from typing import Any

import torch
from torch import nn

from rrtool.networks.engines.engine import BFLOAT16, PLAIN, Engine, Unavailable
from rrtool.networks.engines.onnx_session import onnx_session

# Of the images that the network is recorded with; it then takes images of any size. Large enough
# for every network, and odd, so that no size of an input is taken for one of the network's own.
_RECORDED = (2, 3, 235, 299)


def build(backbone: nn.Module, engine: Engine, n_threads: int) -> nn.Module:
    """A module that maps normalised images ``(b, 3, H, W)`` to maps ``(b, k, h, w)``, all float32.

    Args:
        backbone: on the CPU, for inference.
        n_threads: that an engine with threads of its own may use.

    Raises:
        Unavailable: the engine cannot take this network.
    """
    if engine == PLAIN:
        return backbone
    makers = {"torch": _InBfloat16, "openvino": _OpenVino, "onnxruntime": _OnnxRuntime}
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # of what recording a network fixes: tests compare
            return makers[engine.name](backbone, engine.precision, n_threads)
    # Converters let out anything for an operation that they don't know: then another engine runs.
    except Exception as error:  # noqa: BLE001
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise Unavailable(f"{engine.name} cannot take this network: {lines[0]}") from None


class _InBfloat16(nn.Module):
    """torch itself, with weights and activations of 16 bits."""

    def __init__(self, backbone: nn.Module, precision: str, n_threads: int) -> None:
        super().__init__()
        half = copy.deepcopy(backbone).to(torch.bfloat16)
        self.backbone = half.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.backbone(images.to(torch.bfloat16)).float()


class _OpenVino(nn.Module):
    """OpenVINO's CPU device. Maps are laid out in memory as torch's are, channels last."""

    def __init__(self, backbone: nn.Module, precision: str, n_threads: int) -> None:
        super().__init__()
        openvino = _openvino()

        hints = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == BFLOAT16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": n_threads,
            # Else the first thread of every process is bound to the same core as that of others.
            "ENABLE_CPU_PINNING": False,
        }
        model = _channels_last(_openvino_model(backbone))
        self.request = openvino.Core().compile_model(model, "CPU", hints).create_infer_request()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        # The request writes its next result into the same memory: this one is copied.
        maps = self.request.infer([pixels], share_inputs=True)[0]
        return torch.from_numpy(maps).permute(0, 3, 1, 2)


def _openvino() -> Any:
    """OpenVINO without its telemetry, which writes into the home folder and reports its use."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _openvino_model(backbone: nn.Module) -> Any:
    """By the front end itself: ``openvino.convert_model`` reports its use over the network."""
    openvino = _openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(_RECORDED)
    recorded = torch.jit.freeze(torch.jit.trace(backbone, example, check_trace=False))
    front_end = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(recorded, example_input=example)  # kept until all is read
    graph = front_end.load(decoder)
    (images,) = graph.get_inputs()
    graph.set_partial_shape(images, openvino.PartialShape([-1, 3, -1, -1]))
    graph.set_element_type(images, openvino.Type.f32)
    return front_end.convert(graph)


def _channels_last(model: Any) -> Any:
    from openvino import Layout
    from openvino.preprocess import PrePostProcessor

    processor = PrePostProcessor(model)
    for end in (processor.input(), processor.output()):
        end.model().set_layout(Layout("NCHW"))
        end.tensor().set_layout(Layout("NHWC"))
    return processor.build()


class _OnnxRuntime(nn.Module):
    """ONNX Runtime on the CPU."""

    def __init__(self, backbone: nn.Module, precision: str, n_threads: int) -> None:
        super().__init__()
        self.session = onnx_session(_onnx_graph(backbone), n_threads)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        try:
            maps = self.session.run(None, {"images": images.contiguous().numpy()})[0]
        # It lets out errors of its own, which name no class: as those of torch they are one
        # photo's.
        except Exception as error:  # noqa: BLE001
            raise RuntimeError(str(error)) from None
        return torch.from_numpy(maps).contiguous(memory_format=torch.channels_last)


def _onnx_graph(backbone: nn.Module) -> bytes:
    content: Any = io.BytesIO()  # its declared type knows files with names alone
    sizes = {"images": {0: "b", 2: "H", 3: "W"}, "maps": {0: "b", 2: "h", 3: "w"}}
    # The exporter by recording: the newer one takes ten times as long and needs onnxscript.
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        torch.onnx.export(
            backbone, (torch.zeros(_RECORDED),), content, dynamo=False, opset_version=17,
            input_names=["images"], output_names=["maps"], dynamic_axes=sizes,
        )  # fmt: skip
    finally:
        log.setLevel(level)
    return content.getvalue()
