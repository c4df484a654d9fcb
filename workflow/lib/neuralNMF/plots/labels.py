"""Labels of cells in pictures: their order, their colours, and a sample that keeps them all."""

import re

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.labels import NO_LABEL

OTHER = "other labels"
MOST_COLOURS = 40


def as_categories(labels: pd.Series | np.ndarray) -> pd.Categorical:
    """Labels as categories of text; missing ones become "no label".

    Above 40 labels the rarest are put together as "other labels", since a colour each could not
    tell them apart.

    Parameters
    ----------
    labels : Series or ndarray, (N,)
        Of any type.

    Returns
    -------
    Categorical, (N,)
        In the order of the labels' own categories if they have any, else sorted.
    """
    series = pd.Series(np.asarray(labels, dtype=object))
    categories = getattr(getattr(labels, "cat", labels), "categories", None)
    if categories is None:
        categories = sorted(series.dropna().unique(), key=_by_number)
    names = [str(value) for value in categories]
    text = series.map(str, na_action="ignore")
    counts = text.value_counts()
    names = [name for name in names if name in counts.index]
    if len(names) > MOST_COLOURS:
        kept = set(counts.index[: MOST_COLOURS - 1])
        text = text.where(text.isin(kept) | text.isna(), OTHER)
        names = [name for name in names if name in kept] + [OTHER]
    if text.isna().any():
        text = text.fillna(NO_LABEL)
        names = [*names, NO_LABEL]
    return pd.Categorical(text, categories=names)


def _by_number(value: object) -> list[tuple[int, int, str]]:
    """Key that sorts c2 before c10."""
    parts = re.findall(r"\d+|\D+", str(value))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def label_colours(names: list[str]) -> np.ndarray:
    """Colours for the n names of `as_categories`, (n, 3); greys for what is no label."""
    import matplotlib  # counting cells by label needs the rest of this module only

    if len(names) <= 10:
        palette = np.array(matplotlib.color_sequences["tab10"])
        # The palette's grey is kept for cells without a label.
        palette = np.concatenate([palette[:7], palette[8:], palette[7:8] * 0.55])
    else:
        palette = np.concatenate([matplotlib.color_sequences[m] for m in ("tab20", "tab20b")])
    colours = palette[np.arange(len(names)) % len(palette)]
    for grey, name in ((0.5, OTHER), (0.85, NO_LABEL)):
        if name in names:
            colours[names.index(name)] = grey
    return colours


def sample_cells(
    cells: int,
    max_cells: int,
    *,
    rng: np.random.Generator,
    labels: pd.Categorical | None = None,
) -> np.ndarray:
    """Draw the cells of a picture: all of them if there are no more than `max_cells`.

    Parameters
    ----------
    cells : int
        How many there are.
    max_cells : int
        How many to draw at most.
    rng : numpy.random.Generator
        Draws.
    labels : Categorical or None, (cells,)
        Drawn in their proportions, each at least once where `max_cells` leaves room.

    Returns
    -------
    ndarray of int
        Numbers of the drawn cells, rising.

    Raises
    ------
    InputError
        `max_cells` is below 1.
    """
    if max_cells < 1:
        raise InputError(f"max_cells must be at least 1, not {max_cells}.")
    if cells <= max_cells:
        return np.arange(cells)
    if labels is None:
        return np.sort(rng.choice(cells, size=max_cells, replace=False))
    codes = np.asarray(labels.codes)
    counts = np.bincount(codes, minlength=len(labels.categories))
    quotas = _quotas(counts, max_cells)
    picked = [
        rng.choice(np.flatnonzero(codes == code), size=quota, replace=False)
        for code, quota in enumerate(quotas)
        if quota
    ]
    return np.sort(np.concatenate(picked))


def _quotas(counts: np.ndarray, total: int) -> np.ndarray:
    """Split `total` in the proportion of `counts`, at least 1 each where that leaves room."""
    exact = counts * (total / counts.sum())
    quotas = np.maximum(np.floor(exact).astype(int), (counts > 0).astype(int))
    while quotas.sum() > total:  # more labels than fit: the largest give way
        quotas[np.argmax(quotas)] -= 1
    for code in np.argsort(quotas - exact, kind="stable")[: total - quotas.sum()]:
        quotas[code] += 1
    return quotas
