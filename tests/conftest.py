import os
import subprocess
import sys

import pytest
import sklearn


@pytest.fixture
def run_python():
    """Run code in a new interpreter, check that it succeeds and return the process."""

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


@pytest.fixture(params=[False, True], ids=["without dispatch", "with dispatch"])
def dispatch(request, monkeypatch):
    """Run a test with and without scikit-learn's array API dispatch."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with sklearn.config_context(array_api_dispatch=request.param):
        yield


def pytest_terminal_summary(terminalreporter):
    """Print the values recorded by passed tests, whose output pytest hides."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name} {value}")
