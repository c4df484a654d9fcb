"""Planted counts of several batches, and what a method finds in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from neuralNMF.io.dataset import Dataset, held_dataset

BATCHES, PROGRAMS, CELLS, GENES = 3, 6, 2000, 300  # the last program is the condition's


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
