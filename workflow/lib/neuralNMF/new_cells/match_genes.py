"""The genes of a model in another file: by id or by symbol, in whatever order."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.counts import CountsReader
from neuralNMF.io.model import Model

logger = logging.getLogger(__name__)

# The programs are not judged by genes that hold less of them than this.
LEAST_SHARE = 0.5


@dataclass(frozen=True)
class GeneMatch:
    """Which genes of a model a file has.

    Attributes
    ----------
    by : str
        ``gene_id`` or ``symbol``.
    genes : ndarray of int, (m,)
        Their numbers in the model, rising.
    columns : ndarray of int, (m,)
        Their columns in the file.
    share : float
        What they hold of the programs of layer 1, the mean over these; 0 to 1.
    least_share : float
        What they hold of the program of which they hold least.
    """

    by: str
    genes: np.ndarray
    columns: np.ndarray
    share: float
    least_share: float


def match_genes(model: Model, reader: CountsReader) -> GeneMatch:
    """Find the genes of a model in a file, by id or by symbol, whichever finds more.

    A name that several genes of the model or of the file share finds none of them.

    Parameters
    ----------
    model : Model
        M genes.
    reader : CountsReader

    Returns
    -------
    GeneMatch

    Raises
    ------
    InputError
        The genes in common hold less than half of the programs.
    """
    ids = model.var.index.to_numpy()
    symbols = model.var["symbol"].to_numpy() if "symbol" in model.var else ids
    found = {
        "gene_id": _places(ids, reader.gene_ids),
        "symbol": _places(symbols, reader.gene_symbols),
    }
    by = max(found, key=lambda name: (found[name] >= 0).sum())
    columns = found[by]
    genes = np.flatnonzero(columns >= 0)
    shares = model.betas[0][:, genes].sum(axis=1)[~model.dead[0]]
    match = GeneMatch(by, genes, columns[genes], float(shares.mean()), float(shares.min()))
    if match.share < LEAST_SHARE:
        raise InputError(
            f"'{reader.path}' has {genes.size} of the model's {len(ids)} genes, which hold "
            f"{match.share:.0%} of its programs, and at least {LEAST_SHARE:.0%} are needed: its "
            f"genes are like '{reader.gene_ids[0]}' ('{reader.gene_symbols[0]}'), the model's like "
            f"'{ids[0]}' ('{symbols[0]}'), so give counts of the same species and all genes."
        )
    logger.info(
        "%s: %d of the model's %d genes by %s, %.1f %% of its programs (at least %.1f %% of each)",
        reader.path,
        genes.size,
        len(ids),
        by,
        100 * match.share,
        100 * match.least_share,
    )
    return match


def _places(wanted: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Where each name stands, (M,) int; -1 where nowhere, or where it is not one gene's alone."""
    once = pd.Series(np.arange(names.size), index=names)
    once = once[~once.index.duplicated(keep=False)]
    places = once.reindex(wanted).fillna(-1).to_numpy(np.int64)
    places[pd.Index(wanted).duplicated(keep=False)] = -1
    return places
