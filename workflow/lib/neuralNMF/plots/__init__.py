"""Figures of a fitted model: functions of arrays that return a ``matplotlib.figure.Figure``.

Nothing here opens a file or touches pyplot, so no window, no global state and no figure is left
open; the caller saves what it gets with `neuralNMF.io.figures.save_figure`.
"""
