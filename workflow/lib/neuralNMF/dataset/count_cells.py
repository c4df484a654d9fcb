"""How many cells of each input and each label there are: a first look at a data set."""

from collections.abc import Mapping

import pandas as pd

from neuralNMF.labels import NO_LABEL, label_column


def count_cells(obs: pd.DataFrame, labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Count the cells of each input, and of each label if columns are named.

    Parameters
    ----------
    obs : DataFrame
        The cells' table of a data set.
    labels : mapping of str to str, or None
        Columns with labels, by what the table calls them: ``label``, ``coarse_label``, ``batch``,
        ``condition`` and ``donor``. Cells without one are counted, too.

    Returns
    -------
    DataFrame
        One row for each input and label that has cells: ``dataset``, the labels that are asked
        for, ``cells`` and ``median_total_counts``.

    Raises
    ------
    InputError
        There is no such column; the message names those there are.
    """
    groups = {"dataset": obs["dataset"].astype(str)}
    for name, labelled in (labels or {}).items():
        column = label_column(obs, labelled)
        groups[name] = column.astype(object).where(column.notna(), NO_LABEL).astype(str)
    counts = obs["total_counts"].groupby([key.rename(name) for name, key in groups.items()])
    table = counts.agg(cells="size", median_total_counts="median")
    return table.reset_index()
