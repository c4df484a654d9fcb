"""The programs of a model in the formats of other tools: gene sets (GMT), and starCAT's reference.

GMT, by the Broad Institute: a line a set, with a tab between its name, a description and its genes.
starCAT (Kotliar et al. 2025) reads a table with a tab between columns, a program a row and a gene a
column, the programs' names in the first one. It divides every gene of its query by the gene's
standard deviation, and expects programs that have been divided so too (`starCAT.build_reference`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuralNMF.evidence.layer import LayerEvidence
from neuralNMF.evidence.markers import top_markers

_PER = 1e6


def gene_sets(
    betas: Sequence[np.ndarray],
    symbols: np.ndarray,
    evidence: Sequence[LayerEvidence],
    top_n: int = 50,
) -> list[tuple[str, str, list[str]]]:
    """The marker genes of every program of every layer.

    Parameters
    ----------
    betas : sequence of ndarray
        beta_l (k_l, M).
    symbols : ndarray of str, (M,)
    evidence : sequence of LayerEvidence
        Of each layer.
    top_n : int
        Genes a set, at the most.

    Returns
    -------
    list of (str, str, list of str)
        ``L1_P3``; ``P3 GNLY NKG7``, as in the pictures; the symbols, the best marker first.
        Programs without markers are left out.
    """
    sets = []
    for layer, (beta, known) in enumerate(zip(betas, evidence, strict=True), start=1):
        for program, genes in enumerate(top_markers(beta, known.markers, top_n)):
            if genes.size:
                named = list(dict.fromkeys(symbols[genes]))
                sets.append((f"L{layer}_P{program + 1}", known.names[program], named))
    return sets


def starcat_reference(beta: np.ndarray, var: pd.DataFrame, layer: int) -> pd.DataFrame:
    """The programs of a layer as starCAT's reference.

    Parameters
    ----------
    beta : ndarray, (k, M)
        Programs as saved; the row of a dead one is 0.
    var : DataFrame
        The model's genes; ``symbol``, ``variance`` of the counts and ``gene_scale`` are used.
    layer : int
        Its number, from 1.

    Returns
    -------
    DataFrame
        Column ``program`` (``L1_P3``), then one a gene, named by its symbol, or by its id where
        several genes have one symbol: its expression per million of the program, over its standard
        deviation in counts. Genes that never vary and dead programs are left out.
    """
    alive = np.flatnonzero(beta.any(axis=1))
    expressed = beta[alive] / var["gene_scale"].to_numpy()
    expressed *= _PER / expressed.sum(axis=1, keepdims=True)
    varies = np.flatnonzero(var["variance"] > 0)
    table = pd.DataFrame(
        expressed[:, varies] / np.sqrt(var["variance"].to_numpy()[varies]),
        columns=_unique_names(var)[varies],
    )
    table.insert(0, "program", [f"L{layer}_P{number + 1}" for number in alive])
    return table


def _unique_names(var: pd.DataFrame) -> np.ndarray:
    symbols = var["symbol"].to_numpy()
    return np.where(pd.Index(symbols).duplicated(keep=False), var.index.to_numpy(), symbols)
