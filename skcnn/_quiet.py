"""Import TensorFlow without its greeting."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

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
