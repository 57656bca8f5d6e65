"""Malformed calls of every estimator raise an error that names the argument and the problem.

Each row has what is called, the error, and what the message must have: the name of the argument,
what came and what is expected.
"""

import copy
import functools
import re

import keras
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import NotFittedError

import skcnn
from skcnn import (
    CharacterTable,
    FeedForward,
    ImageAugmenter,
    ImageClassifier,
    MiniCNN,
    SampleGenerator,
    Seq2SeqRNN,
    StackedCNN,
    VGGLite,
    load_digit_images,
    load_image_folder,
    make_arithmetic,
)

X, Y = (data[:60] for data in load_digit_images(return_X_y=True))
ROWS = X.reshape(len(X), -1)
QUESTIONS, ANSWERS = make_arithmetic(55, operation="+", n_digits=1, random_state=0)


def net(**parameters):
    return ImageClassifier(**{"architecture": "CONV-2 -> RELU -> FCS", "epochs": 1, **parameters})


def seq(**parameters):
    return Seq2SeqRNN(**{"hidden_size": 4, "epochs": 1, **parameters})


@functools.cache
def fitted():
    return net(random_state=0).fit(X, Y)


@functools.cache
def warm():
    return copy.deepcopy(fitted()).set_params(warm_start=True)


@functools.cache
def reader():
    return seq(decoder="repeat", random_state=0).fit(QUESTIONS, ANSWERS)


TABLE = CharacterTable().fit(QUESTIONS)


VALIDATION = ("X_val", "y_val", "sample_weight_val", "groups")


def fit(X=X, y=Y, sample_weight=None, **parameters):
    given = {name: parameters.pop(name) for name in VALIDATION if name in parameters}
    return lambda folder: net(**parameters).fit(X, y, sample_weight, **given)


def read(X=QUESTIONS, y=ANSWERS, sample_weight=None, **parameters):
    return lambda folder: seq(**parameters).fit(X, y, sample_weight)


def wrong(name, values, places, value):
    values = np.array(values, dtype=float)
    values.flat[places] = value
    return fit(**{name: values})


