"""The cells of a model's pictures: all of them or a sample, with their shares and labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuralNMF.evidence.main_program import NO_PROGRAM, main_programs
from neuralNMF.labels import NO_LABEL, Labels
from neuralNMF.plots.labels import Coloured
from neuralNMF.plots.style import GREY, Programs, row_percent, short
from neuralNMF.sampling import sample_cells


@dataclass(frozen=True)
class DrawnCells:
    """The n cells that the pictures of all layers show.

    Attributes
    ----------
    numbers : ndarray of int, (n,)
        Of all N cells, rising.
    all_cells : int
        N.
    shares : list of ndarray, (n, k_l) each
        Percent of each cell's fitted expression.
    columns : list of Coloured
        Their labels.
    """

    numbers: np.ndarray
    all_cells: int
    shares: list[np.ndarray]
    columns: list[Coloured]

    @property
    def words(self) -> str:
        """Which cells they are, for titles."""
        drawn = len(self.numbers)
        if drawn == self.all_cells:
            return f"{drawn:,} cells"
        name = short(self.columns[0].labels.name) if self.columns else ""
        how = f"stratified by {name}" if name else "drawn at random"
        return f"sample of {drawn:,} of {self.all_cells:,}, {how}"


def draw_cells(
    usages: Sequence[np.ndarray],
    columns: Sequence[Coloured] = (),
    *,
    max_cells: int,
    rng: np.random.Generator,
) -> DrawnCells:
    """Take all cells, or of more than `max_cells` a sample in proportion to the first column.

    Parameters
    ----------
    usages : sequence of ndarray
        U_l (N, k_l) of every layer of the model.
    columns : sequence of Coloured
        Labels of the N cells.
    max_cells : int
        Largest number of cells that are drawn.
    rng : numpy.random.Generator
        Draws the sample.

    Returns
    -------
    DrawnCells

    Raises
    ------
    InputError
        `max_cells` is below 1.
    """
    cells = len(usages[0])
    groups = columns[0].labels.codes if columns else None
    kept = sample_cells(cells, max_cells, rng=rng, groups=groups)
    shares = [row_percent(usage[kept]) for usage in usages]
    return DrawnCells(kept, cells, shares, [column.of(kept) for column in columns])


def by_main_program(shares: np.ndarray, programs: Programs, colours: np.ndarray) -> Coloured:
    """The cells' main programs as their labels, where they have no others.

    Parameters
    ----------
    shares : ndarray, (n, k)
        Percent of each cell's fitted expression.
    programs : Programs
        In the order of the tree.
    colours : ndarray, (k, 3)
        Theirs.
    """
    main, _ = main_programs(shares, programs.order, programs.grey)
    there = programs.order[np.isin(programs.order, main)]
    names = [programs.names[k] for k in there]
    place = np.full(len(programs.order) + 1, len(there))
    place[there] = np.arange(len(there))
    paint = colours[there]
    if (main == NO_PROGRAM).any():
        names, paint = [*names, NO_LABEL], np.vstack([paint, np.full(3, float(GREY))])
    return Coloured(Labels("main program", names, place[main]), paint)
