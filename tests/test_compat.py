"""Private symbols of dependencies: they exist, and the optional ones may be missing."""

import ast
import importlib
import pkgutil
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import scikeras
import sklearn
import sklearn.metrics
import tensorflow as tf
from scikeras.wrappers import BaseWrapper

import skcnn
from skcnn import ImageClassifier, Seq2SeqRNN, _compat, _keras_compat, load_digit_images
from skcnn._environment import check_not_forked

ROOT = Path(skcnn.__file__).parent
DEPENDENCIES = {each.__name__: each for each in (keras, scikeras, sklearn, tf)}
X, Y = (data[:100] for data in load_digit_images(return_X_y=True))

# Private methods that skcnn overrides outside of _compat: the HTML representation of scikit-learn,
# to which the layers are added.
OVERRIDDEN = {"_html_repr"}


def initialized_wrapper():
    wrapper = BaseWrapper()
    wrapper._initialize_callbacks()
    return wrapper


def load_module(name):
    return lambda: importlib.import_module(name)


parameters = load_module("sklearn.utils._param_validation")


def averaging_optimizer():
    optimizer = keras.optimizers.SGD(use_ema=True)
    optimizer.build([keras.Variable(0.0)])
    return optimizer


# Each symbol: how to get its owner, and what does not work without it.
SYMBOLS = {
    "Interval": (parameters, "the constraints of parameters"),
    "StrOptions": (parameters, "the constraints of parameters"),
    "validate_parameter_constraints": (parameters, "the check of parameters outside of fit"),
    "validate_params": (parameters, "the check of arguments of functions"),
    "_fit_context": (load_module("sklearn.base"), "the check of parameters in fit"),
    "_check_sample_weight": (load_module("sklearn.utils.validation"), "sample weights"),
    "_safe_indexing": (load_module("sklearn.utils"), "scoring during fit"),
    "_score_func": (
        lambda: sklearn.metrics.get_scorer("accuracy"),
        "scores of early stopping without weights of samples",
    ),
    "_html_repr": (lambda: sklearn.base.BaseEstimator, "the layers in notebooks"),
    "_initialize_callbacks": (lambda: BaseWrapper, "all of fit"),
    "_fit_callbacks": (initialized_wrapper, "all of fit"),
    "_get_compile_kwargs": (lambda: BaseWrapper, "optimizers that are no objects"),
    "_all_reduce_sum_gradients": (keras.optimizers.Adam, "memory of every compiled network"),
    "_model": (keras.callbacks.Callback, "the fitted network in callbacks after a fit"),
    "keras_home": (
        load_module("keras.src.backend.config"),
        "the folder of Keras's cache, where KERAS_HOME does not name it",
    ),
    "_should_use_adamw": (lambda: keras.optimizers.Muon, "optimizer='muon'"),
    "_muon_update_step": (lambda: keras.optimizers.Muon, "optimizer='muon'"),
    "_apply_weight_decay": (lambda: keras.optimizers.Muon, "optimizer='muon'"),
    "_trainable_variables": (averaging_optimizer, "averages of weights"),
    "_model_variables_moving_average": (averaging_optimizer, "averages of weights"),
    "_registry": (
        lambda: sys.modules["tensorflow.python.framework.ops"].gradient_registry,
        "memory of every compiled autoregressive network",
    ),
    "_initialized": (
        lambda: sys.modules["tensorflow.python.eager.context"].context(),
        "the error in processes that were forked too late",
    ),
}


def net(**parameters):
    settings = {"epochs": 1, "random_state": 0, **parameters}
    return ImageClassifier("CONV-2 -> RELU -> FCS", **settings)


@pytest.fixture
def expected():
    """The predictions with all symbols present; clears the compiled networks."""
    predicted = net().fit(X, Y).predict_proba(X)
    skcnn.clear_compiled()
    yield predicted
    skcnn.clear_compiled()


@pytest.mark.parametrize("name", SYMBOLS)
def test_private_symbol_exists(name):
    owner, lost = SYMBOLS[name]
    versions = {module: each.__version__ for module, each in DEPENDENCIES.items()}
    assert hasattr(owner(), name), f"{name} is gone, and with it {lost}: {versions}"


# Optional symbols


def test_without_the_sum_of_gradients(expected, monkeypatch):
    base = keras.optimizers.Optimizer

    def update(self, gradients, variables, rate):
        for gradient, variable in zip(gradients, variables, strict=True):
            self.update_step(gradient, variable.value, rate)

    monkeypatch.setattr(base, "_backend_update_step", update)
    for cls in base.__mro__:
        if "_all_reduce_sum_gradients" in vars(cls):
            monkeypatch.delattr(cls, "_all_reduce_sum_gradients")
    np.testing.assert_array_equal(net().fit(X, Y).predict_proba(X), expected)


def test_without_the_registry_of_gradients(monkeypatch):
    questions, answers = ["ab", "ba", "aab"], ["ba", "ab", "baa"]

    def losses():
        skcnn.clear_compiled()
        net = Seq2SeqRNN(decoder="autoregressive", hidden_size=4, epochs=2, random_state=0)
        return net.fit(questions, answers).history_["loss"]

    expected = losses()
    monkeypatch.setattr(_keras_compat, "sys", SimpleNamespace(modules={}))
    assert losses() == expected


def test_without_the_metric_of_a_scorer():
    scorer = sklearn.metrics.make_scorer(lambda y_true, y_pred: 0.0)
    assert not _compat.takes_sample_weight(scorer)
    del scorer._score_func
    assert _compat.takes_sample_weight(scorer)


