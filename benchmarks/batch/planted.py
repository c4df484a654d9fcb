"""Planted batches: programs, factors and the program of a condition, found by ours and by peers.

Cells of three batches, each with programs in shares of its own (Dirichlet), with a factor for each
batch and gene; one program more is that of a condition, which each batch has in a share of its
own. All are asked for the number of programs that is there. Programs are compared by their cosine,
over all genes, with those that counts would have without any factors.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from neuralNMF.evidence.conditions import condition_table
from neuralNMF.evidence.matching import match_by_genes
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import Dataset, held_dataset
from neuralNMF.options import LayerOptions
from sklearn.decomposition import NMF, PCA

BATCHES, PROGRAMS, CELLS, GENES = 3, 6, 2000, 300  # the last program is the condition's
# Standard deviation of the factors' logarithms, and the concentration of the batches' compositions:
# with the second, most kinds of cells are all but missing in one batch or another.
SETTINGS = {"usual": (0.4, 1.5), "few kinds in common": (0.6, 0.7)}
SEEDS = range(10)
COSINE, CORRELATION = 0.98, 0.95


@dataclass(frozen=True)
class Truth:
    """Counts (N, M), each cell's batch and condition, programs (K, M), factors (B, M)."""

    counts: np.ndarray
    batches: np.ndarray
    stimulated: np.ndarray
    programs: np.ndarray
    factors: np.ndarray

    def dataset(self) -> Dataset:
        totals = self.counts.sum(axis=1).astype(float)
        obs = pd.DataFrame(
            {
                "dataset": "planted",
                "total_counts": totals,
                "selected_counts": totals,
                "batch": np.char.add("b", self.batches.astype(str)),
                "state": np.where(self.stimulated, "stim", "rest"),
            },
            index=[f"cell{row}" for row in range(len(totals))],
        )
        var = pd.DataFrame(index=[f"gene{column}" for column in range(self.counts.shape[1])])
        return held_dataset(sp.csr_matrix(self.counts, dtype=np.float32), obs, var, Path("planted"))


@dataclass(frozen=True)
class Found:
    """Programs (K, M), their usage (N, K), and the factors of batches (B, M) or None."""

    programs: np.ndarray
    usage: np.ndarray
    factors: np.ndarray | None = None


def drawn(seed: int, spread: float, concentration: float) -> Truth:
    rng = np.random.default_rng(seed)
    batches = rng.integers(0, BATCHES, CELLS)
    programs = rng.gamma(0.3, 1.0, (PROGRAMS, GENES))
    programs /= programs.sum(axis=1, keepdims=True)
    composition = rng.dirichlet(np.full(PROGRAMS - 1, concentration), BATCHES)
    kinds = np.array([rng.choice(PROGRAMS - 1, p=composition[batch]) for batch in batches])
    stimulated = rng.random(CELLS) < rng.uniform(0.25, 0.75, BATCHES)[batches]
    usage = rng.gamma(0.3, 0.3, (CELLS, PROGRAMS))
    usage[np.arange(CELLS), kinds] += rng.gamma(4.0, 0.5, CELLS)
    usage[:, -1] = stimulated * rng.gamma(4.0, 0.2, CELLS)
    factors = centred(np.exp(rng.normal(0, spread, (BATCHES, GENES))), batches)
    rates = usage / usage.sum(axis=1, keepdims=True) @ programs * factors[batches]
    counts = rng.poisson(rates * rng.lognormal(7.5, 0.3, CELLS)[:, None])
    return Truth(counts, batches, stimulated, programs, factors)


def centred(factors: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Factors (B, M) whose geometric mean over the cells is one."""
    logs = np.log(factors)
    return np.exp(logs - np.bincount(batches) / batches.size @ logs)


def measured(truth: Truth, found: Found) -> dict[str, float | bool]:
    """Cosines of the programs, correlation of the factors, what tells the condition."""
    match, cosines = match_by_genes(found.programs, truth.programs)
    own = int(np.flatnonzero(match == PROGRAMS - 1)[0])
    names = [f"P{number}" for number in range(1, found.usage.shape[1] + 1)]
    state = np.where(truth.stimulated, "stim", "rest")
    tested = condition_table([found.usage], [names], state)
    first = tested[tested["condition"] == "stim"].iloc[0]
    figures: dict[str, float | bool] = {
        "least_cosine": float(np.min(cosines)),
        "mean_cosine": float(np.mean(cosines)),
        "cosine_of_condition": float(cosines[own]),
        "condition_called": bool(first["called"] and first["program"] == names[own]),
    }
    if found.factors is not None:
        logs = np.log(found.factors).ravel(), np.log(truth.factors).ravel()
        figures["factors"] = float(np.corrcoef(*logs)[0, 1])
    return figures


# ---- Methods


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


METHODS: dict[str, Callable[[Truth, int], Found]] = {
    "ours": ours,
    "ours, poisson": poisson,
    "ours, no batch": without,
    "NMF": plain_nmf,
    "harmonypy + NMF": harmony,
}
NEEDS = {"harmonypy + NMF": "harmonypy"}


def planted() -> dict:
    """Figures of each method, seed by seed, and in how many seeds it comes to the bars."""
    return {name: _of_setting(*setting) for name, setting in SETTINGS.items()}


def _of_setting(spread: float, concentration: float) -> dict:
    found: dict = {}
    for name, method in METHODS.items():
        if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
            found[name] = {"left_out": f"{NEEDS[name]} is not installed"}
            continue
        rows = []
        for seed in SEEDS:
            truth = drawn(seed, spread, concentration)
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                rows.append(measured(truth, method(truth, seed)))
        found[name] = {"seeds": rows, "within_bars": sum(map(within, rows))}
    return found


def within(row: dict) -> bool:
    """Whether one seed's programs, condition and, where there are any, factors are found."""
    return bool(
        row["least_cosine"] >= COSINE
        and row["condition_called"]
        and row.get("factors", 1.0) >= CORRELATION
    )
