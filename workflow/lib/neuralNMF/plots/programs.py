"""The top genes of each program as a table, with what helps to judge a program."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.atomic import atomic_path
from neuralNMF.plots.style import program_names

PER = 10_000  # loadings are given per this many, as normalised counts are
FLAGGED_FROM = 0.5

# Gene symbols of man and mouse. RPS6KA1 and its like are kinases, MRPL1 is not of the ribosome
# of the cytosol: both are left out.
CLASSES = {
    "ribosomal": re.compile(r"RP[SL](\d+(A|X|Y\d)?(L\d?)?|P\d|A)", re.IGNORECASE),
    "mitochondrial": re.compile(r"MT-.+", re.IGNORECASE),
    "MALAT1": re.compile(r"MALAT1", re.IGNORECASE),
}


def top_genes(beta: np.ndarray, top_n: int) -> list[np.ndarray]:
    """For each program of beta (k, M) its `top_n` genes of highest loading, highest first.

    Genes of loading 0 are never listed: a dead program has none. Ties: the earlier gene first.
    """
    if top_n < 1:
        raise InputError(f"top_n must be at least 1, not {top_n}.")
    lists = []
    for row in beta:
        best = np.argsort(-row, kind="stable")[:top_n]
        lists.append(best[row[best] > 0])
    return lists


def gene_class(symbol: str) -> str:
    """One of the names in `CLASSES`, or "" for any other gene."""
    return next((name for name, pattern in CLASSES.items() if pattern.fullmatch(symbol)), "")


def top_genes_table(
    beta: np.ndarray, symbols: np.ndarray, ids: np.ndarray, top_n: int = 10
) -> pd.DataFrame:
    """One row for each of the `top_n` genes of each program.

    beta: (k, M), rows sum to 1; symbols, ids: (M,). Columns:

    program               P1 ... Pk
    rank                  1 for the highest loading
    gene_id, symbol
    loading_per_10k       10,000 x beta
    specificity_fraction  the gene's loading in this program / its sum over all programs (0 to 1)
    gene_class            ribosomal, mitochondrial, MALAT1 or empty
    program_flag          "mostly ribosomal" (and so on) if such genes carry at least half of the
                          loading of the program's listed genes, named after the class that carries
                          most: a program of cell quality more often than of cell type; "dead" in
                          the one row, empty otherwise, of a program without genes
    """
    dead = ~(beta > 0).any(axis=1)
    names = program_names(np.zeros(len(beta), dtype=bool))
    totals = beta.sum(axis=0)
    parts = []
    for program, genes in enumerate(top_genes(beta, top_n)):
        loadings = beta[program, genes]
        classes = np.array([gene_class(str(symbol)) for symbol in symbols[genes]], dtype=object)
        parts.append(
            pd.DataFrame(
                {
                    "program": names[program],
                    "rank": np.arange(1, len(genes) + 1),
                    "gene_id": ids[genes],
                    "symbol": symbols[genes],
                    "loading_per_10k": PER * loadings.astype(np.float64),
                    "specificity_fraction": loadings / totals[genes],
                    "gene_class": classes,
                    "program_flag": _flag(loadings, classes),
                }
            ).astype({"rank": "Int64"})
        )
        if dead[program]:
            row = {"program": [names[program]], "program_flag": ["dead"]}
            parts[-1] = (
                pd.DataFrame(row).reindex(columns=parts[-1].columns).astype({"rank": "Int64"})
            )
    return pd.concat(parts, ignore_index=True)


def _flag(loadings: np.ndarray, classes: np.ndarray) -> str:
    share = {name: loadings[classes == name].sum() for name in CLASSES}
    if len(loadings) and sum(share.values()) >= FLAGGED_FROM * loadings.sum():
        return f"mostly {max(share, key=share.get)}"
    return ""


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as TSV, six digits, missing values empty, whole or not at all."""
    with atomic_path(path) as partial:
        table.to_csv(partial, sep="\t", index=False, float_format="%.6g", lineterminator="\n")
