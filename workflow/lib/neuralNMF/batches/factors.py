"""The factors of the batches' genes, as models hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.labels import label_column, label_names
from neuralNMF.options import INPUT
from neuralNMF.team import ALONE, Team


def batch_of_cells(obs: pd.DataFrame, column: str) -> np.ndarray:
    """The batch of every cell as text, (N,); "" of a cell without one.

    Parameters
    ----------
    obs : DataFrame
    column : str
        Of ``obs``, or ``input``: the names of the input files, the column ``dataset``.

    Raises
    ------
    InputError
        There is no such column; the message names those there are.
    """
    return label_names(label_column(obs, "dataset" if column == INPUT else column))


def names_of_all(names: np.ndarray, team: Team) -> np.ndarray:
    """The different names among those of all processes' cells, sorted."""
    return np.unique(np.concatenate(team.gathered(np.unique(names))))


@dataclass(frozen=True)
class Batches:
    """A factor for each batch and gene: X' of a cell is divided by those of its batch.

    Attributes
    ----------
    column : str
        Of ``obs``, or ``input``.
    names : tuple of str, B of them
    factors : ndarray of float64, (B, M)
        Above zero; of each gene the geometric mean over the cells that were compared is one.
    noise, disagreement : float
        By which they were shrunk (`batches.effects`), and those of new batches are.
    """

    column: str
    names: tuple[str, ...]
    factors: np.ndarray
    noise: float = 1.0
    disagreement: float = 0.0

    def codes(self, obs: pd.DataFrame) -> np.ndarray:
        """The batch of every cell, (N,) int32; B of a cell of no batch that is known here."""
        found = pd.Index(self.names).get_indexer(batch_of_cells(obs, self.column))
        return np.where(found < 0, len(self.names), found).astype(np.int32)

    def unknown(self, obs: pd.DataFrame) -> list[str]:
        """The batches of cells that have no factors here, in their order."""
        names = np.unique(batch_of_cells(obs, self.column))
        return [str(name) for name in names if name and name not in self.names]

    def with_batches(self, names: Sequence[str], factors: np.ndarray) -> Batches:
        """These batches and further ones, with their factors (b, M)."""
        return replace(
            self, names=(*self.names, *names), factors=np.vstack([self.factors, factors])
        )

    def inverses(self) -> np.ndarray:
        """What X' is multiplied by, (B + 1, M): the last row, of cells of no batch, is one."""
        return np.vstack([1.0 / self.factors, np.ones(self.factors.shape[1])])


def check_batches(obs: pd.DataFrame, column: str, team: Team = ALONE) -> np.ndarray:
    """The names of the batches of a data set, sorted.

    Parameters
    ----------
    obs : DataFrame
    column : str
        See `batch_of_cells`.
    team : Team
        The processes that hold the cells, each the table of its own.

    Raises
    ------
    InputError
        There is no such column, or all of its cells are of one batch.
    """
    names = names_of_all(batch_of_cells(obs, column), team)
    names = names[names != ""]
    if names.size < 2:
        there = f"only '{names[0]}'" if names.size else "no batch at all"
        raise InputError(
            f"'batch: {column}' asks for a factor for each batch, but the cells have {there}: name "
            "a column with two or more, or leave 'batch' out."
        )
    return names
