"""What others do with the same counts, each in its own way of choosing genes and scaling."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from cnmf import cNMF, load_df_from_npz
from neuralNMF.evidence.label_scores import counted
from sklearn.decomposition import NMF
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from benchmarks.answer import measures
from benchmarks.answer.answer import Answer, Measured, measured
from benchmarks.answer.sets import Cells

GENES = 2000
MIN_CELLS = 20  # as ours; cNMF and scanpy as in their tutorials
TUTORIAL_MIN_CELLS = 3
RESTARTS = 20
DENSITY = 0.5  # cNMF's default threshold of the local density
EPOCHS = 500  # of scikit-learn; its tolerance ends most fits before
MILLION = 1e6
COMPONENTS = 50
RESOLUTIONS = np.arange(1, 21) / 10


def of_one_layer(usage: np.ndarray, project: Callable[[Cells], np.ndarray]) -> Answer:
    return Answer([usage], [usage], lambda cells: [project(cells)])


def variable_genes(cells: Cells) -> pd.Index:
    """The most variable genes by seurat_v3, of those in enough cells."""
    adata = cells.annotated()
    sc.pp.filter_genes(adata, min_cells=MIN_CELLS)
    sc.pp.highly_variable_genes(adata, n_top_genes=GENES, flavor="seurat_v3")
    return adata.var_names[adata.var["highly_variable"]]


def per_million(cells: Cells) -> anndata.AnnData:
    """Counts of all genes, every cell to a million."""
    adata = cells.annotated()
    sc.pp.normalize_total(adata, target_sum=MILLION)
    return adata


def deviations(matrix: sp.csr_matrix) -> np.ndarray:
    """Standard deviation of each gene, 1 where it does not vary."""
    mean = np.asarray(matrix.mean(axis=0)).ravel()
    variance = np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel() - mean**2
    return np.where(variance > 0, np.sqrt(variance.clip(0)), 1.0)


def nmf(cells: Cells, seed: int, *, rank: int) -> Answer:
    """scikit-learn's NMF as cNMF scales: per million, genes at unit variance, nothing centred."""
    genes = variable_genes(cells)

    def selected(some: Cells) -> sp.csr_matrix:
        return per_million(some)[:, genes].X.astype(np.float64)

    scale = sp.diags(1 / deviations(selected(cells)))
    model = NMF(rank, random_state=seed, max_iter=EPOCHS)
    usage = model.fit_transform(selected(cells) @ scale)
    programs = model.components_
    return of_one_layer(
        measures.at_sum_one(usage, programs),
        lambda others: measures.at_sum_one(
            measures.projected(selected(others) @ scale, programs), programs
        ),
    )


def kl_nmf(cells: Cells, seed: int, *, rank: int) -> Answer:
    """scikit-learn's NMF of the counts by the Kullback-Leibler divergence."""
    genes = variable_genes(cells)

    def selected(some: Cells) -> sp.csr_matrix:
        return some.annotated()[:, genes].X.astype(np.float64)

    model = NMF(
        rank,
        solver="mu",
        beta_loss="kullback-leibler",
        init="nndsvda",
        random_state=seed,
        max_iter=EPOCHS,
    )
    usage = model.fit_transform(selected(cells))
    return of_one_layer(
        measures.at_sum_one(usage, model.components_),
        lambda others: measures.at_sum_one(model.transform(selected(others)), model.components_),
    )


def cnmf(cells: Cells, seed: int, *, rank: int) -> Answer:
    """cNMF: the consensus of restarts, its own choice of genes, its own last fit of the usage."""
    adata = cells.annotated()
    sc.pp.filter_genes(adata, min_cells=TUTORIAL_MIN_CELLS)
    with TemporaryDirectory() as folder:
        adata.write_h5ad(f"{folder}/counts.h5ad")
        run = cNMF(output_dir=folder, name="run")
        run.prepare(
            f"{folder}/counts.h5ad",
            components=[rank],
            n_iter=RESTARTS,
            seed=seed,
            num_highvar_genes=GENES,
        )
        run.factorize()
        run.combine()
        run.consensus(rank, density_threshold=DENSITY, show_clustering=False, build_ref=False)
        usage, _, spectra, _ = run.load_results(rank, DENSITY, norm_usage=False)
        genes = np.loadtxt(run.paths["nmf_genes_list"], dtype=str)
        deviation = load_df_from_npz(run.paths["tpm_stats"])["__std"]
    scale = 1 / deviation.loc[genes].to_numpy()
    programs = spectra.loc[genes].to_numpy().T * scale
    return of_one_layer(
        measures.at_sum_one(usage.to_numpy(), programs),
        lambda others: measures.at_sum_one(
            measures.projected(per_million(others)[:, genes].X @ sp.diags(scale), programs),
            programs,
        ),
    )


def leiden(adata: anndata.AnnData, labels: np.ndarray, seed: int) -> tuple[float, float]:
    """(adjusted Rand index, mutual information) at the resolution of the largest index."""
    there = counted(labels)
    found = []
    for resolution in RESOLUTIONS:
        sc.tl.leiden(
            adata,
            resolution=resolution,
            flavor="igraph",
            n_iterations=2,
            directed=False,
            random_state=seed,
        )
        clusters = adata.obs["leiden"].to_numpy()[there]
        found.append(
            (
                float(adjusted_rand_score(labels[there], clusters)),
                float(normalized_mutual_info_score(labels[there], clusters)),
            )
        )
    return max(found)


def scanpy(cells: Cells, seed: int) -> list[dict]:
    """scanpy's usual way: principal components; Leiden in one row, k-means in another."""
    adata = cells.annotated()
    sc.pp.filter_genes(adata, min_cells=TUTORIAL_MIN_CELLS)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=GENES)
    sc.pp.pca(adata, n_comps=COMPONENTS, random_state=seed)
    sc.pp.neighbors(adata, random_state=seed)
    of_components = measures.with_labels(adata.obsm["X_pca"], cells.fine, cells.coarse, seed)
    of_graph = {}
    for name, labels in (("fine", cells.fine), ("coarse", cells.coarse)):
        of_graph[f"ari_{name}"], of_graph[f"nmi_{name}"] = leiden(adata, labels, seed)
    return [
        {"layer": "k-means", "rank": COMPONENTS, **of_components},
        {"layer": "Leiden", "rank": COMPONENTS, **of_graph},
    ]


def quiet(measure: Measured) -> Measured:
    def quietly(cells: Cells, seed: int) -> list[dict]:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return measure(cells, seed)

    return quietly


PEERS: dict[str, Measured] = {
    f"{name}, {rank}": quiet(partial(measured, partial(method, rank=rank)))
    for name, method, ranks in (
        ("NMF", nmf, (20, 10, 5)),
        ("KL-NMF", kl_nmf, (20, 10)),
        ("cNMF", cnmf, (20,)),
    )
    for rank in ranks
} | {"scanpy": quiet(scanpy)}
