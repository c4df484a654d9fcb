"""Joining several inputs: their names, their genes and their cells' tables."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray
from pandas.api.types import union_categoricals

from neuralNMF.dataset.options import InputSpec
from neuralNMF.errors import InputError
from neuralNMF.options import TAKEN

logger = logging.getLogger(__name__)


class NamedGenes(Protocol):
    """What has genes with names, such as a reader of counts."""

    @property
    def gene_ids(self) -> np.ndarray:
        """Their ids, (M,)."""

    @property
    def gene_symbols(self) -> np.ndarray:
        """Their names for people, (M,)."""


class InputCells(NamedTuple):
    """The cells of one input that are in the data set.

    Attributes
    ----------
    name : str
        Of the input.
    obs : DataFrame
        The user's columns, n rows.
    total_counts, selected_counts : ndarray, (n,)
        Counts over all genes of the input, and over the selected ones.
    """

    name: str
    obs: pd.DataFrame
    total_counts: np.ndarray
    selected_counts: np.ndarray


def check_names(inputs: Sequence[InputSpec]) -> None:
    """Raise InputError where there is no input, or two have one name."""
    names = [spec.name for spec in inputs]
    if not names:
        raise InputError("There is no input: give at least one counts file.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"Several inputs are named '{twice[0]}': give each its own name.")


def common_genes(
    readers: Mapping[str, NamedGenes],
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Find the genes that all inputs have, by their ids or, where they share none, by symbols.

    Parameters
    ----------
    readers : mapping of str to NamedGenes
        The inputs by name.

    Returns
    -------
    genes : DataFrame
        ``gene_id`` and ``symbol`` of the M common genes, in the first input's order.
    columns : dict of str to ndarray of int, (M,)
        Where they stand in each input.

    Raises
    ------
    InputError
        The inputs share no gene, by ids or by symbols.
    """
    names = {name: pd.Index(reader.gene_ids) for name, reader in readers.items()}
    common = _shared(list(names.values()))
    if common.empty:
        symbols = {name: pd.Index(reader.gene_symbols) for name, reader in readers.items()}
        once = {name: known[~known.duplicated(keep=False)] for name, known in symbols.items()}
        common = _shared(list(once.values()))
        if not common.empty:
            names = symbols
            logger.warning("the inputs share no gene ids: their genes are joined by symbols")
    if common.empty:
        examples = "; ".join(
            f"{name}: {', '.join(reader.gene_ids[:3])}" for name, reader in readers.items()
        )
        raise InputError(
            f"The inputs share no gene ids ({examples}): give inputs with ids of the same kind."
        )
    columns = {}
    for name, reader in readers.items():
        # Of symbols only those that a gene has alone are common: the first is the one.
        known = names[name]
        first_of = known.drop_duplicates()
        places = np.flatnonzero(~known.duplicated())
        columns[name] = places[first_of.get_indexer(common)]
        genes = reader.gene_ids.size
        if genes > common.size:
            missing = genes - common.size
            logger.info("%s: %d of %d genes are not in all inputs, dropped", name, missing, genes)
    first, at = next((reader, columns[name]) for name, reader in readers.items())
    return pd.DataFrame({"gene_id": first.gene_ids[at], "symbol": first.gene_symbols[at]}), columns


def _shared(names: Sequence[pd.Index]) -> pd.Index:
    """The names that all have, in the order of the first."""
    common = names[0]
    for other in names[1:]:
        common = common[common.isin(other)]
    return common


def join_obs(parts: Sequence[InputCells], *, suffixes: bool) -> pd.DataFrame:
    """Put the cells' tables of all inputs below each other: ``obs`` of the data set.

    With `suffixes` a barcode gets the name of its input.

    Columns of the user's that have a name in `TAKEN` get the prefix ``input_``; categories of
    several inputs are united; cells of an input without a column have it missing.

    Raises
    ------
    InputError
        A barcode with its input's name as suffix stands for two cells.
    """
    renamed = {name: f"input_{name}" for name in TAKEN}
    tables = [part.obs.rename(columns=renamed) for part in parts]
    for part in parts:
        for column in part.obs.columns.intersection(TAKEN):
            logger.info(
                "%s: its column '%s' of obs is kept as '%s'", part.name, column, renamed[column]
            )
    names = [part.name for part in parts]
    sizes = [len(table) for table in tables]
    barcodes = np.concatenate([table.index.to_numpy(dtype=object) for table in tables])
    if suffixes:
        suffix = np.repeat(np.array([f"-{name}" for name in names], dtype=object), sizes)
        barcodes = barcodes + suffix
    index = pd.Index(barcodes, dtype=object)
    if not index.is_unique:  # such as 'a-b' of input 'c' and 'a' of input 'b-c'
        raise InputError(
            f"The barcode '{index[index.duplicated()][0]}' stands for two cells: name the inputs "
            "otherwise."
        )
    codes = np.repeat(np.arange(len(names), dtype=np.int16), sizes)
    columns = {
        "dataset": pd.Categorical.from_codes(codes, names),
        "total_counts": np.concatenate([part.total_counts for part in parts]),
        "selected_counts": np.concatenate([part.selected_counts for part in parts]),
    }
    for column in dict.fromkeys(name for table in tables for name in table):
        columns[column] = _join_column([table.get(column) for table in tables], sizes)
    return pd.DataFrame(columns, index=index)


def _join_column(parts: list[pd.Series | None], sizes: list[int]) -> ExtensionArray:
    """Join one column of all inputs, missing in the cells of an input that lacks it (None)."""
    ends = np.cumsum(sizes)
    placed = [
        part.set_axis(np.arange(end - size, end))
        for part, size, end in zip(parts, sizes, ends, strict=True)
        if part is not None
    ]
    if len(placed) > 1 and all(isinstance(p.dtype, pd.CategoricalDtype) for p in placed):
        if len({p.cat.categories.dtype for p in placed}) > 1:  # numbers here, text there
            placed = [p.cat.rename_categories(p.cat.categories.astype(str)) for p in placed]
        index = np.concatenate([p.index for p in placed])
        joined = pd.Series(union_categoricals(placed, ignore_order=True), index=index)
    else:
        joined = pd.concat(placed)
    return joined.reindex(np.arange(ends[-1])).array
