"""Strings as codes and one-hot rows of their characters."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from .._compat import Interval
from .._files.archive import loadable
from .._strings import check_strings
from .._typing import BaseEstimator, TransformerMixin, fit_context
from ..heads import OneHot

Array = NDArray[Any]


@loadable
class CharacterTable(TransformerMixin, BaseEstimator):
    """Strings as one-hot rows of their characters.

    Shorter strings are filled up at the end with a padding that is no character and that
    :meth:`inverse_transform` takes away again.

    Parameters
    ----------
    characters : str, default=None
        The characters that may come. None takes those of the strings in ``fit``.
    length : int, default=None
        The most characters of a string. None takes that of the longest in ``fit``.

    Attributes
    ----------
    characters_ : ndarray of shape (n_characters,)
        The padding, as ``""``, then the characters in order.
    length_ : int
        Characters of the longest string.

    See Also
    --------
    Seq2SeqRNN : Learns strings from strings and uses two of these.

    Examples
    --------
    >>> from skcnn import CharacterTable
    >>> table = CharacterTable().fit(["12", "305"])
    >>> table.characters_
    array(['', '0', '1', '2', '3', '5'], dtype='<U1')
    >>> table.transform(["13"]).shape
    (1, 3, 6)
    >>> table.inverse_transform(table.transform(["13", "", "205"]))
    array(['13', '', '205'], dtype='<U3')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "characters": [str, None],
        "length": [Interval(Integral, 1, None, closed="left"), None],
    }

    characters_: NDArray[np.str_]
    length_: int

    def __init__(self, *, characters: str | None = None, length: int | None = None) -> None:
        self.characters = characters
        self.length = length

    def __sklearn_tags__(self) -> Any:
        return tag_strings(super().__sklearn_tags__())

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the characters and the length.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Strings.
        y : None
            Ignored.

        Returns
        -------
        self
            The fitted table.
        """
        return self._learn(check_strings(X, "X"), "X")

    def transform(self, X: Any) -> Array:
        """Encode strings.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Strings.

        Returns
        -------
        ndarray of shape (n_samples, `length_`, n_characters), float32
            One-hot rows.

        Raises
        ------
        ValueError
            If a string is too long or has an unknown character; the message names the row, the
            character and its position.
        """
        check_is_fitted(self)
        codes = self._codes(check_strings(X, "X"), "X")
        return OneHot(codes, len(self.characters_))[:]

    def inverse_transform(self, X: Any) -> NDArray[np.str_]:
        """Decode one-hot rows, or probabilities, to strings.

        Parameters
        ----------
        X : array-like of shape (n_samples, `length_`, n_characters)
            The most probable character counts at each place; the first padding ends a string.

        Returns
        -------
        ndarray of str of shape (n_samples,)
            Strings.
        """
        check_is_fitted(self)
        X = check_array(X, ensure_2d=False, allow_nd=True, input_name="X")
        expected = (self.length_, len(self.characters_))
        if X.ndim != 3 or X.shape[1:] != expected:
            raise ValueError(f"X must have shape (n_samples, *{expected}), got {X.shape}.")
        return self._strings(X.argmax(axis=2))

    def _learn(self, strings: NDArray[np.str_], name: str) -> Self:
        points = _code_points(strings)
        known = points if self.characters is None else [ord(char) for char in self.characters]
        known = np.union1d([0], known).astype(np.uint32)
        self.characters_ = known.view("<U1")
        self.length_ = max(1, points.shape[1]) if self.length is None else int(self.length)
        self._codes(strings, name)
        return self

    def _codes(self, strings: NDArray[np.str_], name: str) -> Array:
        """Look the characters up: (n_samples, `length_`) places in `characters_`."""
        lengths = np.strings.str_len(strings)
        row = int(lengths.argmax())
        if lengths[row] > self.length_:
            raise ValueError(
                f"{name} has a string of {lengths[row]} characters in row {row}, "
                f"{str(strings[row])!r}; at most {self.length_} are expected."
            )
        points = _code_points(strings.astype(f"<U{self.length_}"))
        known = self.characters_.view(np.uint32)
        codes = np.minimum(np.searchsorted(known, points), len(known) - 1)
        unknown = np.argwhere(known[codes] != points)
        if len(unknown):
            row, place = unknown[0]
            raise ValueError(
                f"{name} has the unknown character {chr(points[row, place])!r} at position "
                f"{place} of {str(strings[row])!r} in row {row}; known are "
                f"{''.join(self.characters_)!r}."
            )
        return codes.astype(np.uint16 if len(known) <= 2**16 else np.uint32)

    def _strings(self, codes: Array) -> NDArray[np.str_]:
        # All behind the first padding is padding.
        codes = codes * np.cumprod(codes > 0, axis=1)
        points = np.ascontiguousarray(self.characters_.view(np.uint32)[codes])
        return points.view(f"<U{points.shape[1]}")[:, 0]


def _code_points(strings: NDArray[np.str_]) -> NDArray[np.uint32]:
    """View strings as (n_samples, length) Unicode code points, filled up with zeros."""
    width = strings.dtype.itemsize // 4
    return np.ascontiguousarray(strings).view(np.uint32).reshape(len(strings), width)


def tag_strings(tags: Any) -> Any:
    """Say in scikit-learn's tags that X is a 1-D array of strings."""
    tags.input_tags.string = True
    tags.input_tags.one_d_array = True
    tags.input_tags.two_d_array = False
    return tags
