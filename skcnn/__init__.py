"""Image classifiers for scikit-learn users, on Keras."""

from ._quiet import quiet_tensorflow_start

with quiet_tensorflow_start():
    from .image import FeedForward, ImageClassifier, MiniCNN, StackedCNN, VGGLite

__all__ = ["FeedForward", "ImageClassifier", "MiniCNN", "StackedCNN", "VGGLite"]
__version__ = "0.1.0"
