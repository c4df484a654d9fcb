"""Pieces of charts as plotly.js reads them.

Colours are names (``c0`` ... ``c7``, ``faint``, ``text``, ``cells``) in place of which the page's
script puts those of the light or the dark theme.
"""

from typing import Any

import pandas as pd

CYCLE = 8  # colours that are told apart

Table = tuple[list[str], list[list[str]]]


def chart(
    name: str, title: str, caption: str, traces: list[Any], table: Table, **layout: Any
) -> dict[str, Any]:
    """A chart with its caption and its numbers as a table (columns, rows) of text."""
    columns, rows = table
    return {
        "id": name,
        "title": title,
        "caption": caption,
        "traces": traces,
        "layout": layout,
        "table": {"columns": columns, "rows": rows},
    }


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with a title."""
    return {"title": {"text": title}, **more}


def bars(layer: int, names: list[str], values: list[float | None]) -> dict[str, Any]:
    """Bars of a layer's programs, below their layer: two layers may have one and the same name."""
    return {
        "type": "bar",
        "name": f"layer {layer}",
        "x": [[f"layer {layer}"] * len(names), names],
        "y": values,
        "marker": {"color": of_layer(layer)},
    }


def lines(name: str, x: list[Any], y: list[float | None], **more: Any) -> dict[str, Any]:
    """A line from point to point."""
    return {"type": "scatter", "name": name, "x": x, "y": y, **more}


def of_layer(layer: int) -> str:
    """The colour of a layer."""
    return f"c{(layer - 1) % CYCLE}"


def numbers(values: pd.Series) -> list[float | None]:
    """Numbers as JSON has them: six digits, and null for what is missing."""
    return [None if pd.isna(value) else float(f"{value:.6g}") for value in values]


def level(height: float) -> dict[str, Any]:
    """A dashed line across the chart."""
    return _dashed(xref="paper", x0=0, x1=1, y0=height, y1=height)


def upright(place: float) -> dict[str, Any]:
    """A dashed line from bottom to top."""
    return _dashed(yref="paper", y0=0, y1=1, x0=place, x1=place)


def _dashed(**ends: Any) -> dict[str, Any]:
    return {"type": "line", "line": {"dash": "dash", "width": 1, "color": "text"}, **ends}
