"""A search in one process, in two, on two workers of Dask and on two of Ray.

The same grid search, whose fits take some seconds, runs in each way, in a process of its own: wall
time, processor time of the whole machine, bytes a fit that go over the loopback device, and
whether the scores are those of one process. On Dask it runs three times: with workers that keep
freed memory, as they are by default ("trim"), and with one of the two workers killed with SIGKILL
while it works. Needs the packages distributed, psutil and ray; a way whose package is missing is
left out::

    python examples/benchmarks/scale_out.py [--only one two ...] [--values 8] [--epochs 100]

Run it on a quiet machine: all that works on it counts.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _data import machine, table
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV

from skcnn import StackedCNN, load_digit_images

N_FOLDS = 2
WAYS = {
    "one": None,
    "two": None,
    "dask": "distributed",
    "trim": "distributed",
    "ray": "ray",
    "kill": "distributed",
}

# By default the scheduler of Dask reduces scattered data to one copy, which is lost with its
# worker, and workers return freed memory to the system at once.
KEEP_COPIES = """
distributed:
  scheduler:
    active-memory-manager:
      start: false
"""
KEEP_MEMORY = """
  nanny:
    pre-spawn-environ:
      MALLOC_TRIM_THRESHOLD_: 33554432
      MALLOC_MMAP_THRESHOLD_: 33554432
"""


def search(values: int, epochs: int) -> GridSearchCV:
    """Make a search over learning rates."""
    net = StackedCNN(epochs=epochs, random_state=0)
    grid = {"learning_rate": np.geomspace(0.001, 0.03, values).tolist()}
    return GridSearchCV(net, grid, cv=N_FOLDS, refit=False, error_score="raise")


# The ways


@contextlib.contextmanager
def dask_workers(config: str) -> Iterator[list[int]]:
    """Start a scheduler and two workers, each a process that is reached over TCP.

    Each has a nanny, which limits its threads to one and starts it again when it was killed.
    """
    from distributed import Client

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        file = Path(folder) / "scheduler.json"
        (Path(folder) / "dask.yaml").write_text(config)
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
        command += ["--port", "0", "--scheduler-file", str(file)]
        stack.enter_context(started(command, DASK_CONFIG=folder))
        command = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1"]
        command += ["--no-dashboard", "--scheduler-file", str(file)]
        for _ in range(2):
            stack.enter_context(started(command, DASK_CONFIG=folder))
        client = stack.enter_context(Client(scheduler_file=str(file), timeout=60))
        client.wait_for_workers(2, timeout=120)
        yield list(client.run(os.getpid).values())


@contextlib.contextmanager
def started(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in the background."""
    environment = {**os.environ, **environment}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def on_dask(
    X: np.ndarray,
    y: np.ndarray,
    searched: GridSearchCV,
    *,
    config: str = KEEP_COPIES + KEEP_MEMORY,
    kill_after: float = 0,
) -> None:
    """Fit on workers of Dask; kill one of them after some seconds."""
    with dask_workers(config) as pids, parallel_config("dask", scatter=[X, y]):
        if kill_after:
            threading.Timer(kill_after, os.kill, (pids[0], signal.SIGKILL)).start()
        searched.fit(X, y)


def on_ray(X: np.ndarray, y: np.ndarray, searched: GridSearchCV) -> None:
    """Fit on workers of Ray."""
    import ray
    from ray.util.joblib import register_ray

    # Ray does not limit the threads of a worker; TensorFlow reads these variables itself.
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    environment = {"env_vars": threads}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    register_ray()
    with parallel_config("ray", n_jobs=2):
        searched.fit(X, y)
    ray.shutdown()


def processor_time() -> float:
    """Return the seconds that the processors of the machine have worked."""
    import psutil

    times = psutil.cpu_times()
    return times.user + times.nice + times.system


def run(way: str, values: int, epochs: int, kill_after: float, target: Path) -> None:
    """Run the search in one way, and write what it scored and took."""
    import psutil

    X, y = load_digit_images(return_X_y=True)
    searched = search(values, epochs)
    processor, network = processor_time(), psutil.net_io_counters(pernic=True)["lo"]
    start = time.perf_counter()
    if way == "dask":
        on_dask(X, y, searched)
    elif way == "kill":
        on_dask(X, y, searched, kill_after=kill_after)
    elif way == "trim":
        on_dask(X, y, searched, config=KEEP_COPIES)
    elif way == "ray":
        on_ray(X, y, searched)
    else:
        searched.set_params(n_jobs=2 if way == "two" else 1).fit(X, y)
    wall = time.perf_counter() - start
    sent = psutil.net_io_counters(pernic=True)["lo"].bytes_sent - network.bytes_sent
    results = searched.cv_results_
    np.savez(
        target,
        scores=np.stack([results[f"split{fold}_test_score"] for fold in range(N_FOLDS)]),
        seconds=results["mean_fit_time"],
        wall=wall,
        processor=processor_time() - processor,
        bytes_a_fit=sent / (values * N_FOLDS),
    )


# The comparison


def measured(way: str, options: argparse.Namespace, kill_after: float) -> dict[str, np.ndarray]:
    """Run one way in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "found.npz"
        command = [sys.executable, __file__, "--inner", way, "--target", str(target)]
        command += ["--values", str(options.values), "--epochs", str(options.epochs)]
        subprocess.run([*command, "--kill-after", str(kill_after)], check=True)
        with np.load(target) as found:
            return dict(found)


def compare(options: argparse.Namespace) -> None:
    """Run all ways and print a table."""
    n_fits = options.values * N_FOLDS
    rows = [("way", "wall", "of one", "processor", "bytes a fit", "seconds a fit", "scores")]
    first: dict[str, np.ndarray] = {}
    for way in options.only:
        package = WAYS[way]
        if package is not None and importlib.util.find_spec(package) is None:
            print(f"{way}: {package} is not installed", flush=True)
            continue
        found = measured(way, options, float(first["wall"]) / 4 if first else 20)
        first = first or found
        difference = np.abs(found["scores"] - first["scores"]).max()
        rows.append(
            (
                way,
                f"{found['wall']:.1f} s",
                f"{found['wall'] / first['wall']:.2f}",
                f"{found['processor']:.0f} s",
                f"{found['bytes_a_fit']:,.0f}",
                f"{np.median(found['seconds']):.1f}",
                "equal" if difference == 0 else f"differ by up to {difference:.4f}",
            )
        )
        print(rows[-1], flush=True)
    print(f"{n_fits} fits of {N_FOLDS} folds of the digits, {options.epochs} epochs")
    print(table(rows))


def main() -> None:
    """Compare, or run one way in this process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--values", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--inner", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kill-after", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        run(options.inner, options.values, options.epochs, options.kill_after, options.target)
        return
    print(machine(), flush=True)
    compare(options)


if __name__ == "__main__":
    main()
