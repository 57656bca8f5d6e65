"""Trainings that are broken off, in every way a process can die, and go on."""

import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skcnn import (
    ImageAugmenter,
    ImageClassifier,
    LoadError,
    Seq2SeqRNN,
    load_digit_images,
    load_image_folder,
    make_arithmetic,
)
from skcnn._archive import read
from skcnn._checkpoint import KIND, NAME

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
    """Let an exception out of the middle of an epoch."""

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
        {"learning_rate_schedule": "constant", "optimizer": "sgd", "optimizer__momentum": 0.9},
        {"learning_rate_schedule": keras.optimizers.schedules.CosineDecay(0.01, 20)},
        {"early_stopping": True, "n_iter_no_change": 2, "epochs": 12, "validation_fraction": 0.3},
        {"augmentation": ImageAugmenter(horizontal_flip=True, mixup=0.2), "epochs": 4},
        {"class_weight": "balanced", "label_smoothing": 0.1, "weight_decay": 0.1, "epochs": 4},
    ],
)
def test_a_training_goes_on_bit_for_bit(tmp_path, parameters):
    whole = net(**parameters).fit(X, Y)
    for epoch in (1, 2):
        broken_off(lambda **more: net(**parameters, **more), X, Y, tmp_path, epoch)
        assert len(saved(tmp_path)["history"]["loss"]) == epoch
    counts = CountsEpochs()
    again = net(**parameters, checkpoint_dir=tmp_path, callbacks=[counts]).fit(X, Y)
    assert again.callbacks_[0].epochs == whole.n_iter_ - 2
    assert_same(again, whole)


def test_strings_go_on_too(tmp_path):
    def make(**more):
        return Seq2SeqRNN(hidden_size=8, epochs=4, random_state=0, batch_size=16, **more)

    whole = make().fit(QUESTIONS, ANSWERS)
    broken_off(make, QUESTIONS, ANSWERS, tmp_path, 2)
    assert_same(make(checkpoint_dir=str(tmp_path)).fit(QUESTIONS, ANSWERS), whole)


def test_a_training_without_a_seed_goes_on_with_the_one_it_drew(tmp_path):
    broken_off(lambda **more: net(random_state=None, **more), X, Y, tmp_path, 3)
    before = saved(tmp_path)
    again = net(random_state=None, checkpoint_dir=tmp_path).fit(X, Y)
    assert again.history_["loss"][:3] == before["history"]["loss"]
    assert_same(again, net(random_state=before["seed"]).fit(X, Y))


def test_an_equal_optimizer_is_the_same(tmp_path):
    for _ in range(2):
        optimizer = keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 20))
        settings = {"epochs": 1, "learning_rate_schedule": "constant", "checkpoint_dir": tmp_path}
        net(optimizer=optimizer, **settings).fit(X, Y)
    with pytest.raises(ValueError, match="other optimizer"):
        net(optimizer=keras.optimizers.SGD(0.1), **settings).fit(X, Y)


def test_a_finished_training_is_not_repeated(tmp_path):
    parameters = {"early_stopping": True, "n_iter_no_change": 2, "epochs": 12}
    whole = net(**parameters, checkpoint_dir=tmp_path).fit(X, Y)
    again = net(**parameters, checkpoint_dir=tmp_path, callbacks=[CountsEpochs()]).fit(X, Y)
    assert again.callbacks_[0].epochs == 0
    assert_same(again, whole)


def test_a_training_goes_on_for_other_predictions(tmp_path):
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
        ({"validation_data": (X[:9], Y[:9])}, "validation_data"),
    ],
)
def test_another_training_is_refused(tmp_path, change, named):
    net(checkpoint_dir=tmp_path, epochs=2).fit(X, Y)
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(
        ValueError, match=rf"checkpoint_dir='.*' holds a training with other .*{named}"
    ):
        net(checkpoint_dir=tmp_path, **{"epochs": 2, **change}).fit(X, Y)
    assert (tmp_path / NAME).read_bytes() == before


def test_other_data_is_refused(tmp_path):
    net(checkpoint_dir=tmp_path, epochs=1).fit(X, Y)
    for arguments, named in [
        ((X[::-1], Y), "X"),
        ((X, Y[::-1]), "y"),
        ((X, Y, np.ones(len(X))), "sample_weight"),
    ]:
        with pytest.raises(ValueError, match=f"a training with other {named}. Give"):
            net(checkpoint_dir=tmp_path, epochs=1).fit(*arguments)
    with pytest.raises(ValueError, match="other estimator"):
        OneLayer(checkpoint_dir=tmp_path, epochs=1).fit(X, Y)
    mapped = np.memmap(tmp_path / "X", dtype=X.dtype, mode="w+", shape=X.shape)
    mapped[:] = X
    net(checkpoint_dir=tmp_path, epochs=1).fit(mapped, Y)  # the same values


class OneLayer(ImageClassifier):
    """One layer."""

    architecture = "FCS"


def test_changed_files_are_other_data(tmp_path):
    from PIL import Image

    for number, image in enumerate(X[:20]):
        folder = tmp_path / "images" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).save(folder / f"{number}.png")
    images = load_image_folder(tmp_path / "images")
    folder = tmp_path / "checkpoint"
    net(checkpoint_dir=folder, epochs=1).fit(images.data, images.target)
    net(checkpoint_dir=folder, epochs=1).fit(images.data, images.target)
    shutil.copy(images.data[1], images.data[0])
    with pytest.raises(ValueError, match="other X"):
        net(checkpoint_dir=folder, epochs=1).fit(images.data, images.target)


