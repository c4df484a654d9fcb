"""The original's way to write counts; `neuralNMF.io.h5` has the format."""

from collections.abc import Sequence
from pathlib import Path

import scipy.sparse as sp

from neuralNMF.io import h5


def write_h5(
    path: str | Path, row_names: Sequence[str], col_names: Sequence[str], smat: sp.spmatrix
) -> None:
    """Write counts as ``{path}.h5``; parent folders are made.

    Parameters
    ----------
    path : str or Path
        Of the file, without its ending.
    row_names, col_names : sequence of str
        Names of N cells and of M genes.
    smat : sparse matrix, (N, M)
        Whole numbers >= 0.

    Raises
    ------
    InputError
        The names do not fit the matrix, or a value is no count.
    """
    h5.write_h5(f"{path}.h5", row_names, col_names, smat)
