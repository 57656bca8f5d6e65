"""Public docstrings document every parameter with its default, consistently across classes."""

import inspect
import re

import pytest
from numpydoc.docscrape import NumpyDocString
from sklearn.utils._testing import assert_docstring_consistency

import skcnn
from skcnn.base import KerasEstimator

# assert_docstring_consistency warns about parameters and attributes that not all classes have.
pytestmark = pytest.mark.filterwarnings("ignore:Checking was skipped")

PUBLIC = [getattr(skcnn, name) for name in skcnn.__all__ if name != "TRUSTED_TYPES"]
CLASSES = [value for value in PUBLIC if inspect.isclass(value)]
ESTIMATORS = [cls for cls in CLASSES if issubclass(cls, KerasEstimator)]
PRETRAINED = [skcnn.PretrainedClassifier, skcnn.PretrainedRegressor]
CLASSIFIERS = [
    cls for cls in ESTIMATORS if issubclass(cls, skcnn.ImageClassifier) and cls not in PRETRAINED
]


def public_functions():
    """All public functions and methods of the package."""
    for value in PUBLIC:
        if not inspect.isclass(value):
            yield value
            continue
        for name, member in inspect.getmembers(value, callable):
            inherited = getattr(member, "__module__", None) or ""
            if not name.startswith("_") and inherited.startswith("skcnn"):
                yield member


def documented(value):
    """The parameters that a docstring describes, with the text of their defaults."""
    found = {}
    for parameter in NumpyDocString(inspect.getdoc(value) or "")["Parameters"]:
        default = re.search(r"default=(.*)$", parameter.type, re.DOTALL)
        for name in parameter.name.split(", "):
            found[name] = default and default[1]
        assert " ".join(parameter.desc).strip(), f"{name} is not described"
    return found


def check_parameters(value):
    signature = inspect.signature(value).parameters.values()
    prefix = {inspect.Parameter.VAR_KEYWORD: "**", inspect.Parameter.VAR_POSITIONAL: "*"}
    expected = {
        prefix.get(each.kind, "") + each.name: each.default
        for each in signature
        if each.name not in ("self", "cls")
    }
    found = documented(value)
    assert list(found) == list(expected)
    for name, default in expected.items():
        if default is inspect.Parameter.empty or found[name] is None:
            # The type of an ignored argument is None.
            assert default in (inspect.Parameter.empty, None), name
            assert found[name] is None, name
        else:
            assert eval(found[name]) == default, f"{name}: default={found[name]}"


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if not issubclass(cls, Exception)])
def test_every_parameter_of_a_class_is_documented_with_its_default(cls):
    check_parameters(cls)


@pytest.mark.parametrize("function", {f.__qualname__: f for f in public_functions()}.values())
def test_every_parameter_of_a_function_is_documented_with_its_default(function):
    check_parameters(function)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_help_shows_every_parameter(cls):
    text = cls.__doc__
    for name in cls().get_params(deep=False):
        assert f"\n    {name} : " in text


def test_classifiers_describe_parameters_and_attributes_alike():
    assert len(CLASSIFIERS) == 6
    assert_docstring_consistency(
        CLASSIFIERS,
        include_params=True,
        exclude_params=["learning_rate"],  # FeedForward has rates of its own
        include_attrs=True,
        ignore_types=("epochs", "label_smoothing", "weight_decay"),  # own defaults of presets
    )
    others = [cls for cls in CLASSIFIERS if cls is not skcnn.FeedForward]
    assert_docstring_consistency(others, include_params=["learning_rate"])


@pytest.mark.parametrize(
    "estimators",
    [PRETRAINED, *zip(PRETRAINED, [skcnn.ImageClassifier, skcnn.ImageRegressor], strict=True)],
)
def test_pretrained_estimators_describe_parameters_like_the_others(estimators):
    own = ["batch_size", "epochs", "image_size", "label_smoothing", "learning_rate"]
    own += ["optimizer", "resize"]
    both = estimators is PRETRAINED
    assert_docstring_consistency(
        list(estimators),
        include_params=True,
        exclude_params=[] if both else own,
        include_attrs=True,
        exclude_attrs=["history_"] if both else ["image_size_", "pixel_limits_", "resize_"],
        ignore_types=("weight_decay",),
    )


IMAGES = [skcnn.ImageClassifier, skcnn.ImageRegressor]


@pytest.mark.parametrize("estimators", [IMAGES, [*IMAGES, skcnn.Seq2SeqRNN]])
def test_estimators_describe_shared_parameters_and_attributes_alike(estimators):
    assert_docstring_consistency(
        estimators,
        include_params=True,
        # Of classes there, of characters here; "auto" is for strings.
        exclude_params=["label_smoothing", "batch_size", "epochs"],
        include_attrs=True,
        exclude_attrs=["history_"],  # which has the metrics of the estimator
        ignore_types=("optimizer", "weight_decay"),  # other defaults
    )


SMALL = {
    skcnn.Seq2SeqRNN: ({"cell": "simple_rnn", "decoder": "repeat"}, (["1", "2"], ["2", "1"])),
    skcnn.ImageRegressor: ({"architecture": "FCS"}, ([[[0.0, 1], [2, 3]]] * 2, [0.0, 1])),
    skcnn.ImageClassifier: ({"architecture": "FCS"}, ([[[0.0, 1], [2, 3]]] * 2, [0, 1])),
}


@pytest.mark.parametrize("cls", SMALL)
def test_the_documented_attributes_are_those_of_a_fitted_estimator(cls):
    parameters, data = SMALL[cls]
    net = cls(epochs=1, **parameters).fit(*data)
    names = {
        name
        for attribute in NumpyDocString(inspect.getdoc(cls))["Attributes"]
        for name in attribute.name.split(", ")
    }
    learned = {name for name in vars(net) if name.endswith("_") and not name.startswith("_")}
    # Only data frames have feature names, and model_ is created on access.
    assert names - {"feature_names_in_", "model_"} == learned
