"""Image classifiers for scikit-learn users, on Keras."""

import os
import sys

# TensorFlow's native code greets with a screenful on standard error. Its log level can only be
# set through the environment and before the import. A user's own setting stands, and the
# environment is put back at once.
_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_silence = _LEVEL not in os.environ and "tensorflow" not in sys.modules
if _silence:
    os.environ[_LEVEL] = "3"
try:
    from .image import FeedForward, ImageClassifier, MiniCNN, StackedCNN, VGGLite
finally:
    if _silence:
        del os.environ[_LEVEL]

__all__ = ["FeedForward", "ImageClassifier", "MiniCNN", "StackedCNN", "VGGLite"]
__version__ = "0.1.0"
