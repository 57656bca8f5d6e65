"""The public names that need TensorFlow: all are imported when the first of them is used.

All at once, so that `load` knows all classes that a file may contain.
"""

from ._files.archive import LoadError
from ._files.estimators import load
from ._training.network import trusted_types
from ._training.pool import clear_compiled
from .displays import (
    AttentionDisplay,
    AugmentationDisplay,
    FilterDisplay,
    MisclassifiedImagesDisplay,
    SaliencyDisplay,
    StringMistakesDisplay,
    TrainingHistoryDisplay,
)
from .image.batches import SampleGenerator
from .image.builder import build_model
from .image.classifier import ImageClassifier
from .image.features import ImageFeatures
from .image.presets import FeedForward, MiniCNN, SpeedNet, StackedCNN, VGGLite
from .image.pretrained import PretrainedClassifier, PretrainedRegressor
from .image.regressor import ImageRegressor
from .sequence.characters import CharacterTable
from .sequence.rnn import Seq2SeqRNN

# What ``skops.io.load(file, trusted=TRUSTED_TYPES)`` needs to load an estimator: the names of the
# types that it is made of, skcnn's and Keras's optimizers and learning-rate schedules.
TRUSTED_TYPES = trusted_types()

__all__ = [
    "TRUSTED_TYPES",
    "AttentionDisplay",
    "AugmentationDisplay",
    "CharacterTable",
    "FeedForward",
    "FilterDisplay",
    "ImageClassifier",
    "ImageFeatures",
    "ImageRegressor",
    "LoadError",
    "MiniCNN",
    "MisclassifiedImagesDisplay",
    "PretrainedClassifier",
    "PretrainedRegressor",
    "SaliencyDisplay",
    "SampleGenerator",
    "Seq2SeqRNN",
    "SpeedNet",
    "StackedCNN",
    "StringMistakesDisplay",
    "TrainingHistoryDisplay",
    "VGGLite",
    "build_model",
    "clear_compiled",
    "load",
]
