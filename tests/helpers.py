"""What several test files use: comparing matrices and programs, small counts, running scripts."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from neuralNMF.evidence.matching import matched_cosines
from neuralNMF.io.dataset import held_dataset

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow" / "scripts"


def same_matrix(a, b):
    """Whether two sparse matrices have the same shape and the same entries."""
    return a.shape == b.shape and (a != b).nnz == 0


def cosine(a, b):
    """Cosines of all pairs of rows: (m, M), (n, M) -> (m, n)."""
    a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a, b))
    return a @ b.T


def least_cosine(programs, truth):
    """The lowest cosine when programs (k, M) are matched one to one with the true ones."""
    return matched_cosines(programs, truth)[0]


def agreement(usage, labels, clusters):
    """Adjusted Rand index of labels and of a k-means clustering of the cells' shares of usage."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    shares = usage / np.maximum(usage.sum(axis=1, keepdims=True), 1e-30)
    groups = KMeans(clusters, n_init=20, random_state=0).fit_predict(shares.astype(np.float64))
    return adjusted_rand_score(labels.astype(str), groups)


def dataset_of(counts, **columns):
    """A data set in memory of counts (N, M), with columns of ``obs``."""
    totals = counts.sum(axis=1).astype(float)
    obs = pd.DataFrame(
        {"total_counts": totals, "selected_counts": totals, **columns},
        index=[f"cell{i}" for i in range(len(counts))],
    )
    var = pd.DataFrame(index=[f"gene{j}" for j in range(counts.shape[1])])
    return held_dataset(sp.csr_matrix(counts.astype(np.float32)), obs, var, Path("planted.h5ad"))


def make_adata(counts, **columns):
    """Counts (N, M) of cell0, cell1, ... and gene0, gene1, ... with columns of ``obs``."""
    cells, genes = np.shape(counts)
    return anndata.AnnData(
        sp.csr_matrix(np.asarray(counts, dtype=np.float32)),
        obs=pd.DataFrame(columns, index=[f"cell{i}" for i in range(cells)]),
        var=pd.DataFrame(index=[f"gene{j}" for j in range(genes)]),
    )


class Named(list):
    """Like Snakemake's lists: values by position, by name and with `get`."""

    def __init__(self, *values, **named):
        super().__init__([*values, *named.values()])
        self.__dict__.update(named)

    def get(self, name, default=None):
        return self.__dict__.get(name, default)


def fake_snakemake(log, *, inputs=None, outputs=None, params=None, threads=1):
    """The object that Snakemake puts into a script; inputs, outputs and params are `Named`."""
    return SimpleNamespace(
        input=inputs or Named(),
        output=outputs or Named(),
        params=params or Named(),
        log=[str(log)],
        threads=threads,
    )


def run_script(name, snakemake):
    """Run a script of the workflow as a rule would, in this process."""
    runpy.run_path(str(SCRIPTS / name), init_globals={"snakemake": snakemake})
