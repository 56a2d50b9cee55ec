"""How TensorFlow is started."""

import os


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


def set_threads(count: int) -> None:
    """Fix TensorFlow's thread counts for this process; later calls in the same process change nothing."""
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # TensorFlow has started already, with the threads it has
        return
