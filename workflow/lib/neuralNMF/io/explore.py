"""The file to look at a model with: an AnnData file for cellxgene and scanpy's plots.

docs/architecture.md has the layout, under "Cells to look at".
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.dataset_writer import DatasetWriter
from neuralNMF.io.model import Model

CELLS_AT_A_TIME = 8192


def write_explored(
    path: str | Path,
    dataset: Dataset,
    model: Model,
    obs: pd.DataFrame,
    *,
    places: Mapping[int, np.ndarray],
    colours: Mapping[str, list[str]],
    words: Mapping[str, str],
) -> None:
    """Write a model, its cells' counts and what there is to see, whole or not at all.

    Counts go through memory some cells at a time.

    Parameters
    ----------
    path : str or Path
        Of the file.
    dataset : Dataset
        What the model was fitted to.
    model : Model
        Of all layers.
    obs : DataFrame
        The N cells with all of their columns.
    places : mapping of int to ndarray, (N, 2)
        By layer.
    colours : mapping of str to list of str
        By column of `obs`: one for each of its categories.
    words : mapping of str to str
        Which cells have places, and why layers have none.

    Raises
    ------
    InputError
        The model is of other cells or genes than the data set.
    """
    same = dataset.obs.index.equals(model.obs.index) and dataset.var.index.equals(model.var.index)
    if not same:
        raise InputError(
            f"The model was fitted to other cells or genes than '{dataset.path}' holds: fit again."
        )
    totals = dataset.obs["total_counts"].to_numpy(dtype=np.float64)
    factors = (np.median(totals) / totals).astype(np.float32)
    obsm = {f"X_theta_l{layer}": usage for layer, usage in enumerate(model.usages, start=1)}
    obsm |= {f"X_theta_l{layer}_umap": each for layer, each in places.items()}
    betas = {f"beta_l{n}": np.ascontiguousarray(b.T) for n, b in enumerate(model.betas, start=1)}
    told = {
        "X": "log(1 + counts at the median of the cells' total counts), selected genes",
        "umap": json.dumps(dict(words), sort_keys=True),
    }
    listed = {f"{column}_colors": np.array(each, dtype=object) for column, each in colours.items()}
    with DatasetWriter(path, dataset.shape[1], dataset.nnz) as writer:
        for start in range(0, dataset.shape[0], CELLS_AT_A_TIME):
            stop = min(start + CELLS_AT_A_TIME, dataset.shape[0])
            chunk = dataset.rows(start, stop)
            of_each = np.repeat(factors[start:stop], np.diff(chunk.indptr))
            chunk.data = np.log1p(chunk.data * of_each)
            writer.append(chunk)
            dataset.release()
        writer.finish(
            obs, _by_symbol(dataset.var), {}, obsm=obsm, varm=betas, uns={"explore": told, **listed}
        )


def _by_symbol(var: pd.DataFrame) -> pd.DataFrame:
    """The genes under their symbols, as people look for them; of one that is there twice its id."""
    symbols = var["symbol"].astype(str)
    twice = symbols.duplicated(keep=False) | symbols.isin(["", "nan"])
    names = np.where(twice, var.index.astype(str), symbols)
    return var.set_axis(pd.Index(names, dtype=object), axis=0)
