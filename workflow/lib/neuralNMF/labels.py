"""Labels of cells: a column of their table, as numbered texts, and cells without a label."""

import logging
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError

logger = logging.getLogger(__name__)

NO_LABEL = "no label"
OTHER = "other labels"
MOST_LABELS = 40  # that a picture can tell apart
FEWEST_CELLS = 5  # of a group, on average
# Text that stands for a missing value, after `astype(str)` for one; in any case.
MISSING = {"nan", "na", "n/a", "<na>", ""}


@dataclass(frozen=True)
class Labels:
    """A label for each of N cells.

    Attributes
    ----------
    name : str
        Of the column.
    names : list of str
        The labels.
    codes : ndarray of int, (N,)
        Each cell's, as its place in `names`.
    """

    name: str
    names: list[str]
    codes: np.ndarray

    def of(self, cells: np.ndarray) -> "Labels":
        """The labels of some cells, by number."""
        return Labels(self.name, self.names, self.codes[cells])


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
            f"The cells have no column {name!r}, which the config names for their labels, batches, "
            f"conditions or donors; the columns are: {there}."
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


def as_labels(labels: pd.Series | np.ndarray, most: int | None = MOST_LABELS) -> Labels:
    """Labels as numbered texts; missing ones become "no label".

    Parameters
    ----------
    labels : Series or ndarray, (N,)
        Of any type.
    most : int or None
        Of more labels the rarest are put together as "other labels", since a colour each could not
        tell them apart; None: each stays, however many there are.

    Returns
    -------
    Labels
        Of the N cells, in the order of the labels' own categories if they have any, else sorted.
    """
    series = pd.Series(np.asarray(labels, dtype=object))
    categories = getattr(getattr(labels, "cat", labels), "categories", None)
    if categories is None:
        categories = sorted(series.dropna().unique(), key=_by_number)
    names = [str(value) for value in categories]
    text = series.map(str, na_action="ignore")
    counts = text.value_counts()
    names = [name for name in names if name in counts.index]
    if most is not None and len(names) > most:
        kept = set(counts.index[: most - 1])
        text = text.where(text.isin(kept) | text.isna(), OTHER)
        names = [name for name in names if name in kept] + [OTHER]
    text = text.fillna(NO_LABEL)
    if (text == NO_LABEL).any():
        names = [*(name for name in names if name != NO_LABEL), NO_LABEL]
    codes = pd.Categorical(text, categories=names).codes
    return Labels(str(getattr(labels, "name", "label")), names, np.asarray(codes, dtype=np.intp))


def _by_number(value: object) -> list[tuple[int, int, str]]:
    """Key that sorts c2 before c10."""
    parts = re.findall(r"\d+|\D+", str(value))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def are_groups(names: np.ndarray) -> bool:
    """Whether names (N,), "" of cells without one, stand for groups of five cells on average.

    A name or a number for each cell, or nearly, is none.
    """
    known = names[names != ""]
    different = np.unique(known).size
    return different < 2 or known.size >= FEWEST_CELLS * different


def check_groups(names: np.ndarray, key: str, column: str) -> None:
    """Raise InputError where what ``key`` of the config names are no `are_groups`."""
    if not are_groups(names):
        raise InputError(
            f"'{key}: {column}' has {np.unique(names[names != '']).size} different values in "
            f"{names.size} cells: these are no groups of cells, but a name or a number for nearly "
            f"every cell. Name another column, or leave '{key}' out."
        )
