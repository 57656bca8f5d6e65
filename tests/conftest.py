import os
import subprocess
import sys

import pytest


@pytest.fixture
def run_python():
    """Run code in a new interpreter; give the finished process, which must have succeeded."""

    def run(code, *arguments, timeout=None, **environment):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **environment},
        )
        if done.returncode:
            print(done.stderr)  # pytest shows it
        done.check_returncode()
        return done

    return run


def pytest_terminal_summary(terminalreporter):
    """Print the counts that tests record, which would be lost in the output of a process."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name} {value}")
