"""A network's outputs, batch by batch, at the speed of the machine's fastest way to compute them.

On a CPU that is OpenVINO, which is handed the network's TensorFlow graph with its weights as constants: it joins
normalisations, activations and additions to their convolutions. Measured on one thread it takes a third of the time
of ``model.predict`` on the small CNNs and half of it or less on EfficientNet-B0; the conversion takes 0.3 s (small
CNNs) to 3 s (B0), about what TensorFlow takes to trace a network. With a GPU, and where OpenVINO is not installed,
TensorFlow itself computes.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lensfold.errors import InputError

if TYPE_CHECKING:
    import keras

#: as fast on a CPU as larger batches, whose maps leave the cache, and less filling of the last one
CPU_BATCH = 16

#: inputs of one fixed shape -> outputs
Function = Callable[[np.ndarray], np.ndarray]


class Inference:
    """The outputs of a network for any number of inputs, with batches halved until they fit into memory."""

    def __init__(self, function_of: Callable[[int], Function], batch_size: int):
        """Take ``function_of``, which gives the function for batches of exactly so many inputs."""
        self._function_of = function_of
        self._batch_size = batch_size
        self._function: Function | None = None

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return outputs (n, …) of inputs (n, …), n at least 1. InputError where not even one fits into memory."""
        outputs, start = [], 0
        while start < len(inputs):
            batch = inputs[start : start + self._batch_size]
            try:
                outputs.append(self._run(batch))
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
                self._halve(batch, error)
            else:
                start += len(batch)
        return np.concatenate(outputs)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        if self._function is None:
            self._function = self._function_of(self._batch_size)
        missing = self._batch_size - len(batch)
        if missing:  # the last batch is filled up: the function is made for one shape
            batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), dtype=batch.dtype)])
        return self._function(batch)[: self._batch_size - missing]

    def _halve(self, batch: np.ndarray, error: Exception) -> None:
        self._function = None  # its memory is needed for the next one
        if self._batch_size == 1:
            shape = " x ".join(map(str, batch.shape[1:]))
            raise InputError(
                f"a batch of 1 input of {shape} does not fit into memory. Free memory, take a smaller pixels.crop or "
                "network, or a machine with more."
            ) from error
        self._batch_size //= 2


def inference_of(model: "keras.Model", batch_size: int) -> Inference:
    """Return the outputs of ``model`` with the weights that it has now, in batches of at most ``batch_size``.

    On a CPU 16-bit networks are computed in 32 bits. An input's outputs do not depend on its batch, and are the same
    bytes each time with the same number of threads.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU") or not _openvino_is_installed():
        return Inference(lambda size: lambda inputs: np.asarray(model.predict_on_batch(inputs)), batch_size)
    return Inference(lambda size: _openvino_function(model, size), min(batch_size, CPU_BATCH))


def _openvino_is_installed() -> bool:
    # OpenVINO reports each use over the network where this package is present, and takes its absence well
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
    try:
        import openvino  # noqa: F401
    except ImportError:
        return False
    return True


def _openvino_function(model: "keras.Model", batch_size: int) -> Function:
    import openvino

    core = openvino.Core()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.pb"
        path.write_bytes(_frozen_graph(model, batch_size))
        network = core.read_model(path)
    request = core.compile_model(network, "CPU", _openvino_settings()).create_infer_request()

    def function(inputs: np.ndarray) -> np.ndarray:
        request.infer([inputs], share_inputs=True)
        return request.get_output_tensor().data.copy()

    return function


def _frozen_graph(model: "keras.Model", batch_size: int) -> bytes:
    """Return TensorFlow's GraphDef of the network in inference mode, its weights as constants."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    inputs = tf.TensorSpec((batch_size, *model.input_shape[1:]), tf.float32)
    traced = tf.function(lambda batch: model(batch, training=False), input_signature=[inputs], autograph=False)
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function())
    return frozen.graph.as_graph_def().SerializeToString()


def _openvino_settings() -> dict:
    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return {
        # as many as TensorFlow has; 0: all cores, with both
        "INFERENCE_NUM_THREADS": threads or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)),
        "NUM_STREAMS": 1,
        # else several processes, each with one thread, would share the first core
        "ENABLE_CPU_PINNING": False,
        # else 16 bits on the processors that have them
        "INFERENCE_PRECISION_HINT": "f32",
    }


def _is_out_of_memory(error: Exception) -> bool:
    import tensorflow as tf

    if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
        return True
    # OpenVINO has no error of its own for it
    return type(error) is RuntimeError and any(word in str(error) for word in ("Failed to allocate", "bad_alloc"))
