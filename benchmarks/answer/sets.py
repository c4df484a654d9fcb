"""The labelled sets, and random halves of their cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

SETS = ("pbmc_facs", "ifnb_pbmc", "lymph_node", "zilionis_lung")
FINE, COARSE = "celltype", "lineage"


@dataclass(frozen=True)
class Cells:
    """Raw counts of all genes, and the labels that no method sees.

    Attributes
    ----------
    counts : csr_matrix of float32, (N, M)
    genes : DataFrame
        One row a gene; its index: the gene's name.
    fine, coarse : ndarray of str, (N,)
    names : ndarray of str, (N,)
        Of each cell, its own among all cells of the set.
    """

    counts: sp.csr_matrix
    genes: pd.DataFrame
    fine: np.ndarray
    coarse: np.ndarray
    names: np.ndarray

    @property
    def number(self) -> int:
        return self.counts.shape[0]

    def take(self, which: np.ndarray) -> Cells:
        """The cells of some row numbers, (n,)."""
        of_cells = (self.fine[which], self.coarse[which], self.names[which])
        return Cells(self.counts[which], self.genes, *of_cells)

    def annotated(self) -> anndata.AnnData:
        """The counts with the names of cells and genes, without the labels: a copy."""
        return anndata.AnnData(
            self.counts.copy(), pd.DataFrame(index=self.names), self.genes.copy()
        )


def read_set(data: Path, name: str) -> Cells:
    """One of `SETS`."""
    adata = anndata.read_h5ad(data / f"{name}.h5ad")
    labels = [adata.obs[column].astype(str).to_numpy() for column in (FINE, COARSE)]
    names = np.array([f"cell{row}" for row in range(adata.n_obs)])
    return Cells(sp.csr_matrix(adata.X, dtype=np.float32), adata.var, *labels, names)


def halves(number: int, seed: int) -> list[np.ndarray]:
    """Rows of two random halves of the cells, each rising."""
    order = np.random.default_rng(seed).permutation(number)
    return [np.sort(half) for half in np.array_split(order, 2)]
