"""Training runs that are interrupted in various ways and resumed from checkpoints."""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from marks import slow
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skcnn import (
    ImageAugmenter,
    ImageClassifier,
    LoadError,
    Seq2SeqRNN,
    load_digit_images,
    make_arithmetic,
)
from skcnn._files import archive as _archive
from skcnn._files.archive import read
from skcnn._training.checkpoint import KIND, NAME, Saved
from skcnn._training.validation import check_validation_set
from skcnn.base import KerasEstimator

X, Y = (data[:120] for data in load_digit_images(return_X_y=True))
QUESTIONS, ANSWERS = make_arithmetic(55, operation="+", n_digits=1, random_state=0)


def net(**parameters):
    architecture = "CONV-4 -> RELU -> DROPOUT-0.3 -> POOL -> FCS"
    defaults = {"architecture": architecture, "epochs": 5, "batch_size": 32, "random_state": 0}
    return ImageClassifier(**{**defaults, **parameters})


class DiesError(Exception):
    pass


class CountsEpochs(keras.callbacks.Callback):
    epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1


def broken_off(make, X, y, folder, epoch):
    """Raise an exception in the middle of an epoch."""

    class Breaks(keras.callbacks.Callback):
        def on_epoch_begin(self, number, logs=None):
            self.now = number == epoch

        def on_train_batch_end(self, batch, logs=None):
            if self.now:
                raise DiesError

    with pytest.raises(DiesError):
        make(checkpoint_dir=folder, callbacks=[Breaks()]).fit(X, y)


def saved(folder):
    return read(folder / NAME, KIND, dict)


def weights(fitted):
    return fitted.model_.get_weights()


def assert_same(one, other):
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)
    for name in set(one.history_) - {"seconds"}:
        assert one.history_[name] == other.history_[name]
    assert one.best_iteration_ == other.best_iteration_


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"early_stopping": True, "n_iter_no_change": 2, "epochs": 12, "validation_fraction": 0.3},
        {"augmentation": ImageAugmenter(horizontal_flip=True, mixup=0.2), "epochs": 4},
        *slow(
            {"learning_rate_schedule": "constant", "optimizer": "sgd", "optimizer__momentum": 0.9},
            {"learning_rate_schedule": keras.optimizers.schedules.CosineDecay(0.01, 20)},
            {"class_weight": "balanced", "label_smoothing": 0.1, "weight_decay": 0.1},
        ),
    ],
)
def test_resumed_training_is_bit_identical(tmp_path, parameters):
    whole = net(**parameters).fit(X, Y)
    for epoch in (1, 2):
        broken_off(lambda **more: net(**parameters, **more), X, Y, tmp_path, epoch)
        assert len(saved(tmp_path)["history"]["loss"]) == epoch
    counts = CountsEpochs()
    again = net(**parameters, checkpoint_dir=tmp_path, callbacks=[counts]).fit(X, Y)
    assert again.callbacks_[0].epochs == whole.n_iter_ - 2
    assert_same(again, whole)


def test_resumed_training_of_strings_is_bit_identical(tmp_path):
    def make(**more):
        parameters = {"hidden_size": 8, "epochs": 4, "random_state": 0, "batch_size": 16, **more}
        return Seq2SeqRNN(decoder="repeat", **parameters)

    whole = make().fit(QUESTIONS, ANSWERS)
    broken_off(make, QUESTIONS, ANSWERS, tmp_path, 2)
    assert_same(make(checkpoint_dir=str(tmp_path)).fit(QUESTIONS, ANSWERS), whole)


def test_resume_without_random_state_keeps_the_drawn_seed(tmp_path):
    broken_off(lambda **more: net(random_state=None, **more), X, Y, tmp_path, 3)
    before = saved(tmp_path)
    again = net(random_state=None, checkpoint_dir=tmp_path).fit(X, Y)
    assert again.history_["loss"][:3] == before["history"]["loss"]
    assert_same(again, net(random_state=before["seed"]).fit(X, Y))


