"""ONNX Runtime as this project uses it: on the CPU, silent, and telling nobody."""

import os
from typing import Any

# Its telemetry would write a database into the home folder and report its use over the network;
# what counts is whether this stands when it is first imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
_FATAL = 4  # errors are raised, and need not be logged as well


def onnx_session(graph: bytes, n_threads: int) -> Any:
    """``onnxruntime.InferenceSession`` over a graph that is all in these bytes.

    Raises:
        ImportError: it is not installed.
        Exception: one of its own, if this is no graph that it can run.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(_FATAL)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = n_threads
    # Threads that wait spinning would take the cores from those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Its fallback is the same again, told on standard output.
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(graph, options, providers, enable_fallback=0)
