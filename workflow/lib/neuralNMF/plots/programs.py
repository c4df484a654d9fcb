"""The top genes of each program as a table, with what helps to judge a program."""

import re

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
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
    """Find the genes with the highest loading of each program.

    Parameters
    ----------
    beta : ndarray, (k, M)
        Loadings of M genes in k programs.
    top_n : int
        How many genes a program.

    Returns
    -------
    list of ndarray of int
        Columns of each program's genes, the highest loading first; of two that are equal the
        earlier gene. Genes of loading 0 are never listed: a dead program has none.

    Raises
    ------
    InputError
        `top_n` is below 1.
    """
    if top_n < 1:
        raise InputError(f"top_n must be at least 1, not {top_n}.")
    lists = []
    for row in beta:
        best = np.argsort(-row, kind="stable")[:top_n]
        lists.append(best[row[best] > 0])
    return lists


def gene_class(symbol: str) -> str:
    """Class of a gene by its symbol: one of the names in `CLASSES`, or "" for any other gene."""
    return next((name for name, pattern in CLASSES.items() if pattern.fullmatch(symbol)), "")


def top_genes_table(
    beta: np.ndarray, symbols: np.ndarray, ids: np.ndarray, top_n: int = 10
) -> pd.DataFrame:
    """List the top genes of each program, one row a gene.

    Parameters
    ----------
    beta : ndarray, (k, M)
        Programs; rows sum to 1, the row of a dead one is 0.
    symbols, ids : ndarray of str, (M,)
        Names of the genes.
    top_n : int
        Genes a program.

    Returns
    -------
    DataFrame
        With the columns

        - ``program``: P1 ... Pk
        - ``rank``: 1 for the highest loading
        - ``gene_id``, ``symbol``
        - ``loading_per_10k``: 10,000 x beta
        - ``specificity_fraction``: the gene's loading in this program over the sum of its loadings
          in all programs, 0 to 1
        - ``gene_class``: ribosomal, mitochondrial, MALAT1 or empty
        - ``program_flag``: "mostly ribosomal" (and so on) if genes of such classes carry at least
          half of the loading of the program's listed genes, named after the class that carries
          most: a program of cell quality more often than of cell type

        A dead program has one row, with "dead" as its flag and otherwise empty.

    Raises
    ------
    InputError
        `top_n` is below 1.
    """
    dead = ~np.any(beta > 0, axis=1)
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
    """What a program is flagged as, from its listed genes."""
    share = {name: loadings[classes == name].sum() for name in CLASSES}
    if len(loadings) and sum(share.values()) >= FLAGGED_FROM * loadings.sum():
        return f"mostly {max(share, key=lambda name: share[name])}"
    return ""