def test_equal_optimizers_resume(tmp_path):
    for _ in range(2):
        optimizer = keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 20))
        settings = {"epochs": 1, "learning_rate_schedule": "constant", "checkpoint_dir": tmp_path}
        net(optimizer=optimizer, **settings).fit(X, Y)
    with pytest.raises(ValueError, match="different optimizer"):
        net(optimizer=keras.optimizers.SGD(0.1), **settings).fit(X, Y)


def test_finished_training_is_not_repeated(tmp_path):
    parameters = {"early_stopping": True, "n_iter_no_change": 2, "epochs": 12}
    whole = net(**parameters, checkpoint_dir=tmp_path).fit(X, Y)
    again = net(**parameters, checkpoint_dir=tmp_path, callbacks=[CountsEpochs()]).fit(X, Y)
    assert again.callbacks_[0].epochs == 0
    assert_same(again, whole)


def test_resume_with_other_prediction_parameters(tmp_path):
    broken_off(net, X, Y, tmp_path, 2)
    again = net(checkpoint_dir=tmp_path, flip_averaging=True).fit(X, Y)
    assert_same(again, net().fit(X, Y))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"batch_size": 16}, "batch_size"),
        ({"batch_size": 16, "epochs": 6, "weight_decay": 0.1}, "(batch_size|epochs|weight_decay)"),
        ({"random_state": 1}, "random_state"),
        ({"optimizer__momentum": 0.5}, "optimizer__momentum"),
        ({"optimizer": keras.optimizers.Adam()}, "optimizer"),
        ({"augmentation": ImageAugmenter(cutout=0.5)}, "augmentation"),
        ({"early_stopping": True, "scoring": "f1_macro"}, "scoring"),
    ],
)
def test_resume_with_other_parameters_raises(tmp_path, change, named):
    net(checkpoint_dir=tmp_path, epochs=2).fit(X, Y)
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(
        ValueError,
        match=rf"checkpoint_dir='.*' has a checkpoint of a training run with different .*{named}",
    ):
        net(checkpoint_dir=tmp_path, **{"epochs": 2, **change}).fit(X, Y)
    assert (tmp_path / NAME).read_bytes() == before


def test_resume_with_other_data_raises(tmp_path):
    net(checkpoint_dir=tmp_path, epochs=1).fit(X, Y)
    for arguments, named in [
        ((X[::-1], Y), "X"),
        ((X, Y[::-1]), "y"),
        ((X, Y, np.ones(len(X))), "sample_weight"),
    ]:
        with pytest.raises(ValueError, match=rf"a training run with different {named}\."):
            net(checkpoint_dir=tmp_path, epochs=1).fit(*arguments)
    with pytest.raises(ValueError, match=r"a training run with different X\."):
        net(checkpoint_dir=tmp_path, epochs=1, image_size=6).fit(X, Y)
    with pytest.raises(ValueError, match="different estimator"):
        OneLayer(checkpoint_dir=tmp_path, epochs=1).fit(X, Y)
    mapped = np.memmap(tmp_path / "X", dtype=X.dtype, mode="w+", shape=X.shape)
    mapped[:] = X
    net(checkpoint_dir=tmp_path, epochs=1).fit(mapped, Y)  # the same values


class OneLayer(ImageClassifier):
    """One layer."""

    architecture = "FCS"


@pytest.fixture
def files(tmp_path):
    """Image files of two classes in a folder."""
    folder = tmp_path / "images"
    for number, image in enumerate(X[:20]):
        (folder / str(number % 2)).mkdir(parents=True, exist_ok=True)
        path = folder / str(number % 2) / f"{number:02}.png"
        Image.fromarray((image * 15).astype(np.uint8)).save(path)
    return folder


def paths_in(folder):
    paths = sorted(map(str, folder.glob("*/*")))
    return paths, [path.split("/")[-2] for path in paths]


def test_resume_with_changed_files_raises(tmp_path, files):
    paths, labels = paths_in(files)
    folder = tmp_path / "checkpoint"
    for _ in range(2):
        net(checkpoint_dir=folder, epochs=1).fit(paths, labels)
    status = Path(paths[0]).stat()
    shutil.copy(paths[1], paths[0])
    os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ValueError, match="different X"):
        net(checkpoint_dir=folder, epochs=1).fit(paths, labels)


