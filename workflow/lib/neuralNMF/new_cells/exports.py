"""The programs of a model in the formats of other tools: gene sets (GMT), and starCAT's reference.

GMT, by the Broad Institute: a line a set, with a tab between its name, a description and its genes.
starCAT (Kotliar et al. 2025) reads a table with a tab between columns, a program a row and a gene a
column, the programs' names in the first one. It divides every gene of its query by the gene's
standard deviation, and expects programs that have been divided so too (`starCAT.build_reference`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from neuralNMF.evidence.layer import evidence_of_layers
from neuralNMF.evidence.markers import top_markers
from neuralNMF.io.model import Model

_PER = 1e6


def gene_sets(model: Model, top_n: int = 50) -> list[tuple[str, str, list[str]]]:
    """The marker genes of every program of every layer.

    Parameters
    ----------
    model : Model
    top_n : int
        Genes a set, at the most.

    Returns
    -------
    list of (str, str, list of str)
        ``L1_P3``; ``P3 GNLY NKG7``, as in the pictures; the symbols, the best marker first.
        Programs without markers are left out.
    """
    symbols = model.var["symbol"].to_numpy()
    layers = evidence_of_layers(
        model.usages,
        model.betas,
        symbols,
        dead=model.dead,
        gene_scale=model.var["gene_scale"].to_numpy(),
    )
    sets = []
    for layer, (beta, evidence) in enumerate(zip(model.betas, layers, strict=True), start=1):
        for program, genes in enumerate(top_markers(beta, evidence.markers, top_n)):
            if genes.size:
                named = list(dict.fromkeys(symbols[genes]))
                sets.append((f"L{layer}_P{program + 1}", evidence.names[program], named))
    return sets


def starcat_reference(model: Model, layer: int) -> pd.DataFrame:
    """The programs of a layer as starCAT's reference.

    Parameters
    ----------
    model : Model
    layer : int
        From 1.

    Returns
    -------
    DataFrame
        Column ``program`` (``L1_P3``), then one a gene, named by its symbol, or by its id where
        several genes have one symbol: its expression per million of the program, over its standard
        deviation in counts. Genes that never vary and dead programs are left out.
    """
    varies = model.var["variance"].to_numpy() > 0
    var, alive = model.var[varies], ~model.dead[layer - 1]
    expressed = model.betas[layer - 1][alive] / model.var["gene_scale"].to_numpy()
    expressed *= _PER / expressed.sum(axis=1, keepdims=True)
    symbols = var["symbol"].to_numpy()
    names = np.where(pd.Index(symbols).duplicated(keep=False), var.index, symbols)
    table = pd.DataFrame(expressed[:, varies] / np.sqrt(var["variance"].to_numpy()), columns=names)
    table.insert(0, "program", [f"L{layer}_P{number + 1}" for number in np.flatnonzero(alive)])
    return table
