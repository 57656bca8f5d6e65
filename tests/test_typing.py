"""Public classes as seen by type checkers and editors."""

import inspect
import subprocess
import sys
import typing
from importlib.resources import files
from pathlib import Path

import keras
import pytest
from sklearn.base import BaseEstimator

import skcnn
from skcnn._parameters import ROUTES, OptimizerParameters
from skcnn._training.optimizers import OPTIMIZERS
from skcnn.base import KerasEstimator

PUBLIC = [getattr(skcnn, name) for name in skcnn.__all__]
WITH_PARAMETERS = [
    cls for cls in PUBLIC if inspect.isclass(cls) and issubclass(cls, BaseEstimator)
]
ESTIMATORS = [cls for cls in WITH_PARAMETERS if issubclass(cls, KerasEstimator)]
PRESETS = ["FeedForward", "MiniCNN", "SpeedNet", "StackedCNN", "VGGLite"]
ARCHITECTURE = '"CONV-8 -> RELU -> FCS", '

# As for an installed package, errors in skcnn are not reported. Dependencies are skipped, most of
# which have no types, to save time.
CONFIGURATION = f"""
[mypy]
strict = True
mypy_path = {Path(skcnn.__file__).parents[1]}
[mypy-skcnn.*]
follow_imports = silent
[mypy-joblib.*,keras.*,scikeras.*,scipy.*,sklearn.*,tensorflow.*,tqdm.*]
ignore_missing_imports = True
follow_imports = skip
[mypy-matplotlib.*,PIL.*]
follow_imports = skip
"""

BEGINNING = """
from typing import Any, Literal, assert_type
import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV
import skcnn
from skcnn.base import KerasEstimator

Array = NDArray[Any]
X, y = skcnn.load_digit_images(return_X_y=True)
assert_type(X, Array)
skcnn.load_digit_images().data
skcnn.load_digit_images().target_names
some: dict[str, Any] = {}
"""

OF_ALL = """
def of_{name}() -> None:
    net = skcnn.{name}({first}epochs=3, batch_size=32, optimizer="sgd", learning_rate=None,
        checkpoint_dir="runs", optimizer__momentum=0.9, random_state=np.random.RandomState(0))
    skcnn.{name}({first}**some)
    assert_type(net.fit(X, y, sample_weight=None), skcnn.{name})
    assert_type(net.partial_fit(X, y), skcnn.{name})
    assert_type(net.set_params(epochs=4, callbacks__log__path="x"), skcnn.{name})
    assert_type(net.set_fit_request(sample_weight=True), skcnn.{name})
    assert_type(net.get_params(deep=False), dict[str, Any])
    assert_type(net.score(X, y), float)
    assert_type(net.epochs, int | Literal["auto"])
    assert_type(net.n_iter_, int)
    assert_type(net.best_iteration_, int)
    assert_type(net.precision_, str)
    assert_type(net.history_, dict[str, list[float]])
    net.model_.summary()
    net.save("net.skcnn")
    net.export("net.onnx", format="onnx")
    GridSearchCV(net, {{"epochs": [1, 2]}}).fit(X, y)
    skcnn.TrainingHistoryDisplay.from_estimator(net).plot().plot()
    skcnn.{name}({first}epochz=3)  # E: Unexpected keyword argument "epochz"
    skcnn.{name}({first}epochs="many")  # E: expected "int | Literal['auto']"
    skcnn.{name}({first}optimizer__momentun=0.9)  # E: argument "optimizer__momentun"
    net.fit(X, y).fti()  # E: has no attribute "fti"
    net.fit(X)  # E: Missing positional argument "y"
    net.epochz  # E: has no attribute "epochz"
"""

OF_IMAGES = """
    assert_type(net.predict(X), Array)
    assert_type(net.transform(X), Array)
    assert_type(net.fit_transform(X, y), Array)
    assert_type(net.set_output(transform="pandas"), skcnn.{name})
    assert_type(net.get_feature_names_out(), Array)
    assert_type(net.input_shape_, tuple[int, int, int])
    skcnn.{name}({first}augmentation=skcnn.ImageAugmenter(mixup=0.2), input_shape=(8, 8))
    skcnn.{name}({first}augmentation="mixup")  # E: incompatible type "str"
"""

