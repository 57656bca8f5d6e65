"""The machine and the process: a quiet start, threads, bfloat16 and forks."""

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
# Ampere, the first that has it.
BFLOAT16_CAPABILITY = (8, 0)


@functools.cache
def native_bfloat16() -> bool:
    """Say whether TensorFlow computes in bfloat16 faster than in float32 here."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = map(tf.config.experimental.get_device_details, gpus)
        return all(
            each.get("compute_capability", (0, 0)) >= BFLOAT16_CAPABILITY for each in details
        )
    # Only oneDNN has kernels for it.
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() in ("0", "false"):
        return False
    try:
        description = CPU_DESCRIPTION.read_text()
    except OSError:
        return False
    flags = next((line for line in description.splitlines() if line.startswith("flags")), "")
    return not BFLOAT16_FLAGS.isdisjoint(flags.split())


def limit_threads_to_share() -> None:
    """Give TensorFlow no more threads than a parallel search allows this worker.

    joblib and Dask tell the workers of a search their share of the cores in a variable of the
    environment that libraries of OpenMP follow; TensorFlow, which would take all cores in every
    worker, does not. In other processes nothing is done.
    """
    share = os.environ.get("OMP_NUM_THREADS", "")
    if multiprocessing.parent_process() is None or not share.isdecimal() or int(share) < 1:
        return
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(int(share))
        tf.config.threading.set_inter_op_parallelism_threads(int(share))
    except RuntimeError:
        pass  # TensorFlow runs already


_forked_while_running = False


def _note_fork() -> None:
    global _forked_while_running
    from ._compat import tensorflow_has_run  # imports TensorFlow, whose start is made quiet here

    _forked_while_running = tensorflow_has_run()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def check_not_forked() -> None:
    """Raise where TensorFlow would wait for ever for threads that a fork has left behind.

    Raises
    ------
    RuntimeError
        In a process that was forked from one in which TensorFlow had run.
    """
    if _forked_while_running:
        raise RuntimeError(
            "This process was forked from one in which TensorFlow had already run, where it "
            "would wait for ever. Start processes by 'spawn' or 'forkserver' (as in "
            "multiprocessing.get_context('spawn'), or with joblib's default backend), or fork "
            "before the first fit, load or predict (gunicorn: without --preload, and load the "
            "estimator in each worker)."
        )


# What TensorFlow's native code prints when it is loaded: log lines such as
# "I0000 00:00:1760000000.000000 1 port.cc:153] oneDNN custom operations are on." and their rest.
GREETING = re.compile(
    rb"[IWE]\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] "
    rb"|WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|To enable the following instructions:"
)


LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextmanager
def quiet_tensorflow_start() -> Iterator[None]:
    """Drop TensorFlow's greeting from standard error while it is imported.

    The greeting comes from native code before any logger exists, so only the file descriptor
    can be asked; all other lines are passed on. The log level of the native code, which is read
    once and from the environment alone, is set for the import and the environment put back.
    Nothing is done when the user has set that level or has imported TensorFlow already.
    """
    if LEVEL in os.environ or "tensorflow" in sys.modules:
        yield
        return
    try:
        stderr = os.dup(2)
    except OSError:  # a process without standard error prints no greeting
        yield
        return
    os.environ[LEVEL] = "3"
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            del os.environ[LEVEL]
            said.seek(0)
            for line in said:
                if not GREETING.match(line):
                    os.write(2, line)
