"""Parser for the layer notation.

An architecture is a string, so that it can be printed, cloned, pickled and searched like any other
parameter. :func:`parse` converts it to a tuple of layers, :func:`canonical` converts the tuple
back, and :func:`build_network` builds the Keras model.

In the grammar, ``->`` separates layers and ``[...]*n`` repeats them::

    network  = ["INPUT ->"] sequence            the last layer is FCS
    sequence = item {"->" item}
    item     = layer | "[" sequence "]" ["*" n] | "RES[" sequence "]" ["*" n]
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

# Without these limits, a typing error such as "FC-10000000000" or "[[...]*999]*999" would exhaust
# the memory instead of raising.
MAX_LAYERS = 1000
MAX_SIZE = 100_000
MAX_DEPTH = 20


@dataclass(frozen=True)
class Conv:
    """Convolution with "same" padding."""

    filters: int
    kernel_size: int = 3
    strides: int = 1

    def __str__(self) -> str:
        kernel = f":{self.kernel_size}" if self.kernel_size != 3 else ""
        strides = f"/{self.strides}" if self.strides != 1 else ""
        return f"CONV-{self.filters}{kernel}{strides}"


@dataclass(frozen=True)
class Pool:
    """Max or average pooling; the last row and column of odd sizes are padded."""

    name: str
    size: int = 2

    def __str__(self) -> str:
        return self.name if self.size == 2 else f"{self.name}-{self.size}"


@dataclass(frozen=True)
class GlobalPool:
    """Average of the map, or of at most `size` cells a side.

    A map that is not larger stays, as with the adaptive pooling of VGG in torchvision.
    """

    size: int = 1

    def __str__(self) -> str:
        return "GAP" if self.size == 1 else f"GAP-{self.size}"


@dataclass(frozen=True)
class Dense:
    """Fully connected layer."""

    units: int

    def __str__(self) -> str:
        return f"FC-{self.units}"


@dataclass(frozen=True)
class Dropout:
    """Dropout of a fraction of the values while training."""

    rate: float

    def __str__(self) -> str:
        return f"DROPOUT-{np.format_float_positional(self.rate, trim='-')}"


@dataclass(frozen=True)
class Simple:
    """A layer without arguments: an activation, BN or FCS."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Residual:
    """A body whose input is added to its output."""

    body: tuple[Layer, ...]

    def __str__(self) -> str:
        return f"RES[{canonical(self.body)}]"


Layer = Conv | Pool | GlobalPool | Dense | Dropout | Simple | Residual

POOLS = ("POOL", "AVGPOOL")
ACTIVATIONS = {"RELU": "relu", "GELU": "gelu", "SILU": "silu", "TANH": "tanh"}
SPELLINGS = {
    "CONV": "CONV-m",
    "FC": "FC-n",
    "DROPOUT": "DROPOUT-p",
    "RES": "RES[...]",
    **{name: name for name in [*ACTIVATIONS, *POOLS, "GAP", "BN", "FCS", "INPUT"]},
}


def parse(text: str) -> tuple[Layer, ...]:
    """Read an architecture.

    Parameters
    ----------
    text : str
        The architecture in the layer notation. Case and white space do not matter.

    Returns
    -------
    tuple of layers
        The layers in order, with repeats expanded. Different spellings of a network give equal
        tuples.

    Raises
    ------
    ValueError
        If the text is not an architecture. The message shows the line, a caret at the position of
        the error and what was expected there.

    Examples
    --------
    >>> from skcnn.image.notation import canonical, parse
    >>> canonical(parse("[conv-8:3 -> RELU]*2->POOL-2 -> FCS"))
    'CONV-8 -> RELU -> CONV-8 -> RELU -> POOL -> FCS'
    >>> parse("CONV-8 -> RELU -> CONV -> FCS")
    Traceback (most recent call last):
        ...
    ValueError: architecture: expected '-' and the number of filters after CONV
        CONV-8 -> RELU -> CONV -> FCS
                              ^
    """
    return _Parser(text).network()


def canonical(layers: tuple[Layer, ...]) -> str:
    """Convert layers to their canonical spelling.

    ``parse(canonical(layers)) == layers`` for every result of :func:`parse`.
    """
    return " -> ".join(str(layer) for layer in layers)


