"""Tables for the user, from tables in memory."""

import pandas as pd

from neuralNMF.plots.labels import NONE, label_column


def count_cells(obs: pd.DataFrame, labels: str | None = None) -> pd.DataFrame:
    """How many cells there are of each input, and of each label if a column is named.

    Args:
        obs: the cells' table of a data set.
        labels: the column with the labels; cells without one are counted, too.

    Returns
    -------
        One row for each input and label that has cells: ``dataset``, ``label`` (if asked for),
        ``cells`` and ``median_total_counts``.

    Raises
    ------
        InputError: if there is no such column; it names those there are.
    """
    groups = {"dataset": obs["dataset"].astype(str)}
    if labels is not None:
        column = label_column(obs, labels)
        groups["label"] = column.astype(object).where(column.notna(), NONE).astype(str)
    counts = obs["total_counts"].groupby([key.rename(name) for name, key in groups.items()])
    table = counts.agg(cells="size", median_total_counts="median")
    return table.reset_index()
