"""NMF of a matrix of low rank by extrapolated coordinate descent (HALS), used to try starts.

The matrix (N, M) is given as A C^T with A (N, r) and C (M, r) and never formed: the leading
singular vectors of X', or the programs of the layer before. An epoch costs (N + M) (r + k) k,
whatever the number of non-zeros (after Zhou, Cichocki & Xie 2012, IEEE Trans. Signal Process.
60(6)).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neuralNMF.solvers.descent import descend
from neuralNMF.solvers.extrapolation import Extrapolation
from neuralNMF.threads import SERIAL, Threads

_SWEEPS = 2
# An epoch counts as progress where it lowers the error by this share of itself.
_TOL, _PATIENCE = 1e-4, 10


@dataclass(frozen=True)
class LowRank:
    """The matrix rows columns^T, which is never formed.

    Parameters
    ----------
    rows : Tensor, shape (N, r)
    columns : Tensor, shape (M, r)
        Of the type of ``rows``, on the same device.
    """

    rows: Tensor
    columns: Tensor

    @property
    def square_sum(self) -> float:
        """Sum of the squares of all entries."""
        grams = [(part.T @ part).double() for part in (self.rows, self.columns)]
        return float((grams[0] * grams[1]).sum())


@dataclass
class Factors:
    """The factors of an NMF.

    Parameters
    ----------
    theta : Tensor, shape (N, k)
    programs_t : Tensor, shape (M, k)
    error : float
        ||X - theta programs_t^T||^2.
    """

    theta: Tensor
    programs_t: Tensor
    error: float = float("inf")


def hals(matrix: LowRank, start: Tensor, epochs: int, *, threads: Threads = SERIAL) -> Factors:
    """Lower ||A C^T - Theta W^T||^2 over Theta, W >= 0.

    Parameters
    ----------
    matrix : LowRank
        A C^T.
    start : Tensor, shape (N, k)
        Theta to begin with, left as it is.
    epochs : int
        The limit; ends before it where the error has settled.
    threads : Threads

    Returns
    -------
    Factors
        The best that were seen.

    Notes
    -----
    Both factors are moved in turn, each by coordinate descent (HALS; Cichocki & Phan 2009),
    extrapolated and taken back where the error would rise (Ang & Gillis 2019, Neural Computation
    31(2)).
    """
    square_sum = matrix.square_sum
    extrapolation, level = Extrapolation.linear(), float("inf")
    no_programs = matrix.columns.new_zeros((matrix.columns.shape[0], start.shape[1]))
    best = plain = Factors(start, no_programs)
    theta, programs_t = plain.theta, plain.programs_t
    lows: list[float] = []
    for epoch in range(epochs):
        cross = matrix.columns @ (matrix.rows.T @ theta)
        new = _lowered(programs_t, cross, theta.T @ theta, threads)
        # The first programs extrapolate from nothing.
        programs_t = _beyond(new, plain.programs_t if epoch else new, extrapolation.rate)
        cross = matrix.rows @ (matrix.columns.T @ programs_t)
        curvature = programs_t.T @ programs_t
        moved = _lowered(theta, cross, curvature, threads)
        error = square_sum - _gain(moved, cross, curvature)
        if error < best.error:
            best = Factors(moved, programs_t, error)
        lows.append(best.error)
        if error > level:
            theta, programs_t, level = plain.theta, plain.programs_t, float("inf")
            extrapolation.retreat()
            continue
        theta = _beyond(moved, plain.theta, extrapolation.rate)
        plain, level = Factors(moved, new), error
        extrapolation.grow()
        if epoch >= _PATIENCE and lows[-1 - _PATIENCE] - lows[-1] <= _TOL * lows[-1]:
            break
    return best


def _lowered(factor: Tensor, cross: Tensor, curvature: Tensor, threads: Threads) -> Tensor:
    new = factor.clone()
    descend(new, -cross, curvature.double().cpu(), _SWEEPS, threads)
    return new


def _beyond(new: Tensor, old: Tensor, momentum: float) -> Tensor:
    return torch.lerp(old, new, 1 + momentum).clamp_min_(0)


def _gain(theta: Tensor, cross: Tensor, curvature: Tensor) -> float:
    """2 <Theta, cross> - <Theta^T Theta, curvature>: what the factors take off the squares."""
    return float((2 * (theta * cross).sum() - ((theta.T @ theta) * curvature).sum()).double())
