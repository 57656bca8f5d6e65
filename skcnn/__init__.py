"""Image classifiers and string-to-string networks for scikit-learn users, on Keras."""

from ._environment import limit_threads_to_share, quiet_tensorflow_start

with quiet_tensorflow_start():
    from ._files.archive import LoadError
    from ._files.estimators import load
    from ._training.network import trusted_types
    from ._training.pool import clear_compiled
    from .datasets import fetch_cifar10, load_digit_images, load_image_folder, make_arithmetic
    from .displays import (
        AttentionDisplay,
        AugmentationDisplay,
        FilterDisplay,
        MisclassifiedImagesDisplay,
        SaliencyDisplay,
        StringMistakesDisplay,
        TrainingHistoryDisplay,
    )
    from .image.augmentation import ImageAugmenter, SampleGenerator
    from .image.classifier import ImageClassifier
    from .image.features import ImageFeatures
    from .image.presets import FeedForward, MiniCNN, SpeedNet, StackedCNN, VGGLite
    from .image.pretrained import PretrainedClassifier, PretrainedRegressor
    from .image.regressor import ImageRegressor
    from .metrics import (
        character_accuracy_score,
        character_error_rate,
        confident_error_counts,
        exact_match_score,
    )
    from .sequence.characters import CharacterTable
    from .sequence.rnn import Seq2SeqRNN

limit_threads_to_share()

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
    "ImageAugmenter",
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
    "character_accuracy_score",
    "character_error_rate",
    "clear_compiled",
    "confident_error_counts",
    "exact_match_score",
    "fetch_cifar10",
    "load",
    "load_digit_images",
    "load_image_folder",
    "make_arithmetic",
]
__version__ = "0.1.0"
