"""Generator of batches of images, for `fit` and for Keras models."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

from .._compat import Interval, validate_parameter_constraints
from .._training.batches import BatchGenerator
from .arrays import as_numpy, as_rows, images_as_rows
from .augmentation import ImageAugmenter


class SampleGenerator(BatchGenerator):
    """Batches of rows, in a new order and with new augmentation at every epoch.

    ``fit`` of the estimators trains on them, and a bare Keras model can:
    ``model.fit(batches, epochs=10, shuffle=False)``. Only the rows of a batch are read and
    converted, so X can be larger than the memory.

    A batch depends on nothing but `random_state`, the number of the epoch and its own number,
    so it is the same however many threads prepare batches and wherever training resumes. The
    augmentation depends on the data as well: two folds of a cross-validation see different
    changes under one `random_state`.

    Parameters
    ----------
    X : array of shape (n_samples, ...) or array-like of paths of shape (n_samples,)
        The inputs, of any real dtype; a `numpy.memmap` stays on disk. A list of images of many
        sizes is taken, too. Augmentation needs images, of shape (n_samples, height, width,
        channels).
    y : array-like of shape (n_samples, ...)
        The targets, or what reads like an array by rows. Under mixup integer labels become
        one-hot rows, for a loss such as ``categorical_crossentropy``.
    sample_weight : array-like of shape (n_samples,), default=None
        One weight for each row.
    batch_size : int
        Rows in a batch; the last batch holds the rest.
    augmentation : ImageAugmenter, default=None
        How to change the images.
    shuffle : bool, default=True
        Whether to draw a new order for every epoch.
    random_state : int, default=None
        Seed of the orders and the augmentation. None takes one from the operating system.
    indices : array-like of int, default=None
        The rows to use. None uses all of them.
    image_size : int or tuple of (height, width), default=None
        Size to resize images to. None refuses images of different sizes.
    resize : {"stretch", "crop", "pad"}, default="stretch"
        How, as in the estimators.
    background : str or tuple of (red, green, blue), default="white"
        What transparent pixels and padding show.
    workers : int, default=1
        Threads that prepare batches.

    Attributes
    ----------
    state : dict
        ``random_state`` and the number of epochs done, of plain integers. Setting it resumes
        there.

    Raises
    ------
    ValueError
        If the lengths of the data differ or a parameter is out of its range.

    See Also
    --------
    ImageAugmenter : The changes and their settings.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn import SampleGenerator
    >>> batches = SampleGenerator(np.arange(5), np.arange(5), batch_size=2, random_state=0)
    >>> len(batches)
    3
    >>> [len(y) for _, y in batches]
    [2, 2, 1]
    >>> batches.state
    {'random_state': 0, 'epoch': 0}
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "augmentation": [ImageAugmenter, None],
        "shuffle": ["boolean"],
        "random_state": [Interval(Integral, 0, None, closed="left"), None],
        "workers": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        batch_size: int,
        augmentation: ImageAugmenter | None = None,
        shuffle: bool = True,
        random_state: int | None = None,
        indices: Any = None,
        image_size: int | Sequence[int] | None = None,
        resize: str = "stretch",
        background: str | Sequence[int] = "white",
        workers: int = 1,
    ) -> None:
        given = locals()
        validate_parameter_constraints(
            self._parameter_constraints,
            {name: given[name] for name in self._parameter_constraints},
            caller_name=type(self).__name__,
        )
        super().__init__(
            images_as_rows(X, image_size=image_size, resize=resize, background=background),
            as_rows(as_numpy(y, "y")),
            sample_weight,
            batch_size=batch_size,
            augmentation=augmentation,
            shuffle=shuffle,
            random_state=random_state,
            indices=indices,
            workers=workers,
        )
