"""What the machine offers: fast half precision, and the cores that are ours to use."""

from __future__ import annotations

import functools
import multiprocessing
import os
from pathlib import Path

import tensorflow as tf
from tensorflow.python.eager import context

CPU_DESCRIPTION = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
# Ampere, the first that has it.
BFLOAT16_CAPABILITY = (8, 0)


@functools.cache
def native_bfloat16() -> bool:
    """Say whether TensorFlow computes in bfloat16 faster than in float32 here."""
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


def keep_to_share() -> None:
    """Give TensorFlow no more threads than a parallel search allows this worker.

    joblib and Dask tell the workers of a search their share of the cores in a variable of the
    environment that libraries of OpenMP follow; TensorFlow, which would take all cores in every
    worker, does not. In other processes nothing is done.
    """
    share = os.environ.get("OMP_NUM_THREADS", "")
    if multiprocessing.parent_process() is None or not share.isdecimal() or int(share) < 1:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(int(share))
        tf.config.threading.set_inter_op_parallelism_threads(int(share))
    except RuntimeError:
        pass  # TensorFlow runs already


_forked_while_running = False


def _note_fork() -> None:
    global _forked_while_running
    # The threads of TensorFlow, which are there from its first operation on, are not forked.
    _forked_while_running = context.context()._initialized


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
