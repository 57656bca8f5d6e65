"""scikit-learn's estimator checks for every public estimator."""

import inspect

import numpy as np
import pandas as pd
import pytest
import sklearn
import sklearn.utils.estimator_checks as checks
from sklearn.base import BaseEstimator, clone
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from sklearn.utils.fixes import parse_version

import skcnn

# With mini-batches, a weight of two is not equivalent to repeating a sample: scikit-learn also
# excludes its MLPClassifier from these checks.
EXCEPTED = "check_sample_weight_equivalence"
EPOCHS = 5

ESTIMATORS = [
    value
    for value in [getattr(skcnn, name) for name in dir(skcnn)]
    # an ImageAugmenter has no fit: it is a parameter of estimators
    if inspect.isclass(value) and issubclass(value, BaseEstimator) and hasattr(value, "fit")
]

# The backbone of the pretrained estimators; rows are read as images and resized.
SMALL = skcnn.ImageClassifier("CONV-8 -> RELU -> FCS", epochs=1, random_state=0)
SMALL.fit(np.random.default_rng(0).normal(size=(64, 8, 8)), np.arange(64) % 2)
PRETRAINED = {"backbone": SMALL, "resize": "stretch"}

OF_STRINGS = [skcnn.CharacterTable(), skcnn.Seq2SeqRNN(epochs=1, hidden_size=4)]
# VGGLite has the default architecture of these two.
OF_IMAGES = [
    skcnn.ImageClassifier("CONV-8 -> RELU -> FCS", epochs=EPOCHS),
    skcnn.ImageRegressor("CONV-8 -> RELU -> FCS", epochs=EPOCHS),
]
# The presets are data: their checks are run by ``make test-all``.
SLOW = [skcnn.FeedForward, skcnn.MiniCNN, skcnn.SpeedNet, skcnn.StackedCNN, skcnn.VGGLite]
ON_OTHERS = [
    skcnn.ImageFeatures(**PRETRAINED),
    skcnn.PretrainedClassifier(frozen_epochs=10, epochs=2, **PRETRAINED),
]
# Trained as PretrainedClassifier, with the targets of ImageRegressor.
OF_BOTH = skcnn.PretrainedRegressor(frozen_epochs=20, epochs=5, **PRETRAINED)


def test_every_public_estimator_is_checked():
    public = [getattr(skcnn, name) for name in skcnn.__all__]
    assert set(ESTIMATORS) == {value for value in public if hasattr(value, "fit")}
    assert set(ESTIMATORS) == {
        *SLOW,
        *(type(each) for each in [*OF_IMAGES, *ON_OTHERS, OF_BOTH, *OF_STRINGS]),
    }


@parametrize_with_checks([*OF_IMAGES, *ON_OTHERS])
def test_sklearn_check(estimator, check):
    run_check(estimator, check)


@pytest.mark.slow
@parametrize_with_checks([OF_BOTH, *(cls(epochs=EPOCHS) for cls in SLOW)])
def test_sklearn_check_of_slow_estimators(estimator, check):
    if check.func.__name__ == "check_class_weight_classifiers":
        # With smoothed labels it takes the steps of the default, of which there are 640.
        estimator.set_params(epochs=type(estimator)().epochs)
    run_check(estimator, check)


def run_check(estimator, check):
    if check.func.__name__.startswith(EXCEPTED):
        with pytest.raises(AssertionError, match="not equivalent to fitting with removed"):
            check(estimator)
        return
    check(estimator)


# Estimators of strings. scikit-learn skips most checks for estimators that do not accept numbers.
# These checks apply, as they need no data or expect an error:

APPLY = {
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_estimators_unfitted",
    "check_fit1d",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_param_validation",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_supervised_y_no_nan",
    "check_valid_tag_types",
}

