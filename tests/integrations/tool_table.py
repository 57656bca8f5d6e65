"""Which tools take images, rows of pixels and paths: the table of the guide, run by the tests.

``python tests/integrations/tool_table.py`` writes the table of ``docs/guide/tools.rst``.
"""

from pathlib import Path

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.inspection import permutation_importance
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    learning_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.semi_supervised import SelfTrainingClassifier

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "tools.rst"
BEGIN, END = (
    ".. The table begins, written by tests/integrations/tool_table.py",
    ".. The table ends",
)
KINDS = ("images", "rows", "paths")
FOLDS = StratifiedKFold(2)


def accuracy(make):
    """A tool that is an estimator, scored on the samples that it is fitted to."""
    return lambda net, X, y: np.mean(make(net).fit(X, y).predict(X) == y)


def tuned_threshold(net, X, y):
    tuned = TunedThresholdClassifierCV(net, cv=FOLDS).fit(X, y == y[0])
    return np.mean(tuned.predict(X) == (y == y[0]))


def self_training(net, X, y):
    some = np.where(np.arange(len(y)) % 4 == 0, -1, y)
    return np.mean(SelfTrainingClassifier(net, max_iter=1).fit(X, some).predict(X) == y)


def importance(net, X, y):
    options = {"scoring": "neg_log_loss", "n_repeats": 1, "random_state": 0}
    found = permutation_importance(net.fit(X, y), X, y, **options)
    assert found.importances_mean.shape == (np.shape(X)[1],)
    return 0.8 + found.importances_mean.max()


def oversampled(net, X, y, name):
    from imblearn import over_sampling, pipeline

    sampler = getattr(over_sampling, name)(random_state=0)
    kept = np.flatnonzero((y != y[0]) | (np.arange(len(y)) < len(y) // 2))
    X = [X[i] for i in kept] if isinstance(X, list) else X[kept]
    fitted = pipeline.make_pipeline(sampler, net).fit(X, y[kept])
    return np.mean(fitted.predict(X) == y[kept])


def prefit_conformal(net, X, y):
    from mapie.classification import SplitConformalClassifier

    conformal = SplitConformalClassifier(net.fit(X, y), confidence_level=0.9, prefit=True)
    _, sets = conformal.conformalize(X, y).predict_set(X)
    return np.mean(sets[np.arange(len(y)), y, 0])


def cross_conformal(net, X, y):
    from mapie.classification import CrossConformalClassifier

    conformal = CrossConformalClassifier(net, confidence_level=0.9, cv=FOLDS)
    _, sets = conformal.fit_conformalize(X, y).predict_set(X)
    return np.mean(sets[np.arange(len(y)), y, 0])


def clean_learning(net, X, y):
    from cleanlab.classification import CleanLearning

    options = {"n_jobs": 1}
    cleaned = CleanLearning(net, cv_n_folds=2, find_label_issues_kwargs=options)
    return np.mean(cleaned.fit(X, y).predict(X) == y)


SKLEARN = "scikit-learn"
# Package, tool, what it takes, and a function of an estimator, samples and labels that returns
# an accuracy or the like.
TOOLS = [
    (
        SKLEARN,
        "``cross_val_predict``",
        KINDS,
        lambda net, X, y: np.mean(cross_val_predict(net, X, y, cv=FOLDS) == y),
    ),
    (
        SKLEARN,
        "``learning_curve``",
        KINDS,
        lambda net, X, y: learning_curve(net, X, y, cv=FOLDS, train_sizes=[1.0])[1].mean(),
    ),
    (
        SKLEARN,
        "``GridSearchCV``",
        KINDS,
        accuracy(lambda net: GridSearchCV(net, {"epochs": [1, net.epochs]}, cv=FOLDS)),
    ),
    (
        SKLEARN,
        "``Pipeline``",
        KINDS,
        accuracy(lambda net: make_pipeline(FunctionTransformer(), net)),
    ),
    (
        SKLEARN,
        "``CalibratedClassifierCV``",
        KINDS,
        accuracy(lambda net: CalibratedClassifierCV(net, cv=FOLDS)),
    ),
    (SKLEARN, "``TunedThresholdClassifierCV``", KINDS, tuned_threshold),
    (
        SKLEARN,
        "``VotingClassifier``",
        KINDS,
        accuracy(lambda net: VotingClassifier([("net", net)], voting="soft")),
    ),
    (
        SKLEARN,
        "``StackingClassifier``",
        KINDS,
        accuracy(lambda net: StackingClassifier([("net", net)], cv=FOLDS)),
    ),
    (SKLEARN, "``OneVsRestClassifier``", KINDS, accuracy(OneVsRestClassifier)),
    (SKLEARN, "``OneVsOneClassifier``", ("rows",), accuracy(OneVsOneClassifier)),
    (
        SKLEARN,
        "``BaggingClassifier``",
        ("rows",),
        accuracy(lambda net: BaggingClassifier(net, n_estimators=2, random_state=0)),
    ),
    (
        SKLEARN,
        "``AdaBoostClassifier``",
        ("images", "rows"),
        accuracy(lambda net: AdaBoostClassifier(net, n_estimators=2, random_state=0)),
    ),
    (SKLEARN, "``SelfTrainingClassifier``", ("rows",), self_training),
    (SKLEARN, "``permutation_importance``", ("rows",), importance),
    (
        "imbalanced-learn",
        "``RandomOverSampler``",
        ("rows",),
        lambda net, X, y: oversampled(net, X, y, "RandomOverSampler"),
    ),
    (
        "imbalanced-learn",
        "``SMOTE``",
        ("rows",),
        lambda net, X, y: oversampled(net, X, y, "SMOTE"),
    ),
    ("MAPIE", "``CrossConformalClassifier``", KINDS, cross_conformal),
    ("MAPIE", "``SplitConformalClassifier``, prefit", ("rows",), prefit_conformal),
    ("cleanlab", "``CleanLearning``", KINDS, clean_learning),
]


def table():
    """The rows of the table as a list-table of reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - tool", "     - package"]
    lines += [f"     - {kind}" for kind in KINDS]
    for package, name, taken, _ in TOOLS:
        lines += [f"   * - {name}", f"     - {package}"]
        lines += [f"     - {'yes' if kind in taken else 'no'}" for kind in KINDS]
    return "\n".join(lines)


def written():
    """The table that is in the guide."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}")
