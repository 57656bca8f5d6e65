"""The layer notation: text -> layers -> Keras model.

An architecture is text, so it prints, clones, pickles and can be searched like any other
parameter. :func:`parse` turns it into a tuple of layers, :func:`canonical` writes such a tuple
back, and :func:`build_network` makes the Keras model.

The grammar, in which ``->`` separates layers and ``[...]*n`` repeats them::

    network  = ["INPUT ->"] sequence            the last layer is FCS
    sequence = item {"->" item}
    item     = layer | "[" sequence "]" ["*" n] | "RES[" sequence "]" ["*" n]
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from typing import NoReturn

import keras
import numpy as np
from numpy.typing import NDArray

from .layers import FusedBatchNormalization

# Far beyond any network that trains on one machine. Without them a typing error such as
# "FC-10000000000" or "[[...]*999]*999" would exhaust the memory instead of raising.
MAX_LAYERS = 1000
MAX_SIZE = 100_000
MAX_DEPTH = 20

# Keras's default of 0.99 would lag behind the weights by hundreds of batches.
BATCH_NORM_MOMENTUM = 0.6

# What is built in Keras may be more: weights of 1 GiB, and half of Python's recursion limit, as
# Keras visits the layers recursively.
MAX_PARAMETERS = 2**28
MAX_BUILT_LAYERS = 500


@dataclass(frozen=True)
class Conv:
    """Convolution with same padding."""

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
    """A layer without numbers: an activation, GAP, BN or FCS."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Residual:
    """A body whose input is added to its output."""

    body: tuple[Layer, ...]

    def __str__(self) -> str:
        return f"RES[{canonical(self.body)}]"


Layer = Conv | Pool | Dense | Dropout | Simple | Residual

ACTIVATIONS = {"RELU": "relu", "GELU": "gelu", "SILU": "silu", "TANH": "tanh"}
POOLS = {"POOL": keras.layers.MaxPooling2D, "AVGPOOL": keras.layers.AveragePooling2D}
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
        The layers in order, repeats written out. Two spellings of one network are equal.

    Raises
    ------
    ValueError
        If the text is not an architecture. The message shows the line, a caret under the place
        and what was expected there.

    Examples
    --------
    >>> from skcnn._architecture import canonical, parse
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
    """Write layers in the notation, one spelling for each network.

    ``parse(canonical(layers)) == layers`` for every result of :func:`parse`.
    """
    return " -> ".join(str(layer) for layer in layers)


class _Parser:
    """Recursive descent over the text; every error goes through :meth:`fail`."""

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
        # The length comes first because Python refuses to convert thousands of digits.
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
            self.fail("INPUT stands only at the beginning", start)
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
            self.fail("expected a dropout rate from 0 to below 1", start)
        return rate


def count(placed: list[tuple[Layer, int]]) -> int:
    """Count the layers, those inside residual bodies included."""
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
    """Reject what cannot stand in a residual body, which maps an image to an image."""
    for layer, start in placed:
        if isinstance(layer, Dense) or layer in (Simple("GAP"), Simple("FCS")):
            parser.fail(f"{layer} cannot stand inside RES[...], which keeps an image", start)


def check_order(placed: list[tuple[Layer, int]], parser: _Parser) -> None:
    """Reject layers that come where their input does not exist."""
    flat_since: Layer | None = None
    for index, (layer, start) in enumerate(placed):
        last = index == len(placed) - 1
        if layer == Simple("FCS") and not last:
            parser.fail("FCS stands only at the end", start)
        if layer != Simple("FCS") and last:
            parser.fail("expected '-> FCS' at the end", len(parser.text.rstrip()))
        needs_image = isinstance(layer, Conv | Pool | Residual) or layer == Simple("GAP")
        if needs_image and flat_since is not None:
            parser.fail(f"{layer} needs an image, but {flat_since} has made it a vector", start)
        if isinstance(layer, Dense) or layer == Simple("GAP"):
            flat_since = layer