def test_resume_with_touched_or_moved_files(tmp_path, files):
    folder = tmp_path / "checkpoint"

    def fit(paths, labels):
        fitted = net(checkpoint_dir=folder, epochs=2, early_stopping=True)
        return fitted.fit(paths, labels, X_val=paths[:5], y_val=labels[:5])

    first = fit(*paths_in(files))
    for path in files.glob("*/*"):
        os.utime(path, (1, 1))
    files.rename(tmp_path / "moved")
    assert_same(fit(*paths_in(tmp_path / "moved")), first)
    # Validation files are compared by their contents, too.
    paths, labels = paths_in(tmp_path / "moved")
    with pytest.raises(ValueError, match="different X_val and y_val"):
        net(checkpoint_dir=folder, epochs=2, early_stopping=True).fit(
            paths, labels, X_val=paths[-5:], y_val=labels[-5:]
        )


SPLIT = {"early_stopping": True, "validation_fraction": 0.3}
GIVEN = {"early_stopping": True, "validates": True}  # with X_val and y_val
AUGMENTED = {"augmentation": ImageAugmenter(width_shift_range=0.3)}
# For each parameter: a change that affects the weights, and one that does not.
COMMON = {
    "epochs": [(3, {}, True), (np.int64(2), {}, False)],
    "batch_size": [(16, {}, True), (np.int32(32), {}, False)],
    "optimizer": [("sgd", {}, True)],
    "learning_rate": [(0.003, {}, True)],
    "learning_rate_schedule": [("cosine", {}, True)],
    "weight_decay": [(0.3, {}, True)],
    "label_smoothing": [(0.3, {}, True)],
    "early_stopping": [(True, {"validation_fraction": 0.3}, True)],
    "validation_fraction": [(0.4, SPLIT, True), (0.4, {}, False), (0.4, GIVEN, False)],
    "scoring": [
        ("f1_macro", SPLIT, True),
        ("loss", GIVEN, True),
        (len, GIVEN, True),
        ("loss", {"validates": True}, False),
        (None, {"scoring": "f1_macro", "validates": True}, False),
    ],
    "n_iter_no_change": [(3, SPLIT, True), (3, {}, False)],
    "checkpoint_dir": [("moved", {}, False)],
    "warm_start": [(True, {}, False)],
    "precision": [("mixed_bfloat16", {}, True), ("float32", {}, False)],
    "callbacks": [([keras.callbacks.Callback()], {}, False)],
    "random_state": [(1, {}, True), (np.int64(0), {}, False)],
    "verbose": [(1, {}, False), (2, {}, False)],
}
IMAGES = {
    **COMMON,
    "architecture": [
        ("CONV-4 -> TANH -> FCS", {}, True),
        ("conv-4:3->RELU->DROPOUT-0.30->POOL-2->FCS", {}, False),
    ],
    "batch_norm": [(False, {}, True), (np.True_, {}, False)],
    "input_shape": [((8, 8), {}, False)],
    "standardize": [(False, {}, True)],
    "augmentation": [
        (ImageAugmenter(width_shift_range=0.4), AUGMENTED, True),
        (ImageAugmenter(width_shift_range=0.3, fill_mode="wrap"), AUGMENTED, True),
        (ImageAugmenter(fill_mode="wrap"), {}, False),
    ],
    "image_size": [((8, 8), {}, False), (8, {}, False)],  # another is another X
    "resize": [("crop", {"image_size": 8}, False)],
    "background": [("#ffffff", {}, False)],
    "flip_averaging": [
        (True, {}, False),
        (True, SPLIT, False),
        (True, {"scoring": "loss", **SPLIT}, False),
        (True, {"scoring": "f1_macro", **SPLIT}, True),
        (True, {"scoring": "f1_macro", "validates": True}, False),
    ],
    "shift_averaging": [(True, {}, False), (True, {"scoring": "accuracy", **GIVEN}, True)],
    "class_weight": [({0: 2.0}, {}, True), ({np.int64(0): 2}, {"class_weight": {0: 2.0}}, False)],
}
STRINGS = {
    **COMMON,
    "cell": [("gru", {}, True)],
    "hidden_size": [(5, {}, True)],
    "n_layers": [(2, {}, True)],
    "decoder": [("attention", {}, True)],
    "bidirectional": [(False, {}, True)],
    "reverse_input": [(True, {}, True)],
    "embedding_size": [(3, {}, True)],
    "dropout": [(0.3, {}, True)],
    "analyzer": [("word", {}, True)],
    "characters": [("0123456789+-=", {}, True)],
    "handle_unknown": [("ignore", {}, True)],
    "normalize": [("NFC", {}, True)],
    "max_input_length": [(30, {}, True)],
    "max_output_length": [(30, {}, True)],
    "beam_width": [(2, {}, False), (2, {"scoring": "accuracy", **SPLIT}, True)],
    "show_samples": [(2, SPLIT, False)],
}
KINDS = {
    "images": (lambda **p: net(**{"epochs": 2, **p}), IMAGES, X, Y),
    "strings": (
        lambda **p: Seq2SeqRNN(
            **{"hidden_size": 4, "epochs": 2, "batch_size": 32, "random_state": 0, **p}
        ),
        STRINGS,
        QUESTIONS,
        ANSWERS,
    ),
}
CASES = [
    pytest.param(kind, name, *case, id=f"{kind}-{name}-{number}")
    for kind in KINDS
    for name, cases in KINDS[kind][1].items()
    for number, case in enumerate(cases)
]