BAD = {
    # types, shapes, dtypes and values of X
    "X None": (fit(X=None), ValueError, ["X", "images", "got None"]),
    "X scalar": (fit(X=3.0), (ValueError, TypeError), ["scalar|float|0 dim|dimensions"]),
    "X 1-D": (fit(X=np.arange(60.0)), ValueError, ["1D array", "2D array"]),
    "X 5-D": (fit(X=X[..., None, None]), ValueError, ["X", "2, 3 or 4 dimensions", "got 5"]),
    "X empty": (fit(X=X[:0], y=Y[:0]), ValueError, ["0 sample", "minimum of 1"]),
    "X no features": (fit(X=ROWS[:, :0]), ValueError, ["0 feature", "minimum of 1"]),
    "X no pixels": (fit(X=X[:, :, :0]), ValueError, ["X", "without pixels", r"\(8, 0, 1\)"]),
    "X NaN": (wrong("X", X, 7, np.nan), ValueError, ["X", "NaN"]),
    "X infinite": (wrong("X", X, 7, np.inf), ValueError, ["X", "infinity"]),
    "X too large": (wrong("X", X, 7, 1e300), ValueError, ["X", "too large", "float32"]),
    "X complex": (fit(X=X + 1j), ValueError, ["[Cc]omplex"]),
    "X words": (fit(X=np.full((60, 2), "a")), ValueError, ["convert string to float|str"]),
    "X objects": (fit(X=np.full((60, 2), {})), (TypeError, ValueError), ["dict"]),
    "X ragged": (fit(X=[[1.0, 2.0], [3.0]], y=[0, 1]), ValueError, ["inhomogeneous|shape"]),
    "X sparse": (fit(X=csr_array(ROWS)), ValueError, ["X", "sparse", r"toarray\(\)"]),
    "X a mixed list": (fit(X=["a.png", 3.0], y=[0, 1]), ValueError, ["X", "row 1", "float"]),
    "X missing files": (fit(X=["a.png", "b.png"], y=[0, 1]), ValueError, ["a.png", "no such file"]),
    "X and y of two lengths": (fit(y=Y[:-1]), ValueError, ["inconsistent", "60", "59"]),
    # labels
    "y None": (fit(y=None), ValueError, ["y", "None"]),
    "y continuous": (fit(y=Y + 0.5), ValueError, ["continuous", "classifier"]),
    "y NaN": (wrong("y", Y, 3, np.nan), ValueError, ["y", "NaN"]),
    "y 2-D": (fit(y=np.stack([Y, Y], axis=1)), ValueError, ["y", r"1d array|\(60, 2\)"]),
    "y of one class": (fit(y=np.zeros(60)), ValueError, ["y", "one class", "two classes"]),
    "y of mixed types": (fit(y=np.array([1, "a"] * 30, dtype=object)), ValueError, ["Unknown label type", "classifier"]),
    # weights
    "weights NaN": (wrong("sample_weight", np.ones(60), 3, np.nan), ValueError, ["weight", "NaN"]),
    "weights negative": (wrong("sample_weight", np.ones(60), 3, -1), ValueError, ["[Nn]egative", "sample_weight"]),
    "weights too few": (fit(sample_weight=np.ones(59)), ValueError, ["sample_weight", r"\(59,\)", r"\(60,\)"]),
    "weights 2-D": (fit(sample_weight=np.ones((60, 2))), ValueError, ["[Ss]ample weights", "1D"]),
    "weights words": (fit(sample_weight=["a"] * 60), ValueError, ["convert string|could not convert"]),
    "weights of one class": (fit(sample_weight=(Y == 3) * 1.0), ValueError, ["sample_weight", "two"]),
    "weights all zero": (fit(sample_weight=np.zeros(60)), ValueError, ["[Ss]ample weights", "non-zero"]),
    "weights overflow": (fit(sample_weight=np.full(60, 1e308)), ValueError, ["sample_weight=1e[+]308", "float32"]),
    "weights apart": (wrong("sample_weight", np.ones(60), 3, 1e300), ValueError, ["sample_weight=1[.]{3}1e[+]300", "float32"]),
    "weights vanish": (wrong("sample_weight", np.ones(60), 3, 1e-320), ValueError, ["sample_weight=1e-320[.]{3}1", "float32"]),
    "class weights apart": (fit(class_weight={0: 1e300}), ValueError, ["class_weight=1[.]{3}1e[+]300", "float32"]),
    "weights overflow together": (fit(class_weight=dict.fromkeys(range(10), 1e200), sample_weight=np.full(60, 1e200)), ValueError, ["class_weight=1e[+]200", "sample_weight=1e[+]200"]),
    "weights vanish together": (fit(class_weight=dict.fromkeys(range(10), 1e-200), sample_weight=np.full(60, 1e-200)), ValueError, ["class_weight=1e-200", "sample_weight=1e-200"]),
    "class weights unknown": (fit(class_weight={77: 2.0}), ValueError, ["class_weight", "77", "none of the classes"]),
    "class weights word": (fit(class_weight="heavy"), ValueError, ["class_weight", "heavy", "balanced"]),
    # parameters
    "epochs": (fit(epochs=0), ValueError, ["epochs", r"\[1, inf\)", "Got 0"]),
    "batch_size": (fit(batch_size=2.5), ValueError, ["batch_size", "int", "Got 2.5"]),
    "optimizer": (fit(optimizer="adamm"), ValueError, ["optimizer", "'adam'", "adamm"]),
    "optimizer class": (fit(optimizer=dict), TypeError, ["optimizer", "keras.optimizers", "dict"]),
    "optimizer routed": (fit(optimizer__rho=0.9), ValueError, ["optimizer__rho", "Muon", "adam_beta_1"]),
    "learning_rate": (fit(learning_rate=-0.1), ValueError, ["learning_rate", r"\(0.0, inf\)", "-0.1"]),
    "learning_rate NaN": (fit(learning_rate=np.nan), ValueError, ["learning_rate", "nan"]),
    "learning_rate twice": (fit(learning_rate=0.1, optimizer__learning_rate=0.2), ValueError, ["learning_rate", "not both", "0.1", "0.2"]),
    "schedule": (fit(learning_rate_schedule="linear"), ValueError, ["learning_rate_schedule", "one_cycle", "linear"]),
    "schedule twice": (fit(optimizer=keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9))), ValueError, ["optimizer", "learning_rate_schedule='one_cycle'", "'constant'"]),
    "weight_decay": (fit(weight_decay=-1), ValueError, ["weight_decay", "Got -1"]),
    "weight_decay overflows": (fit(weight_decay=1e300), ValueError, ["^weight_decay=1e[+]300", "float32", "1.8e[+]19"]),
    "weight_decay overflows in float32": (fit(weight_decay=1e38), ValueError, ["^weight_decay=1e[+]38", "float32"]),
    "weight_decay vanishes": (fit(weight_decay=1e-320), ValueError, ["^weight_decay=1e-320", "float32", "1.2e-38"]),
    "learning_rate overflows": (fit(learning_rate=1e300), ValueError, ["^learning_rate=1e[+]300", "float32"]),
    "learning_rate vanishes": (fit(learning_rate=1e-320), ValueError, ["^learning_rate=1e-320", "float32"]),
    "learning_rate routed overflows": (fit(optimizer="adam", optimizer__learning_rate=1e300), ValueError, ["^optimizer__learning_rate=1e[+]300"]),
    "learning_rate of an optimizer overflows": (fit(optimizer=keras.optimizers.SGD(1e300), learning_rate_schedule="constant"), ValueError, ["^optimizer__learning_rate=inf"]),
    "weight_decay of strings": (read(weight_decay=1e300), ValueError, ["^weight_decay=1e[+]300"]),
    "weights of strings": (lambda folder: seq().fit(QUESTIONS, ANSWERS, sample_weight=np.full(55, 1e308)), ValueError, ["sample_weight=1e[+]308"]),
    "label_smoothing": (fit(label_smoothing=1.5), ValueError, ["label_smoothing", r"\[0.0, 1.0\)", "1.5"]),
    "validation_fraction": (fit(early_stopping=True, validation_fraction=1.0), ValueError, ["validation_fraction", r"\(0.0, 1.0\)"]),
    "validation_fraction too small": (fit(early_stopping=True, validation_fraction=0.01), ValueError, ["early_stopping", "validation_fraction=0.01", "60 samples"]),
    "X_val alone": (fit(X_val=X), ValueError, ["X_val is given", "y_val is None"]),
    "y_val alone": (fit(y_val=Y), ValueError, ["y_val is given", "X_val is None"]),
    "sample_weight_val alone": (fit(sample_weight_val=np.ones(60)), ValueError, ["sample_weight_val is given", "X_val is None"]),
    "X_val of another shape": (fit(X_val=X[:, 1:], y_val=Y), ValueError, ["^X_val", r"\(7, 8, 1\)", r"\(8, 8, 1\)"]),
    "X_val NaN": (fit(X_val=X * np.nan, y_val=Y), ValueError, ["X_val", "NaN"]),
    "X_val of missing files": (fit(X_val=["a.png"], y_val=[0]), ValueError, ["X_val", "a.png", "no such file"]),
    "y_val of other labels": (fit(X_val=X, y_val=Y + 50), ValueError, ["^y_val", "classes", "59|5[0-9]"]),
    "X_val and y_val of two lengths": (fit(X_val=X, y_val=Y[:-1]), ValueError, ["X_val and y_val", "60", "59"]),
    "sample_weight_val too few": (fit(X_val=X, y_val=Y, sample_weight_val=np.ones(59)), ValueError, ["^sample_weight_val", r"\(59,\)", r"\(60,\)"]),
    "sample_weight_val negative": (fit(X_val=X, y_val=Y, sample_weight_val=-np.ones(60)), ValueError, ["^sample_weight_val", "[Nn]egative"]),
    "groups beside X_val": (fit(early_stopping=True, groups=Y, X_val=X, y_val=Y), ValueError, ["groups has no effect", "X_val"]),
    "groups without a hold-out": (fit(groups=Y), ValueError, ["groups has no effect", "early_stopping=False"]),
    "groups too few": (fit(early_stopping=True, groups=Y[:-1]), ValueError, ["groups", "60 samples", r"\(59,\)"]),
    "groups 2-D": (fit(early_stopping=True, groups=ROWS), ValueError, ["groups", r"\(60, 64\)"]),
    "groups NaN": (fit(early_stopping=True, groups=np.where(Y > 4, np.nan, Y)), ValueError, ["groups has the group nan", "row"]),
    "groups None": (fit(early_stopping=True, groups=[None, *Y[1:]]), ValueError, ["groups has the group None in row 0"]),
    "groups of mixed types": (fit(early_stopping=True, groups=["a", *Y[1:]]), TypeError, ["groups must have values of one type, got int64 and str"]),
    "one group": (fit(early_stopping=True, groups=np.zeros(60)), ValueError, ["groups has only one group", "early_stopping=True", "at least two"]),
    "one group with weights": (fit(early_stopping=True, groups=Y > 4, sample_weight=(Y > 4) * 1.0), ValueError, ["groups has only one group"]),
    "groups that leave one class": (fit(early_stopping=True, validation_fraction=0.9, groups=Y), ValueError, ["groups", "fewer than two classes"]),
    "validation_fraction of groups": (fit(early_stopping=True, validation_fraction=0.95, groups=Y), ValueError, ["validation_fraction=0.95", "10 groups"]),
    "scoring unknown": (fit(early_stopping=True, scoring="accurracy"), ValueError, ["scoring", "'accuracy'", "accurracy"]),
    "scoring without samples": (fit(scoring="f1_macro"), ValueError, ["scoring='f1_macro' has no effect", "X_val", "early_stopping=True"]),
    "n_iter_no_change": (fit(n_iter_no_change=0), ValueError, ["n_iter_no_change", "Got 0"]),
    "callbacks": (fit(callbacks="print"), ValueError, ["callbacks", "'print'"]),
    "random_state": (fit(random_state="seed"), ValueError, ["random_state", "seed"]),
    "random_state negative": (fit(random_state=-1), ValueError, ["random_state", "-1"]),
    "verbose": (fit(verbose="loud"), ValueError, ["verbose", "loud"]),
    "checkpoint_dir": (fit(checkpoint_dir=3), ValueError, ["checkpoint_dir", "str", "Got 3"]),
    "checkpoint_dir a file": (lambda folder: net(checkpoint_dir=__file__).fit(X, Y), OSError, ["checkpoint_dir", "test_bad_input.py", "exists"]),
    "batch_norm": (fit(batch_norm="yes"), ValueError, ["batch_norm", "bool", "yes"]),
    "augmentation": (fit(augmentation="flip"), ValueError, ["augmentation", "ImageAugmenter", "flip"]),
    "augmentation class": (fit(augmentation=ImageAugmenter), ValueError, ["augmentation", "ImageAugmenter"]),
    "augmentation setting": (fit(augmentation=ImageAugmenter(cutout=2)), ValueError, ["cutout", r"\[0.0, 1.0\)", "Got 2"]),
    "augmentation without one": (lambda folder: net().set_params(augmentation__cutout=0.2), ValueError, ["augmentation__cutout", "None", "Set it first"]),
    "input_shape": (fit(X=ROWS, input_shape=(3, 3)), ValueError, ["input_shape", "9 features", "64"]),
    "input_shape of truth values": (
        fit(X=ROWS, input_shape=(64, True)),
        ValueError,
        ["input_shape", "positive integers", "True"],
    ),
    "input_shape of words": (fit(X=ROWS, input_shape=("8", "8")), ValueError, ["input_shape", "positive integers", "'8'"]),
    "image_size": (fit(image_size=(9, -9)), ValueError, ["image_size", "positive", "-9"]),
    "resize": (fit(image_size=9, resize="zoom"), ValueError, ["resize", "crop", "zoom"]),
    "resize without a size": (fit(resize="pad"), ValueError, ["resize='pad'", "image_size=None"]),
    "unknown parameter": (lambda folder: MiniCNN(epoch=3), TypeError, ["epoch"]),
    "dropout of a preset": (lambda folder: FeedForward(epochs=1).fit(X, Y, batch_size=3), TypeError, ["batch_size"]),
    "fixed parameter": (lambda folder: VGGLite(architecture="FCS"), TypeError, ["architecture"]),
    "unknown parameter set": (lambda folder: StackedCNN().set_params(epoch=3), ValueError, ["epoch", "Valid parameters"]),
    # notation
    "notation empty": (fit(architecture=""), ValueError, ["architecture", "expected a layer", r"\^"]),
    "notation unknown": (fit(architecture="CONF-8 -> FCS"), ValueError, ["architecture", "CONF", "did you mean CONV-m", r"\^"]),
    "notation without FCS": (fit(architecture="CONV-8"), ValueError, ["architecture", "expected '-> FCS'", r"\^"]),
    "notation zero": (fit(architecture="CONV-0 -> FCS"), ValueError, ["architecture", "from 1 to", r"\^"]),
    "notation rate": (fit(architecture="DROPOUT-1 -> FCS"), ValueError, ["architecture", r"dropout rate in \[0, 1\)"]),
    "notation bracket": (fit(architecture="[CONV-8 -> FCS"), ValueError, ["architecture", "'->' or ']'"]),
    "notation order": (fit(architecture="FC-8 -> CONV-8 -> FCS"), ValueError, ["architecture", "CONV-8 needs an image"]),
    "notation huge": (fit(architecture="[[CONV-1]*999]*999 -> FCS"), ValueError, ["architecture", "more than 1000 layers"]),
    "notation no text": (fit(architecture=["FCS"]), ValueError, ["architecture", "str", "FCS"]),
    "notation of many parameters": (fit(architecture="FC-100000 -> FC-100000 -> FCS"), ValueError, ["architecture", "10,00[0-9,]+ parameters", "at most 268,435,456"]),
    "notation of many layers": (fit(architecture="[RELU]*990 -> FCS"), ValueError, ["architecture", "99[0-9] layers", "at most 500"]),
    # prediction
    "predict before fit": (lambda folder: net().predict(X), NotFittedError, ["ImageClassifier", "not fitted"]),
    "transform before fit": (lambda folder: net().transform(X), NotFittedError, ["not fitted"]),
    "summary before fit": (lambda folder: net().summary(), NotFittedError, ["not fitted"]),
    "export before fit": (lambda folder: net().export(folder / "a"), NotFittedError, ["not fitted"]),
    "predict other images": (lambda folder: fitted().predict(X[:, 1:]), ValueError, [r"\(7, 8, 1\)", "expecting images", r"\(8, 8, 1\)"]),
    "predict other channels": (lambda folder: fitted().predict(np.stack([X] * 3, axis=-1)), ValueError, [r"\(8, 8, 3\)", r"\(8, 8, 1\)"]),
    "predict other rows": (lambda folder: fitted().predict(ROWS[:, 1:]), ValueError, ["63 features", "64 features"]),
    "predict NaN": (lambda folder: fitted().predict_proba(X * np.nan), ValueError, ["X", "NaN"]),
    "predict one image": (lambda folder: fitted().predict(X[0]), ValueError, ["8 features", "64"]),
    "partial_fit other classes": (lambda folder: net().partial_fit(X, Y, classes=[0, 1]), ValueError, ["y has labels", "not among the classes"]),
    "warm start other labels": (lambda folder: warm().fit(X, Y + 50), ValueError, ["y has labels", "not among the classes", "5[0-9]"]),
    # strings
    "strings of numbers": (read(X=np.arange(55)), ValueError, ["X", "str", "row 0", "int"]),
    "strings with a None": (read(X=["1", None], y=["2", "3"]), ValueError, ["X", "row 1", "NoneType"]),
    "strings 2-D": (read(X=QUESTIONS[:, None]), ValueError, ["X", r"\(55, 1\)", "1D"]),
    "one string": (read(X="1+1"), ValueError, ["X", "1-D array of str", "'1\\+1'"]),
    "strings of bytes": (read(X=[b"1+1"], y=["2"]), ValueError, ["X", "bytes", "row 0"]),
    "no strings": (read(X=[], y=[]), ValueError, ["0 sample", "X"]),
    "strings with NUL": (read(X=["a\0b", "c"], y=["1", "2"]), ValueError, ["X", "NUL", "row 0"]),
    "answers of numbers": (read(y=np.arange(55)), ValueError, ["y", "str", "row 0", "int"]),
    "answers missing": (read(y=None), ValueError, ["y", "None"]),
    "answers too few": (read(y=ANSWERS[:-1]), ValueError, ["inconsistent", "55", "54"]),
    "string too long": (lambda folder: reader().predict(["1+1111"]), ValueError, ["X", "6 characters", "row 0", "at most 3"]),
    "string unknown": (lambda folder: reader().predict(["1+1", "1x1"]), ValueError, ["X", "unknown character 'x'", "position 1", "row 1"]),
    "strings before fit": (lambda folder: seq().predict(["1+1"]), NotFittedError, ["Seq2SeqRNN", "not fitted"]),
    "cell": (read(cell="lstn"), ValueError, ["cell", "'lstm'", "lstn"]),
    "decoder": (read(decoder="none"), ValueError, ["decoder", "'attention'", "none"]),
    "hidden_size": (read(hidden_size=0), ValueError, ["hidden_size", "Got 0"]),
    "hidden_size without end": (read(hidden_size=10**9, n_layers=10**6), ValueError, ["hidden_size=1000000000", "n_layers=1000000", "parameters; at most"]),
    "show_samples": (read(show_samples=3), ValueError, ["show_samples=3", "X_val"]),
    "classes of strings": (lambda folder: seq().partial_fit(QUESTIONS, ANSWERS, classes=["1"]), ValueError, ["classes", "must be None"]),
    "table length": (lambda folder: CharacterTable(length=2).fit(["123"]), ValueError, ["X", "3 characters", "at most 2"]),
    "table characters": (lambda folder: CharacterTable(characters="12").fit(["13"]), ValueError, ["X", "unknown character '3'"]),
    "table before fit": (lambda folder: CharacterTable().transform(["1"]), NotFittedError, ["CharacterTable"]),
    "table shape": (lambda folder: TABLE.inverse_transform(np.zeros((2, 3))), ValueError, ["X", "shape", r"\(2, 3\)"]),
    # batches, data and files
    "augment vectors": (lambda folder: ImageAugmenter().transform(ROWS), ValueError, ["X", "images of shape", r"\(60, 64\)"]),
    "augment by too much": (lambda folder: ImageAugmenter(rotation_range=500).transform(X), ValueError, ["rotation_range", "500"]),
    "augment by a seed": (lambda folder: ImageAugmenter().transform(X, random_state=-1), ValueError, ["random_state", "-1"]),
    "batches of two lengths": (lambda folder: SampleGenerator(X, Y[:-1], batch_size=2), ValueError, ["inconsistent", "59"]),
    "batches of no size": (lambda folder: SampleGenerator(X, Y, batch_size=0), ValueError, ["batch_size", "Got 0"]),
    "batches of vectors augmented": (lambda folder: SampleGenerator(ROWS, Y, batch_size=2, augmentation=ImageAugmenter(cutout=0.1)), ValueError, ["X", "height, width", r"\(60, 64\)"]),
    "questions": (lambda folder: make_arithmetic(10**9), ValueError, ["n_samples", "1000000000"]),
    "operation": (lambda folder: make_arithmetic(operation="/"), ValueError, ["operation", "'/'"]),
    "folder missing": (lambda folder: load_image_folder(folder / "none"), (ValueError, OSError), ["none"]),
    "folder empty": (lambda folder: load_image_folder(folder), ValueError, ["folder|directory"]),
    "file missing": (lambda folder: skcnn.load(folder / "none.skcnn"), OSError, ["none.skcnn", "No such file"]),
    "export format": (lambda folder: fitted().export(folder / "a", "pdf"), ValueError, ["format", "onnx", "'pdf'"]),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "parts"), BAD.values(), ids=BAD)
def test_malformed_calls_raise_before_tensorflow_is_called(
    monkeypatch, tmp_path, call, error, parts
):
    def runs(*arguments, **options):
        raise AssertionError("a network runs")

    warm(), reader()  # which must not be refused
    monkeypatch.setattr(keras.Model, "fit", runs)
    monkeypatch.setattr("skcnn._fitted.forward", runs)
    with pytest.raises(error) as caught:
        call(tmp_path)
    message = str(caught.value)
    assert [part for part in parts if not re.search(part, message)] == [], message


def test_the_table_has_at_least_60_calls():
    assert len(BAD) >= 60
