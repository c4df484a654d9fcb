"""Labels of cells: a column of the cells' table, and what a cell without a label is called."""

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError

NO_LABEL = "no label"


def label_column(obs: pd.DataFrame, name: str) -> pd.Series:
    """The column of labels.

    Parameters
    ----------
    obs : DataFrame
        The cells' table of a data set or a model.
    name : str
        Of the column.

    Raises
    ------
    InputError
        There is no such column; the message names those there are.
    """
    if name not in obs.columns:
        there = ", ".join(map(str, obs.columns)) or "none"
        raise InputError(
            f"The cells have no column {name!r} to take labels from; the columns are: {there}."
        )
    return obs[name]


def label_names(column: pd.Series) -> np.ndarray:
    """The cells' labels as text, (N,); "" where a cell has none: missing values, empty text."""
    known = column.notna().to_numpy()
    return np.where(known, column.astype(object).astype(str).str.strip().to_numpy(), "").astype(str)
