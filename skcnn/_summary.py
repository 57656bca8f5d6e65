"""Tables of the layers of a network, as text and HTML."""

from __future__ import annotations

from html import escape
from typing import Any

from sklearn.utils import estimator_html_repr

from ._keras import keras

HEAD = ("layer", "output", "parameters")

Row = tuple[str, str, str]


def layer_rows(model: keras.Model) -> list[Row]:
    """List the layers with output shapes and parameter counts, and the total."""
    rows = [
        (layer.name, _shape(keras.tree.flatten(layer.output)[0]), f"{layer.count_params():,}")
        for layer in model.layers
    ]
    trainable = sum(variable.value.shape.num_elements() for variable in model.trainable_variables)
    return [*rows, ("total", f"{trainable:,} trainable", f"{model.count_params():,}")]


def _shape(output: keras.KerasTensor) -> str:
    return " x ".join("any" if size is None else str(size) for size in output.shape[1:])


def as_text(rows: list[Row]) -> str:
    """Format a table with aligned columns."""
    rows = [HEAD, *rows]
    first, second, third = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [f"{name:{first}}  {shape:{second}}  {count:>{third}}" for name, shape, count in rows]
    return "\n".join(line.rstrip() for line in lines)


def as_html(title: str, rows: list[Row]) -> str:
    """Format a collapsible table as HTML."""
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    head = "".join(f"<th>{name}</th>" for name in HEAD)
    return (
        f'<details class="skcnn-network"><summary>{escape(title)}</summary>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></details>"
    )


def html_repr(estimator: Any) -> str:
    """Make what a notebook shows: scikit-learn's diagram, and under it the layers."""
    diagram: str = estimator_html_repr(estimator)
    if estimator.__sklearn_is_fitted__():
        rows = layer_rows(estimator.model_)
        return diagram + as_html(f"Network of {rows[-1][2]} parameters", rows)
    names = estimator._layer_names()
    return diagram + as_html("Network", [(name, "", "") for name in names]) * bool(names)