def build_network(
    *,
    architecture: str,
    input_shape: tuple[int, int, int],
    n_classes: int,
    batch_norm: bool,
    standardize: bool,
    dtype: str = "float32",
    fused: bool = False,
) -> keras.Model:
    """Build the Keras model of an architecture.

    Parameters
    ----------
    architecture : str
        The layers.
    input_shape : tuple of (height, width, channels)
        Shape of one image.
    n_classes : int
        Number of units of the final softmax layer.
    batch_norm : bool
        Put batch normalization after each convolution that has none of its own.
    standardize : bool
        Start with a layer that subtracts a mean and divides by a standard deviation per
        channel. It comes with mean 0 and variance 1; :func:`set_standardization` sets them.
    dtype : str
        Keras dtype policy of all layers but the softmax, whose output is float32.
    fused : bool
        Use layers that train faster, or more safely, than those of Keras and have the same
        weights.

    Returns
    -------
    keras.Model
        Not compiled, and with the same weights every time: whoever trains it draws them. The
        input of its last layer are the penultimate features.

    Raises
    ------
    ValueError
        If the network has more layers or parameters than can be trained.
    """
    layers = parse(architecture)
    size = _Size(batch_norm, fused)
    size.add_network(layers, input_shape, n_classes, standardize)
    check_size("architecture", size.n_layers, size.n_parameters)
    builder = _Builder(batch_norm, dtype, fused)
    inputs = keras.Input(input_shape, name="image", dtype="float32")
    # A frozen BatchNormalization rather than a Normalization layer: it holds the statistics in
    # variables instead of constants, so that a trained graph can be used for other data.
    outputs = inputs
    if standardize:
        outputs = keras.layers.BatchNormalization(
            center=False,
            scale=False,
            epsilon=0.0,
            trainable=False,
            name="standardize",
            dtype="float32",
        )(inputs)
    outputs = builder.flatten(builder.apply(outputs, layers[:-1]))
    outputs = builder.dense(outputs, n_classes, "probability", dtype="float32", softmax=True)
    return keras.Model(inputs, outputs, name="network")


def check_size(name: str, n_layers: int, n_parameters: int) -> None:
    """Refuse a network that would exhaust the recursion limit or the memory.

    `name` says which parameters of the estimator ask for it.
    """
    for count, limit, what in (
        (n_layers, MAX_BUILT_LAYERS, "layers"),
        (n_parameters, MAX_PARAMETERS, "parameters"),
    ):
        if count > limit:
            raise ValueError(
                f"{name}: the network would have {count:,} {what}; at most {limit:,} are possible."
            )