class _Parser:
    """Recursive descent parser; all errors are raised by :meth:`fail`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def fail(self, problem: str, position: int | None = None) -> NoReturn:
        at = self.position if position is None else position
        start = self.text.rfind("\n", 0, at) + 1
        line = self.text[start:].split("\n", 1)[0].expandtabs(1)
        raise ValueError(f"architecture: {problem}\n    {line}\n    {' ' * (at - start)}^")

    def skip_space(self) -> None:
        while self.text[self.position : self.position + 1].isspace():
            self.position += 1

    def accept(self, literal: str) -> bool:
        self.skip_space()
        found = self.text.startswith(literal, self.position)
        self.position += len(literal) * found
        return found

    def take(self, characters: str) -> str:
        start = self.position
        while self.text[self.position : self.position + 1] in set(characters):
            self.position += 1
        return self.text[start : self.position]

    def number(self, what: str, *, low: int = 1, high: int = MAX_SIZE) -> int:
        start = self.position
        digits = self.take("0123456789").lstrip("0") or "0"
        if self.position == start:
            self.fail(f"expected {what}")
        # Compare the length first, as int() raises for thousands of digits.
        if len(digits) > len(str(high)) or not low <= int(digits) <= high:
            self.fail(f"expected {what} from {low} to {high}", start)
        return int(digits)

    def network(self) -> tuple[Layer, ...]:
        placed = self.sequence(depth=0, first=True)
        self.skip_space()
        if self.position < len(self.text):
            self.fail("expected '->' or the end")
        check_order(placed, self)
        return tuple(layer for layer, _ in placed)

    def sequence(self, depth: int, first: bool = False) -> list[tuple[Layer, int]]:
        if depth > MAX_DEPTH:
            self.fail(f"brackets are nested more than {MAX_DEPTH} deep")
        placed = self.item(depth, first)
        while self.accept("->"):
            placed = placed + self.item(depth)
            if count(placed) > MAX_LAYERS:
                self.fail(f"more than {MAX_LAYERS} layers")
        return placed

    def item(self, depth: int, first: bool = False) -> list[tuple[Layer, int]]:
        self.skip_space()
        start = self.position
        name = self.take_name()
        if name == "INPUT" and first:
            if not self.accept("->"):
                self.fail("expected '->' after INPUT")
            return self.item(depth)
        if name not in ("", "RES"):
            return [(self.layer(name, start), start)]
        if not self.accept("["):
            self.fail("expected '[' after RES" if name else "expected a layer or '['")
        placed = self.sequence(depth + 1)
        if not self.accept("]"):
            self.fail("expected '->' or ']'")
        if name == "RES":
            check_body(placed, self)
            placed = [(Residual(tuple(layer for layer, _ in placed)), start)]
        if self.accept("*"):
            self.skip_space()
            at = self.position
            times = self.number("the number of repeats")
            if times * count(placed) > MAX_LAYERS:
                self.fail(f"more than {MAX_LAYERS} layers", at)
            placed = placed * times
        return placed

    def take_name(self) -> str:
        return self.take("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ").upper()

    def layer(self, name: str, start: int) -> Layer:
        if name not in SPELLINGS:
            close = difflib.get_close_matches(name, SPELLINGS, n=1)
            hint = f"did you mean {SPELLINGS[close[0]]}?" if close else "expected one of "
            every = "" if close else ", ".join(SPELLINGS.values())
            self.fail(f"unknown layer {name}; {hint}{every}", start)
        if name == "INPUT":
            self.fail("INPUT is only allowed at the beginning", start)
        if name == "CONV":
            self.dash("the number of filters after CONV")
            filters = self.number("the number of filters")
            kernel = self.number("the kernel size", high=99) if self.follows(":") else 3
            strides = self.number("the stride", high=99) if self.follows("/") else 1
            return Conv(filters, kernel, strides)
        if name == "FC":
            self.dash("the number of units after FC")
            return Dense(self.number("the number of units"))
        if name == "DROPOUT":
            self.dash("the rate after DROPOUT")
            return Dropout(self.rate())
        if name in POOLS:
            size = self.number("the pool size", high=99) if self.dashed() else 2
            return Pool(name, size)
        if name == "GAP":
            return GlobalPool(
                self.number("the number of cells a side", high=99) if self.dashed() else 1
            )
        return Simple(name)

    def follows(self, character: str) -> bool:
        found = self.text.startswith(character, self.position)
        self.position += found
        return found

    def dashed(self) -> bool:
        return not self.text.startswith("->", self.position) and self.follows("-")

    def dash(self, expected: str) -> None:
        if not self.dashed():
            self.fail(f"expected '-' and {expected}")

    def rate(self) -> float:
        start = self.position
        digits = self.take("0123456789.")
        try:
            rate = float(digits)
        except ValueError:
            rate = math.nan
        if not 0 <= rate < 1:
            self.fail("expected a dropout rate in [0, 1)", start)
        return rate


def count(placed: list[tuple[Layer, int]]) -> int:
    """Count the layers, including those inside residual bodies."""
    return sum(
        1 + count([(inner, 0) for inner in layer.body]) if isinstance(layer, Residual) else 1
        for layer, _ in placed
    )


def n_weighted(layers: tuple[Layer, ...]) -> int:
    """Count the layers that have weights."""
    return sum(
        n_weighted(layer.body)
        if isinstance(layer, Residual)
        else isinstance(layer, Conv | Dense) or layer in (Simple("BN"), Simple("FCS"))
        for layer in layers
    )


def check_body(placed: list[tuple[Layer, int]], parser: _Parser) -> None:
    """Reject layers in a residual body that do not map an image to an image."""
    for layer, start in placed:
        if isinstance(layer, Dense | GlobalPool) or layer == Simple("FCS"):
            parser.fail(f"{layer} is not allowed in RES[...], whose output is an image", start)


def check_order(placed: list[tuple[Layer, int]], parser: _Parser) -> None:
    """Reject layers in an invalid order."""
    flat_since: Layer | None = None
    for index, (layer, start) in enumerate(placed):
        last = index == len(placed) - 1
        if layer == Simple("FCS") and not last:
            parser.fail("FCS is only allowed at the end", start)
        if layer != Simple("FCS") and last:
            parser.fail("expected '-> FCS' at the end", len(parser.text.rstrip()))
        needs_image = isinstance(layer, Conv | Pool | GlobalPool | Residual)
        if needs_image and flat_since is not None:
            parser.fail(f"{layer} needs an image, but {flat_since} outputs a vector", start)
        if isinstance(layer, Dense) or layer == GlobalPool():
            flat_since = layer
