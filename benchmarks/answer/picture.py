"""The table of the answer as a picture: a panel for each measure, a row for each method."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

MARKS = "osD^v"
COLUMNS = 4


def draw(best: pd.DataFrame, measures: Mapping[str, str]) -> Figure:
    """The best layer of each method: small marks the sets' means over the seeds, a bar their mean.

    Parameters
    ----------
    best
        Columns ``set``, ``method`` and the measures; a row for each set, seed and method.
    measures
        The measures' columns, and what each is called.
    """
    methods = list(best["method"].unique())[::-1]
    by_set = best.groupby(["method", "set"])[list(measures)].mean()
    rows = -(-len(measures) // COLUMNS)
    figure = Figure(figsize=(3 * COLUMNS, rows * (0.6 + 0.25 * len(methods))), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).ravel()
    for axis, (name, title) in zip(axes, measures.items(), strict=False):
        whole = by_set[name].groupby("method").mean().reindex(methods)
        axis.barh(methods, whole, color="0.85")
        for mark, (each, values) in zip(MARKS, by_set[name].groupby("set"), strict=False):
            of_methods = values.droplevel("set").reindex(methods)
            axis.plot(of_methods, methods, mark, markersize=4, linestyle="none", label=each)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
    for axis in axes[len(measures) :]:
        axis.set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
