"""Persistence with skops, which loads only trusted types."""

import keras
import numpy as np
import pytest
import skops.io
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skcnn
from skcnn import ImageAugmenter, ImageClassifier, Seq2SeqRNN

X = np.random.default_rng(0).random((30, 4, 4))
Y = np.array(["ant", "bee", "cat"] * 10)
STRINGS = np.array(["ab", "ba", "a"] * 5)
IMAGES = [
    skcnn.FeedForward,
    skcnn.ImageClassifier,
    skcnn.MiniCNN,
    skcnn.SpeedNet,
    skcnn.StackedCNN,
    skcnn.VGGLite,
]
SMALL = {"architecture": "CONV-2 -> RELU -> FCS", "epochs": 1, "random_state": 0}
QUICK = {"cell": "simple_rnn", "decoder": "repeat", "hidden_size": 2, "epochs": 1}


def image(**parameters):
    return ImageClassifier(**{**SMALL, **parameters}).fit(X, Y)


schedules = keras.optimizers.schedules
FITTED = {
    "plain": image,
    "augmented": lambda: image(augmentation=ImageAugmenter(cutout=0.5, mixup=0.2)),
    "weighted": lambda: image(class_weight={"ant": 2.0}, early_stopping=True),
    "class": lambda: image(optimizer=keras.optimizers.SGD, optimizer__momentum=0.9),
    "schedule": lambda: image(learning_rate_schedule=schedules.CosineDecay(0.1, 9)),
    "generator": lambda: image(random_state=np.random.RandomState(0)),
    "strings": lambda: Seq2SeqRNN(**QUICK).fit(STRINGS, STRINGS),
    "pipeline": lambda: make_pipeline(FunctionTransformer(), ImageClassifier(**SMALL)).fit(X, Y),
}


@pytest.mark.parametrize("name", FITTED)
def test_a_fitted_estimator_is_of_trusted_types(name):
    fitted = FITTED[name]()
    inputs = STRINGS if name == "strings" else X
    data = skops.io.dumps(fitted)
    assert set(skops.io.get_untrusted_types(data=data)) <= set(skcnn.TRUSTED_TYPES)
    after = skops.io.loads(data, trusted=skcnn.TRUSTED_TYPES)
    np.testing.assert_array_equal(after.predict_proba(inputs), fitted.predict_proba(inputs))
    np.testing.assert_array_equal(after.predict(inputs), fitted.predict(inputs))


@pytest.mark.parametrize(
    "make",
    [*IMAGES, Seq2SeqRNN, skcnn.CharacterTable, ImageAugmenter],
    ids=lambda make: make.__name__,
)
def test_an_unfitted_estimator_is_of_trusted_types(make):
    after = skops.io.loads(skops.io.dumps(make()), trusted=skcnn.TRUSTED_TYPES)
    assert repr(after) == repr(make())


def test_trusted_types_exist():
    for name in skcnn.TRUSTED_TYPES:
        module, _, attribute = name.rpartition(".")
        assert name.startswith(("skcnn.", "keras.src.optimizers."))
        __import__(module, fromlist=[attribute])
