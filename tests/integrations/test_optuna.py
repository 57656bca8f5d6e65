"""A study of Optuna in SQLite: two processes, one of which is killed, and one that takes over."""

import os
import signal
import subprocess
import sys

import pytest

optuna = pytest.importorskip("optuna")
pytest.importorskip("optuna_integration")

N_TRIALS = 5

# Architecture, training recipe and augmentation are one search space.
WORKER = """
import sys

import optuna
from optuna.storages import RDBStorage, RetryFailedTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState
from optuna_integration import KerasPruningCallback

from skcnn import ImageAugmenter, ImageClassifier, load_digit_images

X, y = load_digit_images(return_X_y=True)
X, y = X[y < 3], y[y < 3]
X, X_val, X_test = X[:120], X[120:200], X[200:300]
y, y_val, y_test = y[:120], y[120:200], y[200:300]


def objective(trial):
    filters = trial.suggest_int("filters", 2, 8, step=2)
    head = trial.suggest_categorical("head", ["FCS", "FC-16 -> RELU -> FCS"])
    net = ImageClassifier(
        f"CONV-{filters} -> RELU -> POOL -> {head}",
        optimizer=trial.suggest_categorical("optimizer", ["adam", "muon"]),
        learning_rate=trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True),
        augmentation=ImageAugmenter(
            width_shift_range=trial.suggest_float("shift", 0, 0.2),
            cutout=trial.suggest_categorical("cutout", [0.0, 0.3]),
        ),
        epochs=4,
        callbacks=[KerasPruningCallback(trial, "val_accuracy")],
        random_state=0,
    )
    print("trial", trial.number, flush=True)
    return net.fit(X, y, X_val=X_val, y_val=y_val).score(X_test, y_test)


storage = RDBStorage(
    sys.argv[1],
    heartbeat_interval=1,
    grace_period=3,
    failed_trial_callback=RetryFailedTrialCallback(max_retry=1),
)
study = optuna.create_study(
    storage=storage,
    study_name="digits",
    load_if_exists=True,
    direction="maximize",
    sampler=optuna.samplers.TPESampler(seed=int(sys.argv[2])),
    pruner=optuna.pruners.PercentilePruner(60, n_startup_trials=2, n_warmup_steps=1),
)
finished = (TrialState.COMPLETE, TrialState.PRUNED)
study.optimize(objective, callbacks=[MaxTrialsCallback(int(sys.argv[3]), states=finished)])
"""


def worker(url, seed):
    command = [sys.executable, "-c", WORKER, url, str(seed), str(N_TRIALS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_study_of_two_processes_of_which_one_is_killed(tmp_path):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(storage=url, study_name="digits", direction="maximize")
    workers = [worker(url, seed) for seed in range(2)]
    started = workers[0].stdout.readline()
    os.kill(workers[0].pid, signal.SIGKILL)
    workers[0].wait()
    killed = int(started.split()[1])
    workers += [worker(url, seed=2)]
    for each in workers[1:]:
        each.communicate()
        assert each.returncode == 0

    trials = optuna.load_study(storage=url, study_name="digits").trials
    states = [trial.state.name for trial in trials]
    assert states[killed] == "FAIL"
    assert states.count("FAIL") == 1
    assert states.count("COMPLETE") + states.count("PRUNED") >= N_TRIALS
    (again,) = [t for t in trials if t.system_attrs.get("failed_trial") == killed]
    assert again.params == trials[killed].params
    assert again.state.name in ("COMPLETE", "PRUNED")
    assert [trial.number for trial in trials] == list(range(len(trials)))
    pruned = [len(t.intermediate_values) for t in trials if t.state.name == "PRUNED"]
    assert all(1 < n_epochs <= 4 for n_epochs in pruned)
    assert max(trial.value for trial in trials if trial.state.name == "COMPLETE") > 0.9