def test_without_the_context_of_tensorflow(expected, monkeypatch):
    assert _compat.tensorflow_has_run()
    monkeypatch.delitem(sys.modules, "tensorflow.python.eager.context")
    assert not _compat.tensorflow_has_run()
    check_not_forked()
    np.testing.assert_array_equal(net().fit(X, Y).predict_proba(X), expected)


def test_without_the_private_model_of_callbacks(expected, monkeypatch):
    def set_model(self, model):
        self.other = model

    monkeypatch.setattr(keras.callbacks.Callback, "set_model", set_model)
    monkeypatch.setattr(keras.callbacks.Callback, "model", property(lambda self: self.other))
    seen = keras.callbacks.LambdaCallback()
    fitted = net(callbacks=[seen]).fit(X, Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    assert seen.model.count_params() == fitted.model_.count_params()


def test_without_html_of_estimators(monkeypatch):
    monkeypatch.delattr(sklearn.base.BaseEstimator, "_html_repr")
    assert net().fit(X, Y).score(X, Y) >= 0


@pytest.mark.parametrize("hook", ["_should_use_adamw", "_muon_update_step"])
def test_without_the_hooks_of_muon(hook, monkeypatch):
    monkeypatch.delattr(keras.optimizers.Muon, hook)
    with pytest.raises(RuntimeError, match=f"has no {hook}; choose another optimizer"):
        net(optimizer="muon").fit(X, Y)
    assert net(optimizer="adam").fit(X, Y).n_iter_ == 1


@pytest.mark.parametrize("name", ["_trainable_variables", "_model_variables_moving_average"])
def test_without_the_averages_of_optimizers(name):
    optimizer = averaging_optimizer()
    assert len(_keras_compat.averages(optimizer)) == 1
    delattr(optimizer, name)
    with pytest.raises(RuntimeError, match="optimizer__use_ema=True does not work with Keras"):
        _keras_compat.averages(optimizer)


# No other private symbols are used


def own_names(trees):
    """The private names that the package defines."""
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def private_uses(tree, own):
    """The private names of dependencies that a module uses."""
    private_module = rf"({'|'.join(DEPENDENCIES)})(\.\w+)*\.(_\w+|src|python)(\.|$)"
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if is_private(name) and name not in own:
                yield name
            case ast.Attribute(attr="__internal__" | "src" as name):
                yield name
            case ast.ImportFrom(module=module, names=names, level=0):
                inside = re.match(private_module, module)
                of_ours = module.partition(".")[0] in DEPENDENCIES
                yield from (
                    each.name for each in names if inside or (of_ours and is_private(each.name))
                )
            case ast.Import(names=names):
                yield from (each.name for each in names if re.match(private_module, each.name))
            case ast.Constant(value=str(text)) if re.fullmatch(r"[\w.]+", text):
                if re.match(private_module, text):
                    yield text
            case ast.Call(ast.Name("getattr" | "hasattr"), [_, ast.Constant(str(name)), *_]):
                if is_private(name) and name not in own:
                    yield name


TREES = {path: ast.parse(path.read_text()) for path in ROOT.rglob("*.py")}
OWN = set(own_names(TREES.values()))
COMPATIBILITY = [ROOT / "_compat.py", ROOT / "_keras_compat.py"]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from keras.src.optimizers import muon", ["muon"]),
        ("from sklearn.utils import _tags", ["_tags"]),
        ("import tensorflow.python.eager", ["tensorflow.python.eager"]),
        ("optimizer._lock, self._own, keras.src", ["_lock", "src"]),
        ("sys.modules['tensorflow.python.eager']", ["tensorflow.python.eager"]),
        ("getattr(context, '_initialized'), getattr(self, '_own')", ["_initialized"]),
        ("from sklearn.base import clone; self.__dict__; 'the file keras.src'", []),
    ],
)
def test_scan_finds_private_symbols(code, found):
    assert list(private_uses(ast.parse(code), {"_own"})) == found


@pytest.mark.parametrize(
    "path", [path for path in TREES if path not in COMPATIBILITY], ids=lambda path: path.stem
)
def test_no_other_module_uses_a_private_symbol(path):
    assert not set(private_uses(TREES[path], OWN))


def test_each_private_symbol_is_in_the_table():
    own = OWN - {"_apply_weight_decay"}
    used = {name for path in COMPATIBILITY for name in private_uses(TREES[path], own)}
    hooks = {name for name in vars(_keras_compat.MuonHooks) if is_private(name)}
    modules = {"tensorflow.python.eager.context", "tensorflow.python.framework.ops"}
    known = {*SYMBOLS, *modules, "keras.src.backend.config"}
    assert used | hooks | OVERRIDDEN | {"keras_home"} == known


def overridden(cls):
    """The private names of dependencies that a class, or a mixin below it, overrides."""
    names = {"ours": set(), "theirs": set()}
    for each in cls.__mro__:
        package = each.__module__.partition(".")[0]
        if package == "skcnn" and each.__module__ != "skcnn._keras_compat":
            names["ours"] |= set(filter(is_private, vars(each)))
        elif package in DEPENDENCIES:
            names["theirs"] |= set(vars(each))
    return names["ours"] & names["theirs"]


def test_no_other_class_overrides_a_private_method():
    found = set()
    for info in pkgutil.walk_packages(skcnn.__path__, "skcnn."):
        for cls in vars(importlib.import_module(info.name)).values():
            if isinstance(cls, type) and cls.__module__ == info.name:
                found |= overridden(cls)
    assert found - {"_sklearn_auto_wrap_output_keys"} == OVERRIDDEN  # set by scikit-learn itself
