"""How TensorFlow is started, and what else a process that trains is told."""

import ctypes
import os
from contextlib import suppress

#: numbers of glibc's malloc.h, and the largest value it takes for the second
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _LARGEST = -1, -3, 32 << 20


def start_tensorflow() -> None:
    """Import TensorFlow with oneDNN, its fast convolutions, and without the lines that it then writes to stderr.

    TensorFlow chooses oneDNN on its own only on newer Intel processors; on others with AVX2 it is as good. A value
    of TF_ENABLE_ONEDNN_OPTS that the user has set stays. Call before anything imports Keras: afterwards it does
    nothing.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # several folds may share a GPU: none takes all of its memory at once
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    kept = os.dup(2)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 2)  # the lines come from C++, before it looks at TF_CPP_MIN_LOG_LEVEL
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(silent)
        os.close(kept)


def make_repeatable(threads: int) -> None:
    """Have every process with as many threads compute the same to the last bit; later calls change no thread count.

    TensorFlow's rewriting of graphs (Grappler) adds the gradients that meet where a block is skipped in an order that
    differs from process to process; rounding then makes two trainings of an EfficientNet drift apart. Without it a step
    takes as long.
    """
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # TensorFlow has started already, with the threads it has
        return


def keep_freed_memory() -> None:
    """Have glibc keep up to 256 MB of freed memory for what is allocated next; elsewhere do nothing.

    Batches come and go, a few MB each. Pages that were given back to the system are cleared before they return, which
    takes as long as a third of all that is done to prepare a batch to train on.
    """
    with suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, 8 * _LARGEST)
