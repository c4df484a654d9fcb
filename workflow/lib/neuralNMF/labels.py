"""Labels of cells: a column of the cells' table, and what a cell without a label is called."""

import logging

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError

logger = logging.getLogger(__name__)

NO_LABEL = "no label"
# Text that stands for a missing value, after `astype(str)` for one; in any case.
MISSING = {"nan", "na", "n/a", "<na>", ""}


def label_column(obs: pd.DataFrame, name: str) -> pd.Series:
    """The column of labels; text such as ``nan`` or ``NA`` is no label, and the log says so.

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
    column = obs[name]
    words = [word for word in _words(column) if word.strip().lower() in MISSING]
    if words:
        missing = column.isin(words)
        shown = ", ".join(f"'{word}'" for word in sorted(words))
        logger.warning("%s: %s of %d cells is no label", name, shown, missing.sum())
        column = column.mask(missing)
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.cat.remove_unused_categories()
    return column


def _words(column: pd.Series) -> list[str]:
    """The different texts in a column."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        values = column.cat.categories
    else:
        values = column.unique() if column.dtype.kind == "O" else []
    return [value for value in values if isinstance(value, str)]


def label_names(column: pd.Series) -> np.ndarray:
    """The cells' labels as text, (N,); "" where a cell has none: missing values, empty text."""
    known = column.notna().to_numpy()
    return np.where(known, column.astype(object).astype(str).str.strip().to_numpy(), "").astype(str)
