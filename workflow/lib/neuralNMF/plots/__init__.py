"""Figures of a fitted model: functions of arrays that return a ``matplotlib.figure.Figure``.

Nothing here touches pyplot, so no window, no global state and no figure is left open; the
caller saves what it gets with `neuralNMF.plots.style.save_figure`.
"""
