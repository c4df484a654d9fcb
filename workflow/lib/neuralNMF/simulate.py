"""Counts with known programs: the Poisson-Gamma model of the original project."""

from dataclasses import dataclass

import numpy as np

from neuralNMF.errors import InputError

__all__ = ["MODES", "Simulation", "generate_data", "simulate"]

MODES = ("block", "gamma")


@dataclass(frozen=True)
class Simulation:
    """Counts and the truth behind them.

    Attributes
    ----------
    counts : ndarray of int32, (N, M)
        Of N cells and M genes.
    theta : ndarray of float64, (N, K)
        True usage of the programs.
    beta : ndarray of float64, (K, M)
        True programs.
    parameters : dict
        What was asked for, plain JSON types.
    """

    counts: np.ndarray
    theta: np.ndarray
    beta: np.ndarray
    parameters: dict[str, int | str | bool]


def simulate(
    cells: int,
    genes: int,
    programs: int,
    mode: str = "block",
    *,
    rng: np.random.Generator,
    block_loadings: bool = False,
) -> Simulation:
    """Draw counts ~ Poisson(theta beta) from Gamma usage and programs.

    Parameters
    ----------
    cells, genes, programs : int
        N, M and K.
    mode : {"block", "gamma"}
        ``block``: theta ~ Gamma(shape 1, scale 1); beta ~ Gamma(2, 1), and program k has Gamma(6,
        scale 4) in its own block of genes (K need not divide M: the blocks' sizes differ by one
        gene at most). ``gamma``: theta and beta ~ Gamma(0.5, scale 0.1).
    rng : numpy.random.Generator
        Draws everything.
    block_loadings : bool
        In mode block: each block of cells, too, has Gamma(3, scale 2) on its own program. The
        original meant to do this, an indexing slip kept it out, so it is off.

    Returns
    -------
    Simulation
        Counts, usage and programs.

    Raises
    ------
    InputError
        A size is not a positive whole number, the mode is unknown, or K exceeds M (or N with
        `block_loadings`) in mode block, so that a program would have no block.
    """
    for name, value in (("cells", cells), ("genes", genes), ("programs", programs)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise InputError(f"'{name}' of the simulation is {value!r}: give a whole number >= 1.")
    if mode not in MODES:
        raise InputError(f"'mode' of the simulation is {mode!r}: give one of {', '.join(MODES)}.")
    if mode == "block":
        if programs > genes or (block_loadings and programs > cells):
            raise InputError(
                f"{programs} programs do not fit in blocks of {genes} genes and {cells} cells: "
                "ask for fewer programs or mode 'gamma'."
            )
        theta = rng.gamma(1.0, 1.0, size=(cells, programs))
        beta = rng.gamma(2.0, 1.0, size=(programs, genes))
        for k, block in enumerate(np.array_split(np.arange(genes), programs)):
            beta[k, block] = rng.gamma(6.0, 4.0, size=block.size)
        if block_loadings:
            for k, block in enumerate(np.array_split(np.arange(cells), programs)):
                theta[block, k] = rng.gamma(3.0, 2.0, size=block.size)
    else:
        theta = rng.gamma(0.5, 0.1, size=(cells, programs))
        beta = rng.gamma(0.5, 0.1, size=(programs, genes))
    parameters: dict[str, int | str | bool] = {
        "cells": int(cells),
        "genes": int(genes),
        "programs": int(programs),
        "mode": mode,
        "block_loadings": bool(block_loadings),
    }
    counts = rng.poisson(theta @ beta).astype(np.int32)
    return Simulation(counts, theta, beta, parameters)


def generate_data(
    N: int, K: int, M: int, mode: str = "block", seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw counts as the original project did; see `simulate`.

    Parameters
    ----------
    N, K, M : int
        Cells, programs and genes.
    mode : str
        As in the original, any mode other than ``block`` is the plain Gamma mode.
    seed : int
        Of the generator.

    Returns
    -------
    theta : ndarray, (N, K)
        True usage.
    programs_t : ndarray, (M, K)
        True programs, one a column.
    counts : ndarray of int, (N, M)
        Drawn counts.
    """
    kind = "block" if mode == "block" else "gamma"
    drawn = simulate(N, M, K, kind, rng=np.random.default_rng(seed))
    return drawn.theta, drawn.beta.T, drawn.counts
