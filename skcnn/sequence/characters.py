"""Encode strings as codes and one-hot rows of their characters or words."""

from __future__ import annotations

import textwrap
import unicodedata
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from .._compat import Interval, StrOptions
from .._files.registry import loadable
from .._strings import check_strings
from .._typing import BaseEstimator, TransformerMixin, fit_context
from ..heads import OneHot

Array = NDArray[Any]


ANALYZERS = ("char", "word")
UNITS = {"char": "character", "word": "word"}
# Replaces unknown characters when decoding.
UNKNOWN = "\ufffd"
NORMAL_FORMS = ("NFC", "NFKC", "NFD", "NFKD")


@loadable
class CharacterTable(TransformerMixin, BaseEstimator):
    """Strings as one-hot rows of their characters or words.

    Shorter strings are filled up at the end with a padding that is no character and that
    :meth:`inverse_transform` takes away again.

    Parameters
    ----------
    characters : str or list of str, default=None
        The characters, or the words, that may come. None takes those of the strings in ``fit``.
    length : int, default=None
        The most characters, or words, of a string. None takes that of the longest in ``fit``.
    analyzer : {"char", "word"}, default="char"
        What a string is made of: characters, or words that white space separates.
        :meth:`inverse_transform` joins words by one space.
    handle_unknown : {"error", "ignore"}, default="error"
        What to do in ``transform`` with characters that are not known: raise an error, or make
        rows of zeros. "ignore" also cuts strings that are too long.
    normalize : {"NFC", "NFKC", "NFD", "NFKD"}, default=None
        The Unicode normal form to bring strings to first, so that the two ways to write "é" are
        one. None leaves them as they are.

    Attributes
    ----------
    characters_ : ndarray of shape (n_characters,)
        The padding, as ``""``, then the characters, or words, in order.
    length_ : int
        Characters, or words, of the longest string.

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
    >>> CharacterTable(analyzer="word").fit(["HH AH L OW"]).characters_
    array(['', 'AH', 'HH', 'L', 'OW'], dtype='<U2')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "characters": [str, list, None],
        "length": [Interval(Integral, 1, None, closed="left"), None],
        "analyzer": [StrOptions(set(ANALYZERS))],
        "handle_unknown": [StrOptions({"error", "ignore"})],
        "normalize": [StrOptions(set(NORMAL_FORMS)), None],
    }

    characters_: NDArray[np.str_]
    length_: int

    def __init__(
        self,
        *,
        characters: str | list[str] | None = None,
        length: int | None = None,
        analyzer: str = "char",
        handle_unknown: str = "error",
        normalize: str | None = None,
    ) -> None:
        self.characters = characters
        self.length = length
        self.analyzer = analyzer
        self.handle_unknown = handle_unknown
        self.normalize = normalize

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

    def _normal(self, strings: NDArray[np.str_]) -> NDArray[np.str_]:
        if self.normalize is None:
            return strings
        form: Any = self.normalize
        return np.array([unicodedata.normalize(form, text) for text in strings.tolist()])

    def _learn(self, strings: NDArray[np.str_], name: str) -> Self:
        strings = self._normal(strings)
        lengths = self._lengths(strings)
        self.characters_ = self._known(strings)
        self.length_ = max(1, int(lengths.max())) if self.length is None else int(self.length)
        self._codes(strings, name)
        return self

    def _known(self, strings: NDArray[np.str_]) -> NDArray[np.str_]:
        if self.analyzer == "word":
            known = self.characters
            if known is None:
                known = [word for text in strings.tolist() for word in text.split()]
            return np.unique(["", *known])
        points = _code_points(strings)
        if self.characters is not None:
            points = np.array([ord(char) for char in "".join(self.characters)])
        return np.union1d([0], points).astype(np.uint32).view("<U1")

    def _parts(self, text: str) -> list[str]:
        """Split a string into its characters or words."""
        return text.split() if self.analyzer == "word" else list(text)

    def _lengths(self, strings: NDArray[np.str_]) -> Array:
        if self.analyzer == "word":
            return np.array([len(text.split()) for text in strings.tolist()])
        return np.strings.str_len(strings)

    def _codes(
        self, strings: NDArray[np.str_], name: str, *, any_length: bool = False, more: int = 0
    ) -> Array:
        """Encode strings as codes.

        Parameters
        ----------
        strings : ndarray of str of shape (n_samples,)
            Strings.
        name : str
            The name of the argument in error messages.
        any_length : bool, default=False
            Whether strings may be longer than `length_` where `length` is None.
        more : int, default=0
            Columns of padding to add.

        Returns
        -------
        ndarray of shape (n_samples, length), uint16 or uint32
            Indices into `characters_`; its length for unknown characters.
        """
        strings = self._normal(strings)
        lengths = self._lengths(strings)
        width = self.length_
        if any_length:
            longest = max(1, int(lengths.max()))
            width = longest if self.length is None else min(longest, self.length_)
        row = int(lengths.argmax())
        if lengths[row] > width and self.handle_unknown == "error":
            raise ValueError(
                f"{name} has a string of {lengths[row]} {UNITS[self.analyzer]}s in row {row}, "
                f"{str(strings[row])!r}; at most {width} are expected."
            )
        codes = self._look_up(strings, width)
        unknown = np.argwhere(codes == len(self.characters_))
        if len(unknown) and self.handle_unknown == "error":
            self._refuse(strings, name, *unknown[0])
        codes = codes.astype(np.uint16 if len(self.characters_) < 2**16 else np.uint32)
        return np.pad(codes, ((0, 0), (0, more))) if more else codes

    def _look_up(self, strings: NDArray[np.str_], width: int) -> Array:
        known = self.characters_
        if self.analyzer == "word":
            places = {word: code for code, word in enumerate(known.tolist())}
            codes = np.zeros((len(strings), width), np.intp)
            for row, text in zip(codes, strings.tolist(), strict=True):
                words = text.split()[:width]
                row[: len(words)] = [places.get(word, len(known)) for word in words]
            return codes
        points, known = _code_points(strings.astype(f"<U{width}")), known.view(np.uint32)
        codes = np.minimum(np.searchsorted(known, points), len(known) - 1)
        return np.where(known[codes] == points, codes, len(known))

    def _refuse(self, strings: NDArray[np.str_], name: str, row: int, place: int) -> None:
        text = str(strings[row])
        if self.analyzer == "word":
            found = text.split()[place]
            known = textwrap.shorten(" ".join(self.characters_[1:]), 400)
        else:
            found, known = text[place], "".join(self.characters_)
        raise ValueError(
            f"{name} has the unknown {UNITS[self.analyzer]} {found!r} at position {place} of "
            f"{text!r} in row {row}; known are {known!r}."
        )

    def _strings(self, codes: Array) -> NDArray[np.str_]:
        # Everything after the first padding is padding.
        codes = codes * np.cumprod(codes > 0, axis=1)
        known = np.append(self.characters_, UNKNOWN)
        if self.analyzer == "word":
            words = known[codes]
            return np.array([" ".join(filter(None, row)) for row in words.tolist()])
        points = np.ascontiguousarray(known.view(np.uint32)[codes])
        return points.view(f"<U{points.shape[1]}")[:, 0]


def _code_points(strings: NDArray[np.str_]) -> NDArray[np.uint32]:
    """View strings as (n_samples, length) Unicode code points, padded with zeros."""
    width = strings.dtype.itemsize // 4
    return np.ascontiguousarray(strings).view(np.uint32).reshape(len(strings), width)


def tag_strings(tags: Any) -> Any:
    """Set scikit-learn's tags for a 1-D X of strings."""
    tags.input_tags.string = True
    tags.input_tags.one_d_array = True
    tags.input_tags.two_d_array = False
    return tags
