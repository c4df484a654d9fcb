"""Joining several inputs: names, labels, genes and the cells' tables."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray
from pandas.api.types import union_categoricals

from neuralNMF.dataset.options import InputSpec
from neuralNMF.errors import InputError
from neuralNMF.io.counts import CountsReader

logger = logging.getLogger(__name__)

OWN = ("dataset", "total_counts", "selected_counts")  # columns of obs that the data set fills


def check_names(inputs: Sequence[InputSpec]) -> None:
    """Refuse no inputs, and two of one name."""
    names = [spec.name for spec in inputs]
    if not names:
        raise InputError("There is no input: give at least one counts file.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"Several inputs are named '{twice[0]}': give each its own name.")


def check_labels(
    labels: str | None, inputs: Sequence[InputSpec], readers: Sequence[CountsReader]
) -> None:
    """Refuse a label column that no input has; log the inputs that lack it."""
    if labels is None or labels in OWN:  # the data set has these whatever the inputs hold
        return
    without = [s.name for s, r in zip(inputs, readers, strict=True) if labels not in r.obs]
    if len(without) == len(inputs):
        known = dict.fromkeys(str(name) for reader in readers for name in reader.obs)
        raise InputError(
            f"No input has the label column '{labels}' in obs: the columns there are "
            f"{', '.join(known) or 'none'}."
        )
    if without:
        logger.warning("no labels '%s' in the inputs %s", labels, ", ".join(without))


def common_genes(
    inputs: Sequence[InputSpec], readers: Sequence[CountsReader]
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Ids and symbols in the first input's order, and their columns in each input."""
    common = pd.Index(readers[0].gene_ids)
    for reader in readers[1:]:
        common = common[common.isin(reader.gene_ids)]
    if common.empty:
        examples = "; ".join(
            f"{spec.name}: {', '.join(reader.gene_ids[:3])}"
            for spec, reader in zip(inputs, readers, strict=True)
        )
        raise InputError(
            f"The inputs share no gene ids ({examples}): give inputs with ids of the same kind."
        )
    columns = [pd.Index(reader.gene_ids).get_indexer(common) for reader in readers]
    for spec, reader in zip(inputs, readers, strict=True):
        if reader.shape[1] > common.size:
            logger.info(
                "%s: %d of %d genes are not in all inputs, dropped",
                spec.name,
                reader.shape[1] - common.size,
                reader.shape[1],
            )
    symbols = readers[0].gene_symbols[columns[0]]
    return pd.DataFrame({"gene_id": common.to_numpy(), "symbol": symbols}), columns


def join_obs(parts: Sequence[tuple[str, pd.DataFrame, np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """``obs`` of the data set from (name, user's columns, total, selected counts) of each input.

    Columns of the user's that have a name of the data set's own get the prefix ``input_``;
    categories of several inputs are united; cells of an input without a column have it missing.
    """
    tables = [obs.rename(columns={name: f"input_{name}" for name in OWN}) for _, obs, _, _ in parts]
    for name, obs, _, _ in parts:
        for column in obs.columns.intersection(OWN):
            logger.info("%s: its column '%s' of obs is kept as 'input_%s'", name, column, column)
    names = [name for name, *_ in parts]
    sizes = [len(table) for table in tables]
    barcodes = np.concatenate([table.index.to_numpy(dtype=object) for table in tables])
    if len(parts) > 1:
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
        "total_counts": np.concatenate([total for _, _, total, _ in parts]),
        "selected_counts": np.concatenate([selected for _, _, _, selected in parts]),
    }
    for column in dict.fromkeys(name for table in tables for name in table):
        columns[column] = _join_column([table.get(column) for table in tables], sizes)
    return pd.DataFrame(columns, index=index)


def _join_column(parts: list[pd.Series | None], sizes: list[int]) -> ExtensionArray:
    """One column of all inputs, missing in the cells of an input that lacks it (None)."""
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
