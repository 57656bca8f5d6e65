"""Image classifiers for scikit-learn users, on Keras."""

from ._quiet import quiet_tensorflow_start

with quiet_tensorflow_start():
    from .augmentation import ImageAugmenter, SampleGenerator
    from .datasets import fetch_cifar10, load_digit_images, load_image_folder
    from .image import FeedForward, ImageClassifier, MiniCNN, StackedCNN, VGGLite
    from .plotting import AugmentationDisplay

__all__ = [
    "AugmentationDisplay",
    "FeedForward",
    "ImageAugmenter",
    "ImageClassifier",
    "MiniCNN",
    "SampleGenerator",
    "StackedCNN",
    "VGGLite",
    "fetch_cifar10",
    "load_digit_images",
    "load_image_folder",
]
__version__ = "0.1.0"