OF_CLASSIFIERS = """
    skcnn.{name}({first}label_smoothing=0.1, class_weight={{"cat": 2}})
    assert_type(net.predict_proba(X), Array)
    assert_type(net.predict_log_proba(X), Array)
    assert_type(net.classes_, Array)
    assert_type(skcnn.SaliencyDisplay.from_estimator(net, X), skcnn.SaliencyDisplay)
    skcnn.{name}({first}loss="huber")  # E: Unexpected keyword argument "loss"
"""

OF_PRESETS = """
    skcnn.{name}(architecture="FCS")  # E: Unexpected keyword argument "architecture"
"""

END = """
def of_the_others() -> None:
    numbers = skcnn.ImageRegressor(architecture="FCS", loss="huber")
    numbers.predict_proba  # E: has no attribute "predict_proba"
    skcnn.ImageRegressor(label_smoothing=0.1)  # E: argument "label_smoothing"
    strings = skcnn.Seq2SeqRNN(cell="gru", hidden_size=4, weight_decay=0.1)
    assert_type(strings.predict(["1+1"]), NDArray[np.str_])
    assert_type(strings.predict_proba(["1+1"]), Array)
    assert_type(strings.input_table_, skcnn.CharacterTable)
    skcnn.Seq2SeqRNN(batch_norm=True)  # E: Unexpected keyword argument "batch_norm"
    strings.transform  # E: has no attribute "transform"

    loaded = skcnn.load("net.skcnn")
    assert_type(loaded, KerasEstimator)
    assert_type(loaded.predict(X), Array)
    loaded.predictt  # E: has no attribute "predictt"
    assert isinstance(loaded, skcnn.ImageClassifier)
    assert_type(loaded.predict_proba(X), Array)

    table = skcnn.CharacterTable(length=3)
    assert_type(table.fit(["1"]), skcnn.CharacterTable)
    assert_type(table.fit_transform(["1"]), Array)
    assert_type(table.inverse_transform(X), NDArray[np.str_])
    assert_type(table.length_, int)
    table.fit(["1"]).trnsform  # E: has no attribute "trnsform"
    skcnn.CharacterTable(lenght=3)  # E: Unexpected keyword argument "lenght"

    augmenter = skcnn.ImageAugmenter(rotation_range=10, horizontal_flip=True)
    assert_type(augmenter.transform(X, random_state=0, background=(0, 0, 0)), Array)
    assert_type(augmenter.set_params(mixup=0.2), skcnn.ImageAugmenter)
    assert_type(skcnn.AugmentationDisplay.from_estimator(augmenter, X), skcnn.AugmentationDisplay)
    augmenter.fit  # E: has no attribute "fit"
    skcnn.ImageAugmenter(rotation=10)  # E: Unexpected keyword argument "rotation"

    batches = skcnn.SampleGenerator(X, y, batch_size=4, augmentation=augmenter)
    assert_type(batches.state, dict[str, int])
    assert_type(len(batches), int)
    assert_type(batches[0], tuple[Array, ...])
    batches.on_epoch_end()
    batches.next()  # E: has no attribute "next"
    skcnn.SampleGenerator(X, y)  # E: Missing named argument "batch_size"

    assert_type(skcnn.make_arithmetic(9, operation="+"), tuple[Array, Array])
    assert_type(skcnn.load_image_folder("x", return_X_y=True), tuple[Array, Array])
    skcnn.load_image_folder("x", as_array=True).skipped
    assert_type(skcnn.fetch_cifar10(return_X_y=True), tuple[Array, Array])
    assert_type(skcnn.exact_match_score(["1"], ["1"]), float)
    assert_type(skcnn.character_accuracy_score(["1"], ["1"]), float)
    assert_type(skcnn.confident_error_counts([0, 1], X, margin=1.0), Array)
    assert_type(skcnn.FilterDisplay.from_estimator(numbers), skcnn.FilterDisplay)
    assert_type(skcnn.TRUSTED_TYPES, list[str])
    skcnn.VGGLight  # E: has no attribute "VGGLight"
    skcnn.clear_compiled()
"""


def script():
    """A script that uses all public names, with the expected errors as comments."""
    parts = [BEGINNING]
    for cls in ESTIMATORS:
        of_images = cls is not skcnn.Seq2SeqRNN
        parts += [
            OF_ALL,
            OF_IMAGES * of_images,
            OF_CLASSIFIERS * issubclass(cls, skcnn.ImageClassifier),
            OF_PRESETS * (cls.__name__ in PRESETS),
        ]
        first = ARCHITECTURE * (of_images and cls.__name__ not in PRESETS)
        parts[-4:] = [part.format(name=cls.__name__, first=first) for part in parts[-4:] if part]
    return "".join([*parts, END])


