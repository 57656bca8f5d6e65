"""Image classifiers and string-to-string networks for scikit-learn users, on Keras.

Data, metrics and `ImageAugmenter` are imported at once. Everything else needs TensorFlow, which
takes seconds to start, and is imported when it is first used.
"""

from typing import TYPE_CHECKING, Any

from .datasets import fetch_cifar10, load_digit_images, load_image_folder, make_arithmetic
from .image.augmentation import ImageAugmenter
from .metrics import (
    character_accuracy_score,
    character_error_rate,
    confident_error_counts,
    exact_match_score,
)

if TYPE_CHECKING:
    from ._lazy import (
        TRUSTED_TYPES,
        AttentionDisplay,
        AugmentationDisplay,
        CharacterTable,
        FeedForward,
        FilterDisplay,
        ImageClassifier,
        ImageFeatures,
        ImageRegressor,
        LoadError,
        MiniCNN,
        MisclassifiedImagesDisplay,
        PretrainedClassifier,
        PretrainedRegressor,
        SaliencyDisplay,
        SampleGenerator,
        Seq2SeqRNN,
        SpeedNet,
        StackedCNN,
        StringMistakesDisplay,
        TrainingHistoryDisplay,
        VGGLite,
        build_model,
        clear_compiled,
        load,
    )
else:  # a type checker that saw __getattr__ would accept any name

    def __getattr__(name: str) -> Any:
        if name not in __all__ and name not in ("base", "displays", "heads", "sequence"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import _lazy

        globals().update({each: getattr(_lazy, each) for each in _lazy.__all__})
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


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
    "build_model",
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
__version__ = "0.2.0.dev0"
