"""Ours and peers, on planted counts of several batches."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
from neuralNMF.fit import fit_layer
from neuralNMF.options import LayerOptions
from sklearn.decomposition import NMF, PCA

from benchmarks.batch.truth import BATCHES, CELLS, GENES, PROGRAMS, Found, Truth


def ours(truth: Truth, seed: int, **keys: object) -> Found:
    """A layer by one fit, of counts at one library size."""
    options = {"normalize": "library", "gene_power": 0.5, "batch": "batch", "condition": "state"}
    asked = LayerOptions(PROGRAMS, seed=seed, **(options | keys))
    model = fit_layer(truth.dataset(), None, asked, progress=False)
    programs = model.betas[0] / model.var["gene_scale"].to_numpy()
    factors = None if model.batches is None else model.batches.factors
    return Found(programs, model.usages[0], factors)


def poisson(truth: Truth, seed: int) -> Found:
    keys = {"loss": "nested_poisson", "beta": "learned", "normalize": "library", "gene_power": None}
    return ours(truth, seed, **keys)


def without(truth: Truth, seed: int) -> Found:
    return ours(truth, seed, batch=None, condition=None)


def per_median(truth: Truth) -> np.ndarray:
    """Counts at one library size, (N, M)."""
    totals = truth.counts.sum(axis=1, keepdims=True)
    return truth.counts * (np.median(totals) / totals)


def harmony(truth: Truth, seed: int) -> Found:
    """Harmony's clusters, its correction of each gene by them, then scikit-learn's NMF.

    As cNMF does: Harmony runs on principal components, and its regression on clusters and batches
    is then made for the genes; what falls below zero is zero. Genes at unit variance.
    """
    import harmonypy
    from cnmf.preprocess import moe_correct_ridge

    values = per_median(truth)
    scaled = values / values.std(axis=0)
    components = PCA(20, random_state=seed).fit_transform(scaled)
    obs = truth.dataset().obs
    result = harmonypy.run_harmony(components, obs, "batch", random_state=seed, verbose=False)
    clusters = np.asarray(result.R)
    clusters = clusters if clusters.shape[1] == CELLS else clusters.T  # (clusters, N)
    design = np.vstack([np.ones(CELLS), np.eye(BATCHES)[truth.batches].T])
    ridge = np.diag([0.0, *np.ones(BATCHES)])
    corrected = moe_correct_ridge(
        scaled.T, None, None, clusters, None, len(clusters), None, design, ridge
    )[1]
    return of_nmf(np.maximum(np.asarray(corrected).T, 0), values.std(axis=0), seed)


def of_nmf(scaled: np.ndarray, scale: np.ndarray, seed: int) -> Found:
    model = NMF(PROGRAMS, init="nndsvda", random_state=seed, max_iter=500)
    usage = model.fit_transform(scaled)
    return Found(model.components_ * scale, usage * model.components_.sum(axis=1))


def plain_nmf(truth: Truth, seed: int) -> Found:
    values = per_median(truth)
    return of_nmf(values / values.std(axis=0), values.std(axis=0), seed)


def inmf(truth: Truth, seed: int) -> Found:
    """LIGER's integrative NMF, by pyliger: programs that all batches share, with own parts of each.

    Its defaults: cells at one total, the genes of each batch at a mean square of one, lambda = 5,
    the best of three starts. A program is its shared part, in units of the mean over the batches.
    """
    optimize = liger()
    values = per_median(truth)
    parts = [values[truth.batches == batch] for batch in range(BATCHES)]
    scales = np.array([np.sqrt(np.square(part).sum(axis=0) / (len(part) - 1)) for part in parts])
    scales[scales == 0] = 1.0  # a gene that no cell of the batch has
    tables = [
        SimpleNamespace(
            shape=part.shape,
            layers={"scale_data": sp.csr_matrix(part / scale)},
            obsm={},
            varm={},
        )
        for part, scale in zip(parts, scales, strict=True)
    ]
    of_all = SimpleNamespace(adata_list=tables, num_samples=BATCHES, var_genes=range(GENES))
    optimize(of_all, PROGRAMS, value_lambda=5.0, nrep=3, rand_seed=seed + 1)
    programs = tables[0].varm["W"].T * scales.mean(axis=0)
    usage = np.empty((CELLS, PROGRAMS))
    for batch, table in enumerate(tables):
        usage[truth.batches == batch] = table.obsm["H"]
    return Found(programs, usage * programs.sum(axis=1))


def liger() -> Callable[..., None]:
    """pyliger's iNMF by alternating least squares, imported without the rest of its package.

    The package as a whole imports clustering and plotting, and with them some forty packages.
    """
    for name in ("pyliger", "pyliger.factorization"):
        if name not in sys.modules:
            # With its place, but not executed.
            sys.modules[name] = importlib.util.module_from_spec(importlib.util.find_spec(name))
    return importlib.import_module("pyliger.factorization._iNMF_ANLS").optimize_ALS


METHODS: dict[str, Callable[[Truth, int], Found]] = {
    "ours": ours,
    "ours, poisson": poisson,
    "ours, no batch": without,
    "NMF": plain_nmf,
    "harmonypy + NMF": harmony,
    "iNMF (pyliger)": inmf,
}
NEEDS = {"harmonypy + NMF": "harmonypy", "iNMF (pyliger)": "pyliger"}