def mypy_errors(path):
    """The errors that mypy finds in a file, as lists of messages by line."""
    (path.parent / "mypy.ini").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "mypy", "--config-file=mypy.ini", "--cache-dir=cache"]
    result = subprocess.run(
        [*command, "--hide-error-context", "--no-error-summary", path.name],
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode < 2, result.stdout + result.stderr
    found = {}
    for line in result.stdout.splitlines():
        file, number, kind, message = line.split(":", 3)
        assert file == path.name, line
        if kind == " error":
            found.setdefault(int(number), []).append(message)
    return found


def test_mypy_accepts_valid_calls_and_reports_each_error(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(script())
    lines = path.read_text().splitlines()
    expected = {
        number: line.partition("  # E: ")[2]
        for number, line in enumerate(lines, 1)
        if "  # E: " in line
    }
    found = mypy_errors(path)
    assert set(PRESETS) <= {cls.__name__ for cls in ESTIMATORS}
    assert len(expected) > 10 * len(ESTIMATORS) / 2
    for number in sorted(expected.keys() | found.keys()):
        messages = found.get(number, [])
        assert len(messages) == 1, (lines[number - 1], messages)
        assert expected.get(number, "no error") in messages[0], lines[number - 1]


def test_package_has_py_typed():
    assert files("skcnn").joinpath("py.typed").is_file()


def typed_parameters(cls):
    """The parameters of a class and their types, as a type checker sees them."""
    init = inspect.unwrap(cls.__init__)
    hints = typing.get_type_hints(init)
    del hints["return"]
    for parameter in inspect.signature(init).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            (keys,) = typing.get_args(hints.pop(parameter.name))
            hints |= typing.get_type_hints(keys)
    return hints


def declared_types(cls):
    """The type of each parameter where a class of the package names it with its default."""
    found = {}
    for base in cls.__mro__:
        if "__init__" in vars(base) and issubclass(base, BaseEstimator):
            hints = typing.get_type_hints(inspect.unwrap(base.__init__))
            found = {name: hint for name, hint in hints.items() if name != "return"} | found
    return found


@pytest.mark.parametrize("cls", WITH_PARAMETERS)
def test_the_typed_signature_is_the_one_at_run_time(cls):
    typed = typed_parameters(cls)
    spelled_out = [name for name in typed if not name.startswith(ROUTES)]
    signature = inspect.signature(cls).parameters
    assert spelled_out == list(signature)
    assert set(spelled_out) == set(cls().get_params(deep=False))
    declared = declared_types(cls)
    for name in spelled_out:
        assert typed[name] == declared[name], name
    for name, parameter in signature.items():
        assert parameter.default is not parameter.empty
        value = cls().get_params(deep=False)[name]
        assert value is parameter.default, name


@pytest.mark.parametrize("name", PRESETS)
def test_fixed_settings_of_a_preset_are_not_parameters(name):
    cls = getattr(skcnn, name)
    assert "architecture" not in typed_parameters(cls)
    with pytest.raises(TypeError, match="architecture"):
        cls(architecture="FCS")


def test_the_arguments_of_all_optimizers_have_a_type():
    typed = {
        name.removeprefix("optimizer__") for name in typing.get_type_hints(OptimizerParameters)
    }
    for optimizer in OPTIMIZERS.values():
        for cls in (optimizer, keras.optimizers.Optimizer):
            parameters = inspect.signature(cls).parameters.values()
            named = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
            named |= {each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD}
            assert named - {"name"} <= typed, cls


def test_changed_defaults_are_those_of_parameters_and_valid():
    with pytest.raises(TypeError, match=r"_defaults for \['epoch'\]"):
        type("Misspelled", (skcnn.MiniCNN,), {"_defaults": {"epoch": 3}})
    with pytest.raises(ValueError, match="'epochs' parameter of Bad"):
        type("Bad", (skcnn.MiniCNN,), {"_defaults": {"epochs": 0}})


def test_a_default_that_a_subclass_names_wins():
    class Quick(skcnn.SpeedNet):
        def __init__(self, *, epochs=2, **parameters):
            super().__init__(epochs=epochs, **parameters)

    class Quicker(Quick):
        _defaults: typing.ClassVar = {"epochs": 1}

    assert (Quick().epochs, Quick().label_smoothing) == (2, 0.2)
    assert (Quicker().epochs, Quicker(epochs=4).epochs) == (1, 4)
