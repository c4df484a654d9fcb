"""The original's way to write counts; see `neuralNMF.io.h5` for the format."""

from collections.abc import Sequence
from pathlib import Path

import scipy.sparse as sp

from neuralNMF.io import h5


def write_h5(
    path: str | Path, row_names: Sequence[str], col_names: Sequence[str], smat: sp.spmatrix
) -> None:
    """Write ``{path}.h5``: ``smat`` (N, M) counts of cells ``row_names`` x genes ``col_names``.

    Parent folders are made.
    """
    h5.write_h5(f"{path}.h5", row_names, col_names, smat)
