"""Hardware and process: log messages at import, threads, bfloat16 support and forks."""

from __future__ import annotations

import functools
import multiprocessing
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CPU_DESCRIPTION = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
# Compute capability of Ampere, the first GPUs with bfloat16.
BFLOAT16_CAPABILITY = (8, 0)


@functools.cache
def native_bfloat16() -> bool:
    """Return whether TensorFlow computes faster in bfloat16 than in float32 on this machine."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = map(tf.config.experimental.get_device_details, gpus)
        return all(
            each.get("compute_capability", (0, 0)) >= BFLOAT16_CAPABILITY for each in details
        )
    # On CPUs, only oneDNN has bfloat16 kernels.
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() in ("0", "false"):
        return False
    try:
        description = CPU_DESCRIPTION.read_text()
    except OSError:
        return False
    flags = next((line for line in description.splitlines() if line.startswith("flags")), "")
    return not BFLOAT16_FLAGS.isdisjoint(flags.split())


def limit_threads_to_share() -> None:
    """Limit TensorFlow's threads to the share of the cores of a worker process.

    joblib and Dask set ``OMP_NUM_THREADS`` in their workers, which OpenMP libraries respect;
    TensorFlow would use all cores in every worker. Other processes are not changed.
    """
    share = os.environ.get("OMP_NUM_THREADS", "")
    if multiprocessing.parent_process() is None or not share.isdecimal() or int(share) < 1:
        return
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(int(share))
        tf.config.threading.set_inter_op_parallelism_threads(int(share))
    except RuntimeError:
        pass  # TensorFlow is already initialized


_forked_while_running = False


def _note_fork() -> None:
    global _forked_while_running
    from ._compat import tensorflow_has_run

    _forked_while_running = tensorflow_has_run()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def check_not_forked() -> None:
    """Raise an error in a forked process in which TensorFlow would hang.

    Raises
    ------
    RuntimeError
        If the process was forked after TensorFlow had run, as threads are not forked.
    """
    if _forked_while_running:
        raise RuntimeError(
            "This process was forked after TensorFlow had run in its parent, so TensorFlow would "
            "hang. Start processes with 'spawn' or 'forkserver' (as "
            "multiprocessing.get_context('spawn') and joblib's default backend do), or fork "
            "before the first fit, load or predict (gunicorn: without --preload, and load the "
            "estimator in each worker)."
        )


# Messages that TensorFlow's native code prints on import: log lines such as
# "I0000 00:00:1760000000.000000 1 port.cc:153] oneDNN custom operations are on." and their
# continuation lines.
STARTUP_MESSAGE = re.compile(
    rb"[IWE]\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] "
    rb"|WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|To enable the following instructions:"
)


LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextmanager
def quiet_tensorflow_start() -> Iterator[None]:
    """Filter TensorFlow's startup messages from stderr while it is imported.

    Native code prints them before any logger exists, so the file descriptor is redirected; all
    other lines are passed on. The log level of the native code, which is read once from the
    environment, is set during the import and restored. Nothing is done if the user has set the
    log level or TensorFlow is already imported.
    """
    if LEVEL in os.environ or "tensorflow" in sys.modules:
        yield
        return
    try:
        stderr = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    os.environ[LEVEL] = "3"
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            del os.environ[LEVEL]
            captured.seek(0)
            for line in captured:
                if not STARTUP_MESSAGE.match(line):
                    os.write(2, line)
