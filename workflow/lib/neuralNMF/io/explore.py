"""The file to look at a model with: an AnnData file for cellxgene and scanpy's plots.

docs/architecture.md has the layout, under "Cells to look at".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.dataset_writer import DatasetWriter
from neuralNMF.io.elements import read_elem, read_table
from neuralNMF.io.model import Model

CELLS_AT_A_TIME = 8192


@dataclass(frozen=True)
class Looks:
    """What the file says of N cells.

    Attributes
    ----------
    obs : DataFrame
        All of their columns.
    places : dict of int to ndarray, (N, 2)
        By layer; NaN of cells that are not drawn.
    colours : dict of str to list of str
        By column: one for each category.
    words : dict of str to str
        ``drawn``: which cells have places; ``l{l}``: why a layer has none.
    """

    obs: pd.DataFrame
    places: dict[int, np.ndarray]
    colours: dict[str, list[str]]
    words: dict[str, str]

    def shares(self, layer: int) -> pd.DataFrame:
        """Percent of each cell's fitted expression by each program, under the programs' names."""
        start = f"l{layer} P"
        names = [name for name in self.obs if name.startswith(start)]
        return 100 * self.obs[names].rename(columns=lambda name: name.split(" ", 1)[1])


def read_looks(path: str | Path) -> Looks:
    """Read back what `write_explored` wrote beside the counts; InputError where it is none."""
    try:
        with h5py.File(path, "r") as file:
            obs, obsm, uns = read_table(file["obs"]), file["obsm"], file["uns"]
            layers = range(1, 1 + sum(1 for name in file["varm"] if name.startswith("beta_l")))
            return Looks(
                obs,
                {n: obsm[f"X_theta_l{n}_umap"][()] for n in layers if f"X_theta_l{n}_umap" in obsm},
                {
                    name.removesuffix("_colors"): list(read_elem(uns[name]))
                    for name in uns
                    if name.endswith("_colors")
                },
                json.loads(read_elem(uns["explore"])["umap"]),
            )
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read ({error}): make it again.") from error


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
    # cellxgene takes every `X_` for a layout and draws its first two columns: only places are.
    obsm = {f"theta_l{layer}": usage for layer, usage in enumerate(model.usages, start=1)}
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
