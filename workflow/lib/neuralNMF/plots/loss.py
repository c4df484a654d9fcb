"""Picture of the training: the loss over epochs, layer by layer."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from neuralNMF.errors import InputError
from neuralNMF.plots.frames import open_frame
from neuralNMF.plots.style import BLUE, FAINT, ORANGE, draw_title, new_figure

PHASES = {
    "start": (ORANGE, "start: the new layer alone"),
    "joint": (BLUE, "joint: all layers so far"),
}
MSE_LABEL = "mean squared error\nper matrix entry"
LOG_FROM = 5.0  # highest / lowest from which a linear axis would hide the end


def plot_loss(history: pd.DataFrame, *, loss_name: str = "loss") -> Figure:
    """Draw the loss of every epoch, and how far above the layer's best it was.

    The mean squared error gets a panel of its own, unless the loss is that error in other units:
    then it stands for the loss.

    Parameters
    ----------
    history : DataFrame
        One row an epoch in the order of training, with the columns of a model's history:
        ``depth``, ``phase``, ``epoch``, ``loss``, ``mse``.
    loss_name : str
        For the axis.

    Returns
    -------
    Figure
        Not yet saved.

    Raises
    ------
    InputError
        The history is empty.
    """
    if history.empty:
        raise InputError("The model has no training history to draw.")
    epochs = np.arange(1, len(history) + 1)
    panels = _panels(history, loss_name)
    figure = new_figure(8.0, 2.4 * (len(panels) + 1) + 0.6)
    axes = figure.subplots(len(panels) + 1, 1, sharex=True)
    for (column, label), panel in zip(panels, axes, strict=False):
        values = history[column].to_numpy(dtype=float)
        _draw(panel, epochs, values, history)
        panel.set_ylabel(label)
        finite = values[np.isfinite(values)]
        if finite.min() > 0 and finite.max() / finite.min() >= LOG_FROM:
            _logarithmic(panel)
    best = history.groupby("depth")["loss"].transform("min")
    excess = 100 * (history["loss"] - best) / best.abs().clip(lower=np.finfo(float).tiny)
    _draw(axes[-1], epochs, excess.where(excess > 0).to_numpy(), history)
    _logarithmic(axes[-1])
    axes[-1].set_ylabel("above the best loss\nof the same depth (%)")
    axes[-1].set_xlabel("epochs, counted over all layers")
    _mark_layers(axes, epochs, history["depth"].to_numpy())
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False
    )
    draw_title(figure, "Training")
    return figure


def _logarithmic(axes: Axes) -> None:
    """Make the y axis logarithmic with plain numbers: 40 and 200, not 4 x 10^1 and 2 x 10^2."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))


def _panels(history: pd.DataFrame, loss_name: str) -> list[tuple[str, str]]:
    """Columns to draw and their axis labels."""
    loss, mse = history["loss"].to_numpy(), history["mse"].to_numpy()
    both = np.isfinite(loss) & np.isfinite(mse) & (mse > 0)
    if not both.any():
        return [("loss", loss_name)]
    ratio = loss[both] / mse[both]
    if both.all() and np.allclose(ratio, ratio[0], rtol=1e-4):
        return [("mse", MSE_LABEL)]
    return [("loss", loss_name), ("mse", MSE_LABEL)]


def _draw(axes: Axes, epochs: np.ndarray, values: np.ndarray, history: pd.DataFrame) -> None:
    """Draw one line a phase of each layer; a dot where a stretch has one epoch only."""
    phases, depths = history["phase"].astype(str).to_numpy(), history["depth"].to_numpy()
    changes = (phases[1:] != phases[:-1]) | (depths[1:] != depths[:-1])
    starts = np.flatnonzero(np.r_[True, changes])
    named: set[str] = set()
    for start, stop in zip(starts, [*starts[1:], len(phases)], strict=True):
        phase = phases[start]
        colour, label = PHASES.get(phase, ("C2", phase))
        axes.plot(
            epochs[start:stop],
            values[start:stop],
            color=colour,
            linewidth=1.3,
            marker="o" if stop - start == 1 else None,
            markersize=3,
            label=None if phase in named else label,
        )
        named.add(phase)
    open_frame(axes)


def _mark_layers(axes: np.ndarray, epochs: np.ndarray, depths: np.ndarray) -> None:
    """Draw a line between layers in all panels, and name their depths above the first one."""
    starts = np.flatnonzero(np.r_[True, depths[1:] != depths[:-1]])
    for panel in axes:
        for start in starts[1:]:
            panel.axvline(epochs[start] - 0.5, color=FAINT, linewidth=0.8, linestyle="--")
    for start, stop in zip(starts, [*starts[1:], len(depths)], strict=True):
        axes[0].annotate(
            f"depth {depths[start]}",
            ((epochs[start] + epochs[stop - 1]) / 2, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9,
            color=FAINT,
        )
