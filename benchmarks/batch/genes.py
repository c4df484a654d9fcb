"""Variable genes where cells are put into batches at random, which should change nothing.

The share of the 2,000 genes chosen without batches that is chosen again: as the library chooses
within batches, and by the usual list of each batch, ranked over the batches (scanpy).
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import anndata
import numpy as np
import pandas as pd
import scanpy
from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset
from neuralNMF.io.dataset import open_dataset

SETS = ("zilionis_lung", "ifnb_pbmc", "pbmc_facs")
BATCHES = (2, 4, 8)
GENES, LEAST_CELLS = 2000, 10


def genes(data: Path) -> dict[str, dict[str, dict[str, float | str]]]:
    """By set, number of batches and way: the share of genes that is chosen again."""
    there = [name for name in SETS if (data / f"{name}.h5ad").exists()]
    return {name: _of_set(data / f"{name}.h5ad") for name in there}


def _of_set(source: Path) -> dict[str, dict[str, float | str]]:
    cells = anndata.read_h5ad(source)
    rng = np.random.default_rng(0)
    for number in BATCHES:
        drawn = rng.integers(0, number, cells.n_obs).astype(str)
        cells.obs[_column(number)] = pd.Categorical(drawn)
    scanpy.pp.filter_genes(cells, min_cells=LEAST_CELLS)
    plain, usual = _within(cells, None), _ranked(cells, None)
    return {
        f"{number} batches": {
            "within batches": _share(plain, _within(cells, _column(number))),
            "ranked over batches": _share(usual, _ranked(cells, _column(number))),
        }
        for number in BATCHES
    }


def _share(genes: set[str] | str, again: set[str] | str) -> float | str:
    """The share of the genes that is there again, or why one of the two is not."""
    if isinstance(genes, str) or isinstance(again, str):
        return genes if isinstance(genes, str) else again
    return len(genes & again) / GENES


def _column(batches: int) -> str:
    return f"random_{batches}"


def _within(cells: anndata.AnnData, batch: str | None) -> set[str]:
    """The genes of the library's data set."""
    options = DatasetOptions(variable_genes=GENES, min_cells=LEAST_CELLS, batch=batch)
    with TemporaryDirectory() as folder:
        source, path = Path(folder) / "cells.h5ad", Path(folder) / "dataset.h5ad"
        cells.write_h5ad(source)
        build_dataset([InputSpec(source, "cells")], path, options, progress=False)
        return set(open_dataset(path).var.index)


def _ranked(cells: anndata.AnnData, batch: str | None) -> set[str] | str:
    """The genes of Seurat's and scanpy's list, of each batch, ranked over the batches.

    Where a batch has few cells scanpy's regression may fail: then what it says.
    """
    keys = {"flavor": "seurat_v3", "n_top_genes": GENES, "batch_key": batch, "inplace": False}
    try:
        chosen = scanpy.pp.highly_variable_genes(cells, **keys)["highly_variable"]
    except ValueError as error:
        return f"left out: {error}"
    return set(cells.var_names[np.asarray(chosen, dtype=bool)])