def test_cases_cover_every_parameter():
    for make, cases, *_ in KINDS.values():
        assert set(make().get_params(deep=False)) == set(cases)


@pytest.fixture
def no_training(monkeypatch):
    """Stop fit before the first epoch, after the check of the checkpoint."""

    class ReachedError(Exception):
        pass

    def reached(*_, **__):
        raise ReachedError

    monkeypatch.setattr(KerasEstimator, "_make_optimizer", reached)
    return ReachedError


@pytest.mark.parametrize(("kind", "name", "value", "others", "matters"), CASES)
def test_changed_parameters_raise_only_if_they_affect_the_weights(
    kind, name, value, others, matters, tmp_path, no_training
):
    make, _, inputs, targets = KINDS[kind]
    given = {}
    if "validates" in others:
        others = {key: other for key, other in others.items() if key != "validates"}
        given = {"X_val": inputs[:9], "y_val": targets[:9]}
    folder = tmp_path / "checkpoint"
    before = make(**others, checkpoint_dir=folder)
    after = make(**{**others, "checkpoint_dir": folder, name: value})
    samples = before._samples(inputs, targets, None, reset=True)
    if given:
        samples.validation = check_validation_set(before._check_data, *given.values(), None)
    before.precision_ = "float32"
    identity = before._identity(samples, True, 0)
    folder.mkdir()
    saved = Saved(identity, 0, False, {}, {}, {})
    _archive.write(folder / NAME, KIND, vars(saved))
    if name == "checkpoint_dir":
        folder.rename(tmp_path / value)
        after.set_params(checkpoint_dir=tmp_path / value)
    with pytest.raises(ValueError if matters else no_training) as raised:
        after.fit(inputs, targets, **given)
    if matters:
        assert re.search(rf"training run with different .*\b{name}\b", str(raised.value))


ONES = np.ones(9)
VALIDATION = {"X_val": X[:9], "y_val": Y[:9], "sample_weight_val": ONES}


