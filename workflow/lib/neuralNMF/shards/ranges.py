"""Which cells each process of a team has: whole blocks of cells, with about equal work."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuralNMF.cells.stream import is_dense
from neuralNMF.cells.sums import block_borders
from neuralNMF.errors import InputError
from neuralNMF.io.dataset import Dataset, open_dataset
from neuralNMF.options import POISSON
from neuralNMF.team import Team


def open_range(path: str | Path, team: Team, loss: str) -> Dataset:
    """Open the cells of a data set that this process has; of a team of one, all.

    Parameters
    ----------
    path : str or Path
        Of the data set.
    team : Team
    loss : str
        Of the fit.

    Raises
    ------
    InputError
        As `io.dataset.open_dataset` and `ranges`.
    """
    if team.size == 1:
        return open_dataset(path)

    def own(indptr: np.ndarray, genes: int) -> tuple[int, int]:
        return ranges(indptr, genes, team.size, loss, Path(path).name)[team.rank]

    return open_dataset(path, own, team)


def check_ranges(path: str | Path, shards: int, loss: str) -> None:
    """Refuse more processes than can share the cells of a data set, before any is started.

    Parameters
    ----------
    path, loss
        As for `open_range`.
    shards : int
        Processes.

    Raises
    ------
    InputError
        As `open_range`.
    """

    def first_cell(indptr: np.ndarray, genes: int) -> tuple[int, int]:
        ranges(indptr, genes, shards, loss, Path(path).name)
        return 0, 1  # nothing more is asked for, and the names of a range may be many

    open_dataset(path, first_cell)


def ranges(
    indptr: np.ndarray, genes: int, shards: int, loss: str, name: str
) -> list[tuple[int, int]]:
    """Cut the cells of a data set into a range for each process.

    Parameters
    ----------
    indptr : ndarray, shape (N + 1,)
        Where each cell's non-zeros begin.
    genes : int
        M.
    shards : int
        How many processes there are.
    loss : str
        Of the fit: it decides whether dense counts are multiplied as such.
    name : str
        Of the data set, for the message.

    Returns
    -------
    list of (int, int)
        First cell and the one past the last: whole blocks of `cells.sums.block_borders`, so that
        the sums over a block are those of a single process.

    Raises
    ------
    InputError
        There are fewer blocks than processes.
    """
    dense = loss not in POISSON and is_dense(indptr.size - 1, genes, int(indptr[-1]))
    borders = block_borders(indptr, genes, dense=dense)
    blocks = borders.size - 1
    if blocks < shards:
        raise InputError(
            f"'shards: {shards}' is too many for {name}, whose cells make up no more than {blocks} "
            f"block{'' if blocks == 1 else 's'}: ask for {blocks} at the most."
        )
    # Each border is that of a block nearest to an even share of the work, and of its own.
    work = np.asarray(borders if dense else indptr[borders], dtype=np.int64)
    ends = [0]
    for part in range(1, shards):
        target = work[-1] * part / shards
        nearest = int(np.abs(work - target).argmin())
        ends.append(min(max(nearest, ends[-1] + 1), blocks - (shards - part)))
    cells = borders[[*ends, blocks]].tolist()
    return list(zip(cells[:-1], cells[1:], strict=True))