def test_a_warm_start_is_a_training_of_its_own(tmp_path):
    once = net(epochs=1, warm_start=True).fit(X, Y)
    twice = net(epochs=1, warm_start=True).fit(X, Y).fit(X, Y)
    once.set_params(checkpoint_dir=tmp_path).fit(X, Y)
    assert_same(once, twice)
    with pytest.raises(ValueError, match="other weights to start from"):
        once.fit(X, Y)


def test_a_diverged_training_is_remembered(tmp_path):
    parameters = {"optimizer": "sgd", "learning_rate": 1e30, "batch_norm": False}
    for _ in range(2):
        with pytest.warns(ConvergenceWarning, match="smaller learning_rate"):
            fitted = net(checkpoint_dir=tmp_path, **parameters).fit(X, Y)
        assert fitted.n_iter_ == 1
        assert np.isfinite(fitted.predict_proba(X)).all()


def test_a_damaged_checkpoint_is_an_error_that_names_it(tmp_path):
    net(checkpoint_dir=tmp_path, epochs=1).fit(X, Y)
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[: len(content) // 2])
    with pytest.raises(LoadError, match=f"{NAME} cannot be loaded"):
        net(checkpoint_dir=tmp_path, epochs=1).fit(X, Y)


def test_only_the_checkpoint_stays(tmp_path):
    rest = tmp_path / f"{NAME}.1.tmp"
    rest.write_bytes(b"half")
    net(checkpoint_dir=tmp_path, epochs=1).partial_fit(X, Y)
    assert list(tmp_path.iterdir()) == [rest]  # partial_fit has nothing to do with it
    net(checkpoint_dir=tmp_path, epochs=1).fit(X, Y)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


KILLS = 20
TRAINING = """
import os, pickle, random, select, signal, sys, time
from pathlib import Path
import keras
import numpy as np
from skcnn import ImageAugmenter, ImageClassifier, load_digit_images
from skcnn._archive import read
from skcnn._checkpoint import KIND, NAME

X, y = (data[:200] for data in load_digit_images(return_X_y=True))
EPOCHS = 12


class Tells(keras.callbacks.Callback):
    def __init__(self, pipe):
        super().__init__()
        self.pipe = pipe

    def on_epoch_begin(self, epoch, logs=None):
        os.write(self.pipe, bytes([epoch]))


def train(folder, pipe):
    # In a process of its own: the parent only forks, it runs no TensorFlow.
    child = os.fork()
    if child == 0:
        code = 1
        try:
            net = ImageClassifier(
                "CONV-4 -> RELU -> DROPOUT-0.3 -> POOL -> FCS",
                epochs=EPOCHS,
                batch_size=32,
                augmentation=ImageAugmenter(width_shift_range=0.2, mixup=0.2),
                validation_data=(X, y),
                early_stopping=True,
                n_iter_no_change=EPOCHS,
                checkpoint_dir=folder,
                callbacks=[Tells(pipe)],
                random_state=0,
            ).fit(X, y)
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
        # At a random moment of a start, or after the first epoch has begun.
        if draw.random() < 0.8:
            # A training whose last epoch was saved begins none.
            while not (select.select([begun], [], [], 0.01)[0] or ended(child)):
                pass
        time.sleep(draw.random() * seconds * 0.6)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if select.select([begun], [], [], 0)[0]:
            # An epoch begins when all before it are safe.
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


def test_kill_9_at_random_moments_loses_no_finished_epoch(run_python, tmp_path, record_property):
    done = run_python(TRAINING, str(tmp_path), str(KILLS), "0")
    survived, trainings = map(int, done.stdout.split())
    assert survived == KILLS
    assert trainings >= 1
    record_property("kills survived", survived)
    record_property("trainings that then ended with the weights of one never killed", trainings)


# Runs where it may mount a disk of its own, else with limits that act alike.
DISK = """
import contextlib, os, resource, signal, subprocess, sys
from pathlib import Path
import keras
import numpy as np
from skcnn import ImageClassifier, load_digit_images
from skcnn._archive import read
from skcnn._checkpoint import KIND, NAME

X, y = (data[:100] for data in load_digit_images(return_X_y=True))
mode, disk = sys.argv[1], Path(sys.argv[2])
mounted = not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]).returncode
folder = disk / "checkpoint"


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
    return ImageClassifier("CONV-4 -> RELU -> POOL -> FCS", epochs=4, random_state=0, **more)


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
np.testing.assert_array_equal(
    net(checkpoint_dir=folder).fit(X, y).predict_proba(X), net().fit(X, y).predict_proba(X)
)
"""


def on_a_disk_of_its_own(mode, folder):
    unshare = ["unshare", "--map-root-user", "--mount"]
    found = shutil.which("unshare") and not subprocess.run([*unshare, "true"]).returncode
    command = [*(unshare if found else []), sys.executable, "-c", DISK, mode, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_full_disk_is_an_error_that_leaves_the_last_checkpoint(tmp_path):
    (line,) = on_a_disk_of_its_own("full", tmp_path)
    assert f"{tmp_path}/checkpoint/{NAME} cannot be written: " in line
    assert "No space left on device" in line or "File too large" in line


def test_a_read_only_folder_is_an_error_that_leaves_the_last_checkpoint(tmp_path):
    line, other = on_a_disk_of_its_own("read-only", tmp_path)
    assert f"{tmp_path}/checkpoint/{NAME} cannot be written: " in line
    assert f"checkpoint_dir='{tmp_path}/checkpoint/another' cannot be written: " in other
    for text in (line, other):
        assert "Read-only file system" in text or "Permission denied" in text
