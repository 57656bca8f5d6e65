"""What a notebook shows of an estimator: its layers and its history; the layers also as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sklearn.utils import estimator_html_repr

from ._keras import keras

HEAD = ("layer", "output", "parameters")

# Colours of the losses that are visible on light and dark backgrounds.
COLOURS = {"loss": "#3d8bd0", "val_loss": "#d5730a"}

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


def history_html(history: Mapping[str, Sequence[float]]) -> str:
    """Draw the losses of all epochs as SVG, and list the metrics of the last epoch."""
    losses = {name: history[name] for name in ("loss", "val_loss") if name in history}
    values = [value for each in losses.values() for value in each if math.isfinite(value)]
    if not values:
        return ""
    n_epochs = len(history["loss"])
    low, high = min(values), max(values)
    curves, key = [], []
    for name, colour in COLOURS.items():
        if name not in losses:
            continue
        points = " ".join(
            f"{8 + 284 * epoch / max(n_epochs - 1, 1):.1f},"
            f"{72 - 64 * (value - low) / ((high - low) or 1):.1f}"
            for epoch, value in enumerate(losses[name])
            if math.isfinite(value)
        )
        curves.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        key.append(f'<span style="color:{colour}">{name}</span>')
    last = ", ".join(
        f"{escape(name)} {each[-1]:.4g}" for name, each in history.items() if name != "seconds"
    )
    count = f"{n_epochs} epoch" + "s" * (n_epochs > 1)
    return (
        f'<details class="skcnn-history" open><summary>{count}: {last}</summary>'
        f'<svg width="300" height="80" role="img" aria-label="Losses of {count}">'
        f"{''.join(curves)}</svg>"
        f"<div>{', '.join(key)} from {low:.3g} to {high:.3g}</div></details>"
    )


def html_repr(estimator: Any) -> str:
    """Make what a notebook shows: scikit-learn's diagram, and under it the layers and losses."""
    diagram: str = estimator_html_repr(estimator)
    if estimator.__sklearn_is_fitted__():
        rows = layer_rows(estimator.model_)
        history = history_html(getattr(estimator, "history_", {}))
        return diagram + as_html(f"Network of {rows[-1][2]} parameters", rows) + history
    names = estimator._layer_names()
    return diagram + as_html("Network", [(name, "", "") for name in names]) * bool(names)
