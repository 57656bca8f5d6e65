"""Searches on the workers of a Dask cluster, processes of their own that are reached over TCP."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skcnn import ImageClassifier

pytest.importorskip("distributed")

import dask  # isort: skip
from distributed import Client, LocalCluster  # isort: skip

X, y = load_digits(return_X_y=True)
X, y = X[:120].reshape(-1, 8, 8), y[:120]


@pytest.fixture
def client():
    # By default the scheduler reduces scattered data to one copy, which is lost with its worker.
    settings = {"distributed.scheduler.active-memory-manager.start": False}
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with dask.config.set(settings), LocalCluster(**options) as cluster, Client(cluster) as client:
        yield client


def scores(epochs):
    """The scores of a search, in the order of its fits."""
    net = ImageClassifier("CONV-4 -> RELU -> POOL -> FCS", epochs=epochs, random_state=0)
    grid = {"learning_rate": [0.003, 0.01, 0.03]}
    search = GridSearchCV(net, grid, cv=2, refit=False, error_score="raise").fit(X, y)
    return np.stack([search.cv_results_[f"split{fold}_test_score"] for fold in range(2)])


def kill_one_at_work(client, killed):
    """Kill a worker with SIGKILL as soon as both have something to do."""
    while not all(client.processing().values()):
        time.sleep(0.1)
    killed.append(next(iter(client.run(os.getpid).values())))
    os.kill(killed[0], signal.SIGKILL)


@pytest.mark.parametrize("kill", [False, True])
def test_a_search_on_workers_has_the_scores_of_one_on_this_machine(client, kill):
    with parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        expected = scores(epochs=40)
    killed = []
    with parallel_config("dask", scatter=[X, y]):
        if kill:
            threading.Thread(target=kill_one_at_work, args=(client, killed)).start()
        found = scores(epochs=40)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(expected)) > 1
    if kill:
        assert killed[0] not in client.run(os.getpid).values()
