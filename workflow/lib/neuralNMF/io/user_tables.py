"""Tables of cells and genes as people's AnnData files have them, of any version, column by column.

`elements` reads what this library has written; here nothing is certain. A column that cannot be
carried is dropped with a warning that names it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.faults import BROKEN, readable
from neuralNMF.io.hdf5_rows import is_array, native
from neuralNMF.io.text import as_text

logger = logging.getLogger(__name__)

Column: TypeAlias = np.ndarray | pd.api.extensions.ExtensionArray
TEXT = "OSUT"  # kinds of arrays of text, zarr's among them
OLD_CATEGORIES = "__categories"  # of anndata 0.7 and SeuratDisk


def read_table(path: Path, stored: Any, uns: Any = None) -> pd.DataFrame:
    """Read a table of cells or genes: what can be carried of it, all else dropped with a warning.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    stored : Group or Dataset of h5py or zarr
        ``obs`` or ``var``; an array of records in files of anndata before 0.7.
    uns : Group or None
        Where such files keep their categories.

    Returns
    -------
    DataFrame
        Numbers, truth values, categories and text (object); its index: text.

    Raises
    ------
    InputError
        The names of the rows cannot be read.
    """
    with readable(path):
        if is_array(stored):
            return _records(path, stored, uns)
        name = _word(stored.attrs.get("_index", "_index" if "_index" in stored else "index"))
        if name not in stored:
            raise InputError(
                f"'{path}' has no names in '{stored.name}' ('{name}' is missing): write the file "
                "again with the program that made it."
            )
        index = _names(stored[name])
        order = stored.attrs.get("column-order")
        listed = [_word(n) for n in (stored if order is None else order)]
    columns: dict[str, Column] = {}
    for column in dict.fromkeys(listed):
        if order is None and column in (name, OLD_CATEGORIES):
            continue
        _keep(path, stored.name, columns, column, index.size, lambda n: _read(stored, n))
    return pd.DataFrame(columns, index=index, copy=False)


def carried(path: Path, name: str, columns: Mapping[str, Any], size: int) -> dict[str, Column]:
    """The columns of any format that can be carried; a warning names each of the others.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    name : str
        Of the table, for messages.
    columns : mapping of str to array
        Of any type and shape.
    size : int
        Rows that there should be.
    """
    kept: dict[str, Column] = {}
    for column in columns:
        _keep(path, name, kept, column, size, lambda n: _plain(columns[n][()]))
    return kept


def _keep(
    path: Path,
    table: str,
    kept: dict[str, Column],
    column: str,
    size: int,
    read: Callable[[str], Column],
) -> None:
    """Add a column to `kept`, or say in the log why not."""
    try:
        values = read(column)
        if len(values) != size:
            raise InputError(f"it has {len(values)} values for {size} rows")
        kept[column] = values
    except (*BROKEN, InputError) as error:
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        where = table.strip("/")
        logger.warning("%s: the column '%s' of %s is dropped: %s", path, column, where, reason)


def _read(table: Any, name: str) -> Column:
    """One column of a table in a group, in any of the encodings since anndata 0.7."""
    stored = table[name]
    if is_array(stored):
        if "categories" in stored.attrs:
            reference = stored.attrs["categories"]
            is_name = isinstance(reference, str | bytes)
            categories = table[_word(reference)] if is_name else stored.file[reference]
            return _categorical(stored, categories, bool(stored.attrs.get("ordered", False)))
        if OLD_CATEGORIES in table and name in table[OLD_CATEGORIES]:
            return _categorical(stored, table[OLD_CATEGORIES][name], False)
        return _plain(stored[()])
    if {"codes", "categories"} <= set(stored):
        ordered = bool(stored.attrs.get("ordered", False))
        return _categorical(stored["codes"], stored["categories"], ordered)
    if {"values", "mask"} <= set(stored):
        return _nullable(stored["values"][()], stored["mask"][()].astype(bool))
    kind = _word(stored.attrs.get("encoding-type", "unknown"))
    raise InputError(f"it is stored as '{kind}', which a table of cells cannot hold")


def _names(stored: Any) -> np.ndarray:
    """The index of a table as text."""
    if not is_array(stored):
        if {"codes", "categories"} <= set(stored):
            return as_text(np.asarray(_categorical(stored["codes"], stored["categories"], False)))
        stored = stored["values"]
    return as_text(np.atleast_1d(stored[()]))


def _categorical(codes: Any, categories: Any, ordered: bool) -> pd.Categorical:
    if not is_array(categories):  # nullable strings of anndata 0.13
        categories = categories["values"]
    values = np.atleast_1d(categories[()])
    names = as_text(values) if values.dtype.kind in TEXT else native(values)
    index = pd.Index(names, dtype=object if names.dtype == object else None)
    return pd.Categorical.from_codes(native(codes[()]), index, ordered=ordered)


def _nullable(values: np.ndarray, mask: np.ndarray) -> Column:
    """Values of which some are missing: text as objects, numbers as pandas' nullable arrays."""
    if values.shape != mask.shape:
        raise InputError(f"its mask has {mask.size} values for {values.size}")
    plain = _plain(values)
    if isinstance(plain, np.ndarray) and plain.dtype == object:
        plain[mask] = None
        return plain
    if not mask.any():
        return plain
    kind = values.dtype.kind
    if kind == "f":
        return np.where(mask, np.nan, plain)
    array = pd.arrays.BooleanArray if kind == "b" else pd.arrays.IntegerArray
    return array(np.array(plain), mask)


def _plain(values: Any) -> np.ndarray:
    """An array of one value a row: numbers, truth values or text; InputError for anything else."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise InputError(f"it has {values.ndim} dimensions")
    if values.dtype.kind in TEXT:
        if values.size and not isinstance(values[0], bytes | str):
            raise InputError(f"its values are of the type '{type(values[0]).__name__}'")
        return as_text(values)
    if values.dtype.kind not in "buif":
        raise InputError(f"its values are of the type '{values.dtype}'")
    return native(values)


def _records(path: Path, stored: Any, uns: Any) -> pd.DataFrame:
    """A table of anndata before 0.7: one array of records, categories of its columns in ``uns``."""
    if stored.dtype.names is None or stored.ndim != 1:
        raise InputError(f"'{path}' holds no table in '{stored.name}': write the file again.")
    records = stored[()]
    names = list(stored.dtype.names)
    first = next((name for name in ("index", "_index") if name in names), names[0])
    index = as_text(records[first])

    def read(name: str) -> Column:
        values, known = records[name], f"{name}_categories"
        if uns is not None and known in uns and values.dtype.kind in "iu":
            return _categorical(values, uns[known], False)
        return _plain(values)

    columns: dict[str, Column] = {}
    for name in names:
        if name != first:
            _keep(path, stored.name, columns, name, index.size, read)
    return pd.DataFrame(columns, index=index, copy=False)


def _word(text: Any) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
