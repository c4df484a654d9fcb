"""The genes that mark each program as a table, with what helps to judge a program."""

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.evidence.layer import LayerEvidence
from neuralNMF.evidence.markers import top_markers
from neuralNMF.evidence.tree import NO_PARENT
from neuralNMF.gene_classes import GENE_CLASSES, gene_class_mask

PER = 10_000  # loadings are given per this many, as normalised counts are


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


def programs_table(
    beta: np.ndarray,
    symbols: np.ndarray,
    ids: np.ndarray,
    evidence: LayerEvidence,
    *,
    parents: np.ndarray | None = None,
    top_n: int = 10,
) -> pd.DataFrame:
    """List the marker genes of each program, one row a gene.

    Parameters
    ----------
    beta : ndarray, (k, M)
        Programs; rows sum to 1, the row of a dead one is 0.
    symbols, ids : ndarray of str, (M,)
        Names of the genes.
    evidence : LayerEvidence
        Of the layer.
    parents : ndarray of int or None, (k,)
        The program of the next layer that each is part of, or -1; None for the last layer.
    top_n : int
        Genes a program.

    Returns
    -------
    DataFrame
        With the columns

        - ``program``: P1 ... Pk
        - ``rank``: 1 for the best marker
        - ``gene_id``, ``symbol``
        - ``marker_score``: by which they are ranked (`neuralNMF.evidence.markers`)
        - ``log2_ratio``: log2 of the gene's share of the program's expression over its share of
          that of all other programs
        - ``loading_per_10k``: 10,000 x beta, and ``loading_rank``: 1 for the highest loading
        - ``specificity_fraction``: the gene's loading in this program over the sum of its loadings
          in all programs, 0 to 1
        - ``gene_class``: ribosomal, mitochondrial, haemoglobin or empty
        - ``program_name``: with its best markers, as in the pictures
        - ``program_parent``: the program of the next layer that it is part of; empty in the last
        - ``program_support_cells``: effective number of cells (`neuralNMF.evidence.support`)
        - ``program_flag``: empty, or one or several of dead, noise, ribosomal, mitochondrial,
          haemoglobin, MALAT1, stress, cell cycle (`neuralNMF.evidence.flags`)

        A program without genes has one row, empty in the columns of genes.

    Raises
    ------
    InputError
        `top_n` is below 1.
    """
    if top_n < 1:
        raise InputError(f"top_n must be at least 1, not {top_n}.")
    totals = beta.sum(axis=0, dtype=np.float64)
    parts = []
    for k, genes in enumerate(top_markers(beta, evidence.markers, top_n)):
        ranks = np.empty(beta.shape[1], dtype=int)
        ranks[np.argsort(-beta[k], kind="stable")] = np.arange(1, beta.shape[1] + 1)
        columns = {
            "rank": np.arange(1, len(genes) + 1),
            "gene_id": ids[genes],
            "symbol": symbols[genes],
            "marker_score": evidence.markers.scores[k, genes],
            "log2_ratio": evidence.markers.log2_ratios[k, genes],
            "loading_per_10k": PER * beta[k, genes].astype(np.float64),
            "loading_rank": ranks[genes],
            "specificity_fraction": beta[k, genes] / totals[genes],
            "gene_class": _classes(symbols[genes]),
        }
        part = pd.DataFrame(columns).astype({"rank": "Int64", "loading_rank": "Int64"})
        part = part if len(part) else part.reindex([0])
        parent = NO_PARENT if parents is None else parents[k]
        part.insert(0, "program", f"P{k + 1}")
        part["program_name"] = evidence.names[k]
        part["program_parent"] = "" if parent == NO_PARENT else f"P{parent + 1}"
        part["program_support_cells"] = evidence.support[k]
        part["program_flag"] = ", ".join(evidence.flags[k])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _classes(symbols: np.ndarray) -> np.ndarray:
    """The class of each gene by its symbol, or ""."""
    classes = np.full(len(symbols), "", dtype=object)
    for name in GENE_CLASSES:
        classes[gene_class_mask(symbols, name)] = name
    return classes