# The other checks, and why they do not apply.
NUMBERS = "fits numbers of its own making"
MESSAGE = "expects a message about numbers; strings in the place of numbers are refused by type"
COLUMNS = "is about the columns of X, and strings are one"
CLASSES = "is about classifiers"
DO_NOT_APPLY = {
    "check_all_zero_sample_weights_error": NUMBERS,
    "check_array_api_input": "is about arrays on other devices, which hold no strings",
    "check_class_weight_classifiers": CLASSES,
    "check_classifier_data_not_an_array": CLASSES,
    "check_classifiers_classes": CLASSES,
    "check_classifiers_multilabel_output_format_decision_function": CLASSES,
    "check_classifiers_multilabel_output_format_predict": CLASSES,
    "check_classifiers_multilabel_output_format_predict_proba": CLASSES,
    "check_classifiers_multilabel_representation_invariance": CLASSES,
    "check_classifiers_one_label": CLASSES,
    "check_classifiers_one_label_sample_weights": CLASSES,
    "check_classifiers_regression_target": CLASSES,
    "check_classifiers_train": CLASSES,
    "check_complex_data": MESSAGE,
    "check_decision_proba_consistency": CLASSES,
    "check_dict_unchanged": NUMBERS,
    "check_dont_overwrite_parameters": NUMBERS,
    "check_dtype_object": NUMBERS,
    "check_estimator_sparse_array": MESSAGE,
    "check_estimator_sparse_matrix": MESSAGE,
    "check_estimator_sparse_tag": MESSAGE,
    "check_estimators_dtypes": NUMBERS,
    "check_estimators_empty_data_messages": COLUMNS,
    "check_estimators_fit_returns_self": NUMBERS,
    "check_estimators_nan_inf": MESSAGE,
    "check_estimators_overwrite_params": NUMBERS,
    "check_estimators_partial_fit_n_features": COLUMNS,
    "check_estimators_pickle": NUMBERS,
    "check_f_contiguous_array_estimator": COLUMNS,
    "check_fit2d_1feature": COLUMNS,
    "check_fit2d_1sample": COLUMNS,
    "check_fit2d_predict1d": COLUMNS,
    "check_fit_check_is_fitted": NUMBERS,
    "check_fit_idempotent": NUMBERS,
    "check_fit_score_takes_y": NUMBERS,
    "check_methods_sample_order_invariance": NUMBERS,
    "check_methods_subset_invariance": NUMBERS,
    "check_n_features_in": COLUMNS,
    "check_n_features_in_after_fitting": COLUMNS,
    "check_non_transformer_estimators_n_iter": "is about a parameter max_iter",
    "check_pipeline_consistency": NUMBERS,
    "check_positive_only_tag_during_fit": NUMBERS,
    "check_readonly_memmap_input": NUMBERS,
    "check_requires_y_none": MESSAGE,
    "check_sample_weight_equivalence_on_dense_data": NUMBERS,
    "check_sample_weights_list": NUMBERS,
    "check_sample_weights_not_an_array": NUMBERS,
    "check_sample_weights_not_overwritten": NUMBERS,
    "check_sample_weights_pandas_series": NUMBERS,
    "check_sample_weights_shape": NUMBERS,
    "check_supervised_y_2d": NUMBERS,
    "check_transformer_data_not_an_array": NUMBERS,
    "check_transformer_general": NUMBERS,
    "check_transformer_n_iter": "is about a parameter max_iter",
    "check_transformers_unfitted": NUMBERS,
}


def test_every_check_is_run_or_excluded_with_a_reason():
    asked = {check.func.__name__ for _, check in estimator_checks_generator(OF_IMAGES[0])}
    # Checks that are missing from some versions of scikit-learn.
    missing = {"check_all_zero_sample_weights_error", "check_array_api_input"} - asked
    assert not missing or parse_version(sklearn.__version__) < parse_version("1.9")
    assert asked - APPLY == set(DO_NOT_APPLY) - missing


@pytest.mark.parametrize("estimator", OF_STRINGS, ids=lambda estimator: type(estimator).__name__)
@pytest.mark.parametrize("name", sorted(APPLY))
def test_sklearn_check_of_strings(estimator, name):
    getattr(checks, name)(type(estimator).__name__, clone(estimator))


# Equivalents of the other checks with strings.

X, Y = skcnn.make_arithmetic(40, operation="+", n_digits=1, random_state=0)
METHODS = ("predict", "predict_proba", "transform")


def results(estimator, X):
    return {name: getattr(estimator, name)(X) for name in METHODS if hasattr(estimator, name)}


@pytest.fixture(params=OF_STRINGS, ids=lambda estimator: type(estimator).__name__)
def estimator(request):
    fresh = clone(request.param)
    return fresh.set_params(random_state=0) if "random_state" in fresh.get_params() else fresh


def test_fit_returns_self_and_changes_no_parameter(estimator):
    before = estimator.get_params()
    assert estimator.fit(X, Y) is estimator
    assert estimator.get_params() == before
    learned = set(vars(estimator)) - set(before)
    assert all(name.startswith("_") or name.endswith("_") for name in learned)


def test_prediction_is_stateless_and_independent_of_row_order(estimator):
    read_only = X.copy()
    read_only.flags.writeable = False
    estimator.fit(read_only, Y)
    before = set(vars(estimator)), {k: id(v) for k, v in vars(estimator).items()}
    whole = results(estimator, read_only)
    assert (set(vars(estimator)), {k: id(v) for k, v in vars(estimator).items()}) == before
    order = np.random.default_rng(0).permutation(len(X))
    for name, value in results(estimator, X[order]).items():
        assert (
            np.allclose(value, whole[name][order], atol=1e-6)
            if value.dtype.kind == "f"
            else (value.tolist() == whole[name][order].tolist())
        )
    for name in whole:
        single = np.concatenate([results(estimator, X[row : row + 1])[name] for row in range(40)])
        if single.dtype.kind == "f":
            np.testing.assert_allclose(single, whole[name], atol=1e-6)
        else:
            np.testing.assert_array_equal(single, whole[name])


def test_fit_is_idempotent(estimator):
    first = results(estimator.fit(X, Y), X)
    for name, value in results(estimator.fit(X, Y), X).items():
        np.testing.assert_array_equal(value, first[name])


@pytest.mark.parametrize("form", [list, pd.Series, np.asarray])
def test_sample_weights_in_all_containers(form):
    net = clone(OF_STRINGS[1]).set_params(random_state=0)
    weight = np.linspace(0, 1, 40)
    kept = weight.copy()
    expected = net.fit(X, Y, sample_weight=weight).predict_proba(X)
    np.testing.assert_array_equal(weight, kept)
    given = clone(net).fit(X, Y, sample_weight=form(weight))
    np.testing.assert_array_equal(given.predict_proba(X), expected)
    with pytest.raises(ValueError, match="must be 1D array or scalar"):
        net.fit(X, Y, sample_weight=np.ones((40, 2)))
