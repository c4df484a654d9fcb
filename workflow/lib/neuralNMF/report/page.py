"""The page: contents in, one HTML text out, which needs nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from neuralNMF.report.pack import pack_bytes

# In the order in which they run; each is wrapped in a function of its own.
SCRIPTS = ("base.js", "tree.js", "cells.js", "map.js", "programs.js", "charts.js", "start.js")
# What the scripts read, the rest of cards and charts stands in the page's text.
OF_CARDS = ("id", "name", "layer", "colour", "children")
OF_CHARTS = ("traces", "layout")


def page_of(contents: Mapping[str, Any]) -> str:
    """Fill the page with the contents of a report.

    All text is escaped, whatever names of genes, labels and samples hold; the data are JSON in
    which no ``<`` is left.

    Parameters
    ----------
    contents : mapping
        Of `neuralNMF.report.contents.contents_of`.

    Returns
    -------
    str
        HTML.
    """
    environment = _environment()
    return environment.get_template("report.html").render(
        **contents,
        labelled=any(card["best_label"] for card in contents["cards"]),
        by_id={card["id"]: card for card in contents["cards"]},
        data={
            "cards": _some(contents["cards"], OF_CARDS),
            "charts": _some(contents["charts"], OF_CHARTS),
            **{key: contents[key] for key in ("cells", "genes", "depth")},
        },
        style=_own("report.css"),
        scripts=[_own(name) for name in SCRIPTS],
        plotly=_plotly(),
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("neuralNMF.report", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _some(entries: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    return [{key: entry[key] for key in keys} for entry in entries]


def _own(name: str) -> str:
    """A style sheet or script of the page."""
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), name)[0]


def _plotly() -> str:
    """The charts' library, packed: it is a third of its size so, and read when a chart is shown."""
    loader = PackageLoader("plotly", "package_data")
    return pack_bytes(loader.get_source(_environment(), "plotly.min.js")[0].encode())
