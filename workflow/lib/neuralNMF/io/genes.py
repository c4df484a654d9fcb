"""Which features are genes, and which columns of a table hold their ids and their symbols."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuralNMF.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

# Columns with symbols, the likeliest first, as `_plain` writes their names.
SYMBOLS = ("genesymbol", "genesymbols", "symbol", "symbols", "genename", "genenames",
           "geneshortname", "featurename", "hgncsymbol", "mgisymbol", "externalgenename",
           "name", "names", "gene", "genes")  # fmt: skip
# Columns with ids, where the index holds the symbols (as scanpy reads CellRanger's files).
IDS = ("geneids", "geneid", "ensemblid", "ensemblids", "ensemblgeneid", "ensembl", "featureid",
       "accession", "id", "ids")  # fmt: skip
TYPES = ("featuretypes", "featuretype", "type", "modality")
# Ids of Ensembl, FlyBase and WormBase, also behind a genome's name (GRCh38_ENSG...).
STABLE_ID = re.compile(r"(?:\w+_+)?(?:ENS[A-Z]{0,6}G\d{6,}(?:\.\d+)?|FBgn\d+|WBGene\d+)")
# `CERTAIN` are said of nothing else; "gene" for one may also stand beside "pseudogene".
GENES = {"gene expression", "gex", "rna", "gene", "genes", "mrna"}
OTHERS = {
    "antibody capture", "antibody", "adt", "protein", "hto", "abseq", "crispr guide capture",
    "custom", "peaks", "atac", "multiplexing capture", "antigen capture", "vdj", "vdj-t", "vdj-b",
}  # fmt: skip
CERTAIN = {"gene expression", "antibody capture", "crispr guide capture", "multiplexing capture",
           "antigen capture", "gex", "adt"}  # fmt: skip


def names_of_genes(index: np.ndarray, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Find ids and symbols of genes.

    Parameters
    ----------
    index : ndarray of str, (M,)
        The names that the format gives them.
    table : DataFrame
        Its columns of genes, M rows.

    Returns
    -------
    ids, symbols : ndarray of str, (M,)
        A gene without a symbol is called by its id.
    """
    ids, symbols = index, _column(table, SYMBOLS)
    if symbols is not None and are_ids(symbols) and not are_ids(index):
        symbols = None  # ids, whatever the column is called
    other = _column(table, IDS)
    if other is not None and are_ids(other) and not are_ids(index) and _unique(other):
        ids, symbols = other, index if symbols is None else symbols
    if symbols is None:
        return ids, ids
    return ids, np.where(symbols == "", index, symbols)


def type_column(table: pd.DataFrame) -> np.ndarray | None:
    """The types of features, (M,) of str, '' where one is missing; None if no column has any."""
    for name in TYPES:
        found = _column(table, (name,))
        if found is not None and are_types(found):
            return found
    return None


def are_types(words: np.ndarray) -> bool:
    """Whether words from a column are types of features, and not chromosomes for one."""
    found = {_type(word) for word in set(words)} - {""}
    return bool(found & CERTAIN) or (bool(found) and found <= GENES | OTHERS)


def are_ids(names: np.ndarray) -> bool:
    """Whether most names are ids of Ensembl, FlyBase or WormBase."""
    some = names[:: max(1, names.size // 1000)]
    return sum(STABLE_ID.fullmatch(str(name)) is not None for name in some) > len(some) / 2


def gene_columns(path: Path, types: np.ndarray | None) -> slice | np.ndarray:
    """The columns that are genes, all of them where the file does not say; the log has the others.

    Raises
    ------
    InputError
        None is; the message names the types that there are.
    """
    if types is None or not are_types(types):
        return slice(None)
    of_a_gene = {word for word in set(types) if _type(word) in GENES}
    columns = np.flatnonzero(np.isin(types, list(of_a_gene)))
    others = ", ".join(sorted(word or "without a type" for word in set(types) - of_a_gene))
    if not columns.size:
        raise InputError(
            f"'{path}' has {types.size} features and no gene among them (types: {others}): give a "
            "file with 'Gene Expression'."
        )
    if columns.size == types.size:
        return slice(None)
    logger.info(
        "%s: %d of %d features are genes, the others (%s) are left out",
        path,
        columns.size,
        types.size,
        others,
    )
    return columns


def _type(word: str) -> str:
    return word.strip().lower().replace("_", " ")


def _column(table: pd.DataFrame, names: tuple[str, ...]) -> np.ndarray | None:
    """The first column of text that is called so, in any spelling; '' where a value is missing."""
    plain: dict[str, str] = {}
    for name in table:
        plain.setdefault(_plain(str(name)), name)
    for name in names:
        if name in plain:
            column = table[plain[name]]
            words = column.astype(object).where(column.notna(), "").to_numpy(dtype=object)
            if all(isinstance(word, str) for word in words) and (words != "").any():
                return words
    return None


def _unique(names: np.ndarray) -> bool:
    """Whether each row has a name of its own."""
    return bool(np.unique(names).size == names.size and (names != "").all())


def _plain(name: str) -> str:
    """gene_symbols, Gene Symbols and gene_symbols-0 (of a join) are the same column."""
    return re.sub(r"[^a-z]", "", re.sub(r"[-_.]\d+$", "", name).lower())