@pytest.mark.parametrize(
    ("first", "then", "named"),
    [
        (VALIDATION, {**VALIDATION, "X_val": X[1:10]}, "X_val"),
        (VALIDATION, {**VALIDATION, "y_val": Y[1:10]}, "y_val"),
        (VALIDATION, {**VALIDATION, "sample_weight_val": ONES * Y[:9]}, "sample_weight_val"),
        (VALIDATION, {**VALIDATION, "sample_weight_val": None}, "sample_weight_val"),
        (VALIDATION, {}, "X_val"),
        ({"groups": Y}, {"groups": Y // 2}, "groups"),
        ({"groups": Y}, {}, "groups"),
    ],
)
def test_other_validation_data_raise_with_early_stopping(tmp_path, first, then, named):
    parameters = {"early_stopping": True, "epochs": 1, "architecture": "FCS"}
    net(**parameters, checkpoint_dir=tmp_path).fit(X, Y, **first)
    with pytest.raises(ValueError, match=rf"training run with different .*\b{named}\b"):
        net(**parameters, checkpoint_dir=tmp_path).fit(X, Y, **then)
    if named != "groups":  # without early stopping the weights do not depend on it
        parameters = {**parameters, "early_stopping": False, "checkpoint_dir": tmp_path / "b"}
        net(**parameters).fit(X, Y, **first)
        assert_same(net(**parameters).fit(X, Y, **first), net(**parameters).fit(X, Y, **then))


def test_resume_with_renamed_groups(tmp_path):
    parameters = {"early_stopping": True, "epochs": 1, "checkpoint_dir": tmp_path}
    first = net(**parameters).fit(X, Y, groups=Y)
    assert_same(net(**parameters).fit(X, Y, groups=np.array(list("abcdefghij"))[Y]), first)


@pytest.mark.parametrize(
    "scoring",
    [*slow("neg_log_loss"), lambda net, X, y: net.score(X, y)],
)
def test_resumed_training_with_scoring_is_bit_identical(tmp_path, scoring):
    groups = np.arange(len(X)) % 11

    class Grouped(ImageClassifier):
        def fit(self, X, y):
            return super().fit(X, y, groups=groups)

    def make(**more):
        parameters = {"early_stopping": True, "n_iter_no_change": 2, "epochs": 9, **more}
        architecture = "CONV-4 -> RELU -> DROPOUT-0.3 -> POOL -> FCS"
        return Grouped(architecture, batch_size=32, random_state=0, scoring=scoring, **parameters)

    whole = make().fit(X, Y)
    broken_off(make, X, Y, tmp_path, 2)
    assert_same(make(checkpoint_dir=tmp_path).fit(X, Y), whole)


# Several fits and one folder

HOLDS = """
import sys, time, keras
from skcnn import ImageClassifier, load_digit_images

class Waits(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            print("waits", flush=True)
            time.sleep(600)

X, y = (data[:120] for data in load_digit_images(return_X_y=True))
net = ImageClassifier("FCS", epochs=3, random_state=0, checkpoint_dir=sys.argv[1])
net.set_params(callbacks=[Waits()]).fit(X, y)
"""


def one_layer(**parameters):
    return ImageClassifier("FCS", **{"epochs": 3, "random_state": 0, **parameters})


def test_folder_locked_by_another_process_raises(tmp_path):
    whole = one_layer().fit(X, Y)
    other = subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"waits\n"
        rest = tmp_path / f"{NAME}.abc.tmp"  # as if it were writing
        rest.write_bytes(b"half")
        with pytest.raises(
            RuntimeError, match=f"checkpoint_dir='.*' is in use by process {other.pid}"
        ):
            one_layer(checkpoint_dir=tmp_path).fit(X, Y)
        assert rest.exists()
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert len(saved(tmp_path)["history"]["loss"]) == 1
    assert_same(one_layer(checkpoint_dir=tmp_path).fit(X, Y), whole)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_folder_locked_by_another_thread_raises(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    class Waits(keras.callbacks.Callback):
        def __deepcopy__(self, memo):
            return self

        def on_epoch_begin(self, epoch, logs=None):
            begun.set()
            go_on.wait(60)

    first = one_layer(checkpoint_dir=tmp_path, callbacks=[Waits()])
    thread = threading.Thread(target=first.fit, args=(X, Y))
    thread.start()
    assert begun.wait(60)
    try:
        with pytest.raises(RuntimeError, match=f"another fit of this process, {os.getpid()}"):
            one_layer(checkpoint_dir=str(tmp_path)).fit(X, Y)
    finally:
        go_on.set()
        thread.join()
    assert_same(one_layer(checkpoint_dir=tmp_path).fit(X, Y), first)


def test_failed_fit_unlocks_the_folder(tmp_path):
    kept = []  # a traceback holds all that the fit had
    for y in (Y[:5], [0] * len(X)):
        with pytest.raises(ValueError, match=r"inconsistent|one class") as raised:
            one_layer(checkpoint_dir=tmp_path).fit(X, y)
        kept.append(raised)

    class Dies(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as interrupted:
        one_layer(checkpoint_dir=tmp_path, callbacks=[Dies()]).fit(X, Y)
    assert_same(one_layer(checkpoint_dir=tmp_path).fit(X, Y), one_layer().fit(X, Y))
    assert interrupted.traceback


@pytest.mark.parametrize("n_jobs", [1, *slow(2)])
def test_search_candidates_with_a_shared_folder_raise(tmp_path, n_jobs):
    search = GridSearchCV(
        one_layer(checkpoint_dir=tmp_path, epochs=1),
        {"batch_size": [32, 64]},
        cv=2,
        n_jobs=n_jobs,
        error_score="raise",
    )
    with pytest.raises(
        (RuntimeError, ValueError),
        match=r"is in use by|a training run with different .*another folder",
    ):
        search.fit(X, Y)
    assert {path.name for path in tmp_path.iterdir()} <= {NAME}


def test_warm_start_does_not_resume_the_first_fit(tmp_path):
    once = net(epochs=1, warm_start=True).fit(X, Y)
    twice = net(epochs=1, warm_start=True).fit(X, Y).fit(X, Y)
    once.set_params(checkpoint_dir=tmp_path).fit(X, Y)
    assert_same(once, twice)
    with pytest.raises(ValueError, match="different weights to start from"):
        once.fit(X, Y)


def test_diverged_training_is_not_repeated(tmp_path):
    parameters = {"optimizer": "sgd", "learning_rate": 1e30, "batch_norm": False}
    for _ in range(2):
        with pytest.warns(ConvergenceWarning, match="smaller learning_rate"):
            fitted = net(checkpoint_dir=tmp_path, **parameters).fit(X, Y)
        assert fitted.n_iter_ == 1
        assert np.isfinite(fitted.predict_proba(X)).all()


def test_damaged_checkpoint_raises(tmp_path):
    net(checkpoint_dir=tmp_path, epochs=1).fit(X, Y)
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[: len(content) // 2])
    with pytest.raises(LoadError, match=f"{NAME} cannot be loaded"):
        net(checkpoint_dir=tmp_path, epochs=1).fit(X, Y)


def test_folder_contains_only_the_checkpoint(tmp_path):
    rest = tmp_path / f"{NAME}.1.tmp"
    rest.write_bytes(b"half")
    net(checkpoint_dir=tmp_path, epochs=1).partial_fit(X, Y)
    assert list(tmp_path.iterdir()) == [rest]  # partial_fit has nothing to do with it
    net(checkpoint_dir=tmp_path, epochs=1).fit(X, Y)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


TRAINING = """
import os, pickle, random, select, signal, sys, time
from pathlib import Path
import keras
import numpy as np
from skcnn import ImageAugmenter, ImageClassifier, load_digit_images
from skcnn._files.archive import read
from skcnn._training.checkpoint import KIND, NAME

X, y = (data[:200] for data in load_digit_images(return_X_y=True))
EPOCHS = 12


class Tells(keras.callbacks.Callback):
    def __init__(self, pipe):
        super().__init__()
        self.pipe = pipe

    def on_epoch_begin(self, epoch, logs=None):
        os.write(self.pipe, bytes([epoch]))


def train(folder, pipe):
    # In a separate process: the parent forks and must not run TensorFlow.
    child = os.fork()
    if child == 0:
        code = 1
        try:
            net = ImageClassifier(
                "CONV-4 -> RELU -> DROPOUT-0.3 -> POOL -> FCS",
                epochs=EPOCHS,
                batch_size=32,
                augmentation=ImageAugmenter(width_shift_range=0.2, mixup=0.2),
                early_stopping=True,
                scoring="neg_log_loss",
                n_iter_no_change=EPOCHS,
                checkpoint_dir=folder,
                callbacks=[Tells(pipe)],
                random_state=0,
            ).fit(X, y, X_val=X, y_val=y)
            Path(folder, "result").write_bytes(pickle.dumps(net.model_.get_weights()))
            code = 0
        finally:
            os._exit(code)
    return child


def ended(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def result(folder):
    return pickle.loads(Path(folder, "result").read_bytes())


work, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(seed)
begun, pipe = os.pipe()
start = time.perf_counter()
assert os.waitpid(train(work / "whole", pipe), 0)[1] == 0
os.read(begun, 1000)
seconds = time.perf_counter() - start
expected = result(work / "whole")
survived, trainings = 0, 0
while survived < kills:
    folder = work / str(trainings)
    known = 0
    while True:
        child = train(folder, pipe)
        # At a random time during the start, or after the start of the first epoch.
        if draw.random() < 0.8:
            # A finished training run starts no epoch.
            while not (select.select([begun], [], [], 0.01)[0] or ended(child)):
                pass
        time.sleep(draw.random() * seconds * 0.6)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if select.select([begun], [], [], 0)[0]:
            # An epoch starts after all previous ones are saved.
            known = max(known, *os.read(begun, 1000))
        if os.WIFEXITED(status):
            assert status == 0
            break
        survived += 1
        if known or (folder / NAME).exists():
            content = read(folder / NAME, KIND, dict)
            assert len(content["history"].get("loss", [])) >= known, (content["history"], known)
        if survived >= kills:
            assert os.waitpid(train(folder, pipe), 0)[1] == 0
            break
    for one, other in zip(result(folder), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    trainings += 1
print(survived, trainings)
"""


@pytest.mark.parametrize("kills", [3, *slow(20)])
def test_kill_at_random_times_loses_no_finished_epoch(
    run_python, tmp_path, record_property, kills
):
    done = run_python(TRAINING, str(tmp_path), str(kills), "0")
    survived, trainings = map(int, done.stdout.split())
    assert survived == kills
    assert trainings >= 1
    record_property("kills survived", survived)
    record_property("trainings that then ended with the weights of one never killed", trainings)


# Mounts a small disk if permitted, else sets equivalent resource limits.
DISK = """
import contextlib, os, resource, signal, subprocess, sys
from pathlib import Path
import keras
import numpy as np
from skcnn import ImageClassifier, load_digit_images
from skcnn._files.archive import read
from skcnn._training.checkpoint import KIND, NAME

X, y = (data[:100] for data in load_digit_images(return_X_y=True))
disk = Path(sys.argv[1])
mounted = not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]).returncode


def spoil():
    if mode == "full" and mounted:
        with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    elif mode == "full":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    elif mounted:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    else:
        folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)


def repair():
    if mode == "full" and mounted:
        (disk / "filler").unlink()
    elif mode == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    elif mounted:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    else:
        if os.getuid() == 0:
            os.seteuid(0)
        folder.chmod(0o755)


class Spoils(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            spoil()


def net(**more):
    return ImageClassifier("FCS", optimizer="adam", epochs=4, random_state=0, **more)


expected = net().fit(X, y).predict_proba(X)
for mode in ("full", "read-only"):
    folder = disk / mode
    try:
        net(checkpoint_dir=folder, callbacks=[Spoils()]).fit(X, y)
        print("no error")
    except OSError as error:
        print(type(error).__name__, error)
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert len(read(folder / NAME, KIND, dict)["history"]["loss"]) == 2
    if mode == "read-only":
        try:
            net(checkpoint_dir=folder / "another").fit(X, y)
        except OSError as error:
            print(type(error).__name__, error)
    repair()
    again = net(checkpoint_dir=folder).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(again, expected)
"""


def test_full_disk_and_read_only_folder_keep_the_last_checkpoint(tmp_path):
    unshare = ["unshare", "--map-root-user", "--mount"]
    found = shutil.which("unshare") and not subprocess.run([*unshare, "true"]).returncode
    command = [*(unshare if found else []), sys.executable, "-c", DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    full, line, other = done.stdout.splitlines()
    assert f"{tmp_path}/full/{NAME} cannot be written: " in full
    assert "No space left on device" in full or "File too large" in full
    assert f"{tmp_path}/read-only/{NAME} cannot be written: " in line
    assert f"checkpoint_dir='{tmp_path}/read-only/another' cannot be written: " in other
    for text in (line, other):
        assert "Read-only file system" in text or "Permission denied" in text
