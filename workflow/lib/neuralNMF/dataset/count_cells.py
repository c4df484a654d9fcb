"""How many cells of each input and each label there are: a first look at a data set."""

import pandas as pd

from neuralNMF.labels import NO_LABEL, label_column


def count_cells(obs: pd.DataFrame, labels: str | None = None) -> pd.DataFrame:
    """Count the cells of each input, and of each label if a column is named.

    Parameters
    ----------
    obs : DataFrame
        The cells' table of a data set.
    labels : str or None
        The column with the labels; cells without one are counted, too.

    Returns
    -------
    DataFrame
        One row for each input and label that has cells: ``dataset``, ``label`` (if asked for),
        ``cells`` and ``median_total_counts``.

    Raises
    ------
    InputError
        There is no such column; the message names those there are.
    """
    groups = {"dataset": obs["dataset"].astype(str)}
    if labels is not None:
        column = label_column(obs, labels)
        groups["label"] = column.astype(object).where(column.notna(), NO_LABEL).astype(str)
    counts = obs["total_counts"].groupby([key.rename(name) for name, key in groups.items()])
    table = counts.agg(cells="size", median_total_counts="median")
    return table.reset_index()
