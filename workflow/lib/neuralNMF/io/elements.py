"""Reading what AnnData stores in an HDF5 file: tables, arrays, texts and dictionaries of them.

Importing AnnData takes longer than most jobs of the workflow work, and these few encodings are all
that this library writes. Columns in other encodings, which a user's table may bring, are read by
AnnData itself.
"""

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pandas as pd

# Stands in a file for the / in the name of a column, by which HDF5 would make a folder.
SLASH = "\u2215"


def read_elem(stored: h5py.Group | h5py.Dataset) -> Any:
    """The same as ``anndata.io.read_elem``, with AnnData imported only where it is needed."""
    encoding = _encoding(stored)
    if encoding in _READERS:
        return _READERS[encoding](stored)
    from anndata.io import read_elem as anndata_read

    return anndata_read(stored)


def read_table(stored: h5py.Group, rows: slice | None = None) -> pd.DataFrame:
    """Read a table of cells or genes that this library wrote, with its columns' own names.

    Parameters
    ----------
    stored : h5py.Group
    rows : slice or None
        Which rows, one after the other; None reads all.
    """
    table = read_elem(stored) if rows is None else _table(stored, rows)
    return table.rename(columns=lambda name: name.replace(SLASH, "/"))


def _table(stored: h5py.Group, rows: slice | None = None) -> pd.DataFrame:
    columns, index = list(stored.attrs["column-order"]), stored.attrs["_index"]
    table = pd.DataFrame(
        {name: _rows(stored[name], rows) for name in columns},
        index=_rows(stored[index], rows),
        columns=columns or None,
    )
    return table if index == "_index" else table.rename_axis(index)


def _rows(stored: h5py.Group | h5py.Dataset, rows: slice | None) -> Any:
    """Some rows of a column; of an encoding that only AnnData knows all are read first."""
    if rows is None:
        return read_elem(stored)
    kind = _encoding(stored)[0]
    if kind == "array":
        return stored[rows]
    if kind == "string-array":
        return stored.asstr()[rows]
    return _categories(stored, rows) if kind == "categorical" else read_elem(stored)[rows]


def _encoding(stored: h5py.Group | h5py.Dataset) -> tuple[str | None, str | None]:
    return stored.attrs.get("encoding-type"), stored.attrs.get("encoding-version")


def _categories(stored: h5py.Group, rows: slice | None = None) -> pd.Categorical:
    return pd.Categorical.from_codes(
        _rows(stored["codes"], rows),
        read_elem(stored["categories"]),
        ordered=bool(stored.attrs["ordered"]),
    )


def _dictionary(stored: h5py.Group) -> dict[str, Any]:
    return {name: read_elem(element) for name, element in stored.items()}


def _array(stored: h5py.Dataset) -> np.ndarray:
    return stored[()]


def _text(stored: h5py.Dataset) -> np.ndarray | str:
    return stored.asstr()[()]


def _number(stored: h5py.Dataset) -> bool | int | float | complex:
    return stored[()].item()


_READERS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("dataframe", "0.2.0"): _table,
    ("categorical", "0.2.0"): _categories,
    ("dict", "0.1.0"): _dictionary,
    ("array", "0.2.0"): _array,
    ("string-array", "0.2.0"): _text,
    ("string", "0.2.0"): _text,
    ("numeric-scalar", "0.2.0"): _number,
}