def set_standardization(
    model: keras.Model, mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> None:
    """Store the channel statistics of the training images in a model that standardizes."""
    model.get_layer("standardize").set_weights([mean, variance])


class _Builder:
    """Adds layers to a graph, counting them for their names.

    Every random part has a seed, as Keras would take one from Python's global generator.
    """

    def __init__(self, batch_norm: bool, dtype: str, fused: bool) -> None:
        self.batch_norm = batch_norm
        self.dtype = dtype
        self.fused = fused
        self.norm = FusedBatchNormalization if fused else keras.layers.BatchNormalization
        self.counts: Counter[str] = Counter()

    def name(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{kind}_{self.counts[kind]}"

    def apply(self, x: keras.KerasTensor, layers: tuple[Layer, ...]) -> keras.KerasTensor:
        for layer, follower in zip_longest(layers, layers[1:]):
            match layer:
                case Conv():
                    x = self.convolution(x, layer, followed_by_norm=follower == Simple("BN"))
                case Pool(name, size):
                    x = POOLS[name](
                        size,
                        padding="same",
                        data_format="channels_last",
                        name=self.name(name.lower()),
                        dtype=self.dtype,
                    )(x)
                case Dense(units):
                    x = self.dense(self.flatten(x), units, self.name("fc"), dtype=self.dtype)
                case Dropout(rate):
                    x = keras.layers.Dropout(
                        rate, seed=0, name=self.name("dropout"), dtype=self.dtype
                    )(x)
                case Residual(body):
                    x = self.residual(x, body)
                case Simple("BN"):
                    x = self.normalization(x)
                case Simple("GAP"):
                    x = keras.layers.GlobalAveragePooling2D(
                        data_format="channels_last", name=self.name("gap"), dtype=self.dtype
                    )(x)
                case Simple(name):
                    x = keras.layers.Activation(
                        ACTIVATIONS[name], name=self.name(name.lower()), dtype=self.dtype
                    )(x)
        return x

    def convolution(
        self, x: keras.KerasTensor, layer: Conv, *, followed_by_norm: bool
    ) -> keras.KerasTensor:
        add_norm = self.batch_norm and not followed_by_norm
        strides = layer.strides
        if self.fused and layer.kernel_size == 1 and strides > 1:
            x, strides = self.subsample(x, strides), 1
        x = keras.layers.Conv2D(
            layer.filters,
            layer.kernel_size,
            strides=strides,
            padding="same",
            data_format="channels_last",
            use_bias=not (add_norm or followed_by_norm),  # the norm's own offset replaces it
            kernel_initializer=keras.initializers.GlorotUniform(seed=0),
            name=self.name("conv"),
            dtype="float32" if _one_column(x, strides) else self.dtype,
        )(x)
        return self.normalization(x) if add_norm else x

    def subsample(self, x: keras.KerasTensor, strides: int) -> keras.KerasTensor:
        """Keep the pixels that a strided convolution with a kernel of one pixel reads.

        TensorFlow's filter gradient of such a convolution writes past the end of its memory for
        some shapes, in float32 too.
        """
        return keras.layers.AveragePooling2D(
            1,
            strides=strides,
            padding="same",
            data_format="channels_last",
            name=self.name("subsample"),
            dtype=self.dtype,
        )(x)

    def normalization(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self.norm(momentum=BATCH_NORM_MOMENTUM, name=self.name("bn"), dtype=self.dtype)(x)

    def dense(
        self, x: keras.KerasTensor, units: int, name: str, *, dtype: str, softmax: bool = False
    ) -> keras.KerasTensor:
        return keras.layers.Dense(
            units,
            activation="softmax" if softmax else None,
            kernel_initializer=keras.initializers.GlorotUniform(seed=0),
            name=name,
            dtype=dtype,
        )(x)

    def flatten(self, x: keras.KerasTensor) -> keras.KerasTensor:
        if len(x.shape) == 2:
            return x
        return keras.layers.Flatten(data_format="channels_last", name="flatten", dtype=self.dtype)(
            x
        )

    def residual(self, x: keras.KerasTensor, body: tuple[Layer, ...]) -> keras.KerasTensor:
        y = self.apply(x, body)
        if y.shape != x.shape:
            strides = math.prod(_strides(layer) for layer in body)
            projection = Conv(y.shape[-1], kernel_size=1, strides=strides)
            x = self.convolution(x, projection, followed_by_norm=False)
        return keras.layers.Add(name=self.name("add"), dtype=self.dtype)([x, y])


class _Size:
    """Counts the Keras layers and the parameters of a network without building it."""

    def __init__(self, batch_norm: bool, fused: bool) -> None:
        self.batch_norm = batch_norm
        self.fused = fused
        self.n_layers = 0
        self.n_parameters = 0

    def add(self, n_parameters: int) -> None:
        self.n_layers += 1
        self.n_parameters += n_parameters

    def add_network(
        self,
        layers: tuple[Layer, ...],
        shape: tuple[int, ...],
        n_classes: int,
        standardize: bool,
    ) -> None:
        self.add(0)
        if standardize:
            self.add(2 * shape[-1])
        self.add_dense(self.add_sequence(layers[:-1], shape), n_classes)

    def add_sequence(self, layers: tuple[Layer, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
        for layer, follower in zip_longest(layers, layers[1:]):
            match layer:
                case Conv():
                    shape = self.add_convolution(layer, shape, follower == Simple("BN"))
                case Dense(units):
                    shape = self.add_dense(shape, units)
                case Residual(body):
                    shape = self.add_residual(body, shape)
                case Simple("BN"):
                    self.add(4 * shape[-1])
                case _:
                    self.add(0)
            if isinstance(layer, Pool):
                shape = _divided(shape, layer.size)
            elif layer == Simple("GAP"):
                shape = shape[-1:]
        return shape

    def add_convolution(
        self, layer: Conv, shape: tuple[int, ...], followed_by_norm: bool
    ) -> tuple[int, ...]:
        kernel = layer.kernel_size**2 * shape[-1] * layer.filters
        add_norm = self.batch_norm and not followed_by_norm
        if self.fused and layer.kernel_size == 1 < layer.strides:
            self.add(0)
        self.add(kernel + layer.filters * (not (add_norm or followed_by_norm)))
        if add_norm:
            self.add(4 * layer.filters)
        return (*_divided(shape, layer.strides)[:-1], layer.filters)

    def add_dense(self, shape: tuple[int, ...], units: int) -> tuple[int, ...]:
        if len(shape) > 1:
            self.add(0)
        self.add((math.prod(shape) + 1) * units)
        return (units,)

    def add_residual(self, body: tuple[Layer, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
        made = self.add_sequence(body, shape)
        if made != shape:
            strides = math.prod(map(_strides, body))
            self.add_convolution(Conv(made[-1], 1, strides), shape, False)
        self.add(0)
        return made


def _divided(shape: tuple[int, ...], strides: int) -> tuple[int, ...]:
    return (*(-(-side // strides) for side in shape[:-1]), shape[-1])


def _one_column(x: keras.KerasTensor, strides: int) -> bool:
    """Tell whether a strided convolution makes images one pixel wide.

    In bfloat16 TensorFlow's kernels get those wrong: where the stride exceeds the width the filter
    gradient has uninitialized memory in it, where it equals the width some outputs are wrong.
    """
    return strides > 1 and x.shape[2] <= strides


def _strides(layer: Layer) -> int:
    match layer:
        case Conv(strides=strides):
            return strides
        case Pool(size=size):
            return size
        case Residual(body):
            return math.prod(_strides(inner) for inner in body)
    return 1
