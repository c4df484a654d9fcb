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

import numpy as np
from neuralNMF.evidence.conditions import condition_table
from neuralNMF.evidence.matching import match_by_genes

from benchmarks.batch.methods import METHODS, NEEDS
from benchmarks.batch.truth import PROGRAMS, Found, Truth, drawn

# Standard deviation of the factors' logarithms, and the concentration of the batches' compositions:
# with the second, most kinds of cells are all but missing in one batch or another.
SETTINGS = {"usual": (0.4, 1.5), "few kinds in common": (0.6, 0.7)}
SEEDS = range(10)
COSINE, CORRELATION = 0.98, 0.95


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
