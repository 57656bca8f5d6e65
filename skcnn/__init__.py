"""Image classifiers and string-to-string networks for scikit-learn users, on Keras."""

from ._quiet import quiet_tensorflow_start

with quiet_tensorflow_start():
    from ._archive import LoadError
    from ._keras import clear_compiled
    from ._machine import keep_to_share
    from .augmentation import ImageAugmenter, SampleGenerator
    from .datasets import fetch_cifar10, load_digit_images, load_image_folder, make_arithmetic
    from .image import FeedForward, ImageClassifier, MiniCNN, SpeedNet, StackedCNN, VGGLite
    from .inspection import FilterDisplay, SaliencyDisplay
    from .metrics import character_accuracy_score, confident_error_counts, exact_match_score
    from .persistence import load, trusted_types
    from .plotting import (
        AugmentationDisplay,
        MisclassifiedImagesDisplay,
        TrainingHistoryDisplay,
    )
    from .sequence import CharacterTable, Seq2SeqRNN

keep_to_share()

# What ``skops.io.load(file, trusted=TRUSTED_TYPES)`` needs to load an estimator: the names of the
# types that it is made of, skcnn's and Keras's optimizers and learning-rate schedules.
TRUSTED_TYPES = trusted_types()

__all__ = [
    "TRUSTED_TYPES",
    "AugmentationDisplay",
    "CharacterTable",
    "FeedForward",
    "FilterDisplay",
    "ImageAugmenter",
    "ImageClassifier",
    "LoadError",
    "MiniCNN",
    "MisclassifiedImagesDisplay",
    "SaliencyDisplay",
    "SampleGenerator",
    "Seq2SeqRNN",
    "SpeedNet",
    "StackedCNN",
    "TrainingHistoryDisplay",
    "VGGLite",
    "character_accuracy_score",
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
