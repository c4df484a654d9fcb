"""A start from the labels: programs at the labelled classes' mean profiles, the others beside them.

A classifier can be satisfied by moving the labelled cells' usage alone, with the programs, and so
all other cells, left where they are. What decides for the unlabelled cells is which programs the
fit settles on, and that is decided by where it starts (docs/poisson.md has the figures).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts
from neuralNMF.cells.stream import CountsSample
from neuralNMF.errors import InputError
from neuralNMF.poisson.em import kl_nmf
from neuralNMF.poisson.labels import UNLABELLED
from neuralNMF.poisson.merging import merge_rows
from neuralNMF.poisson.one_factor import usage_given
from neuralNMF.poisson.singular_starts import singular_starts

# A program that is not of a labelled cell's class begins with this share of what it would have.
_OTHERS = 0.05
# Share of the start that all programs have alike: an entry of zero would stay zero.
_EVEN = 0.2
# Share of a class' program that is the mean profile, so that no gene is at zero.
_MEAN = 0.1
_SHARED_PASSES, _USAGE_PASSES = 6, 10
_TINY = 1e-30


def class_totals(counts: Counts, codes: np.ndarray) -> Tensor:
    """Counts of each gene in each class, the unlabelled last: (M, classes + 1) float64.

    Shape: codes (N,) int64 with ``UNLABELLED``. One pass. Raises InputError where there is not a
    code for each cell, or no cell has a label.
    """
    codes = torch.as_tensor(np.asarray(codes, dtype=np.int64))
    if tuple(codes.shape) != (counts.shape[0],):
        raise InputError(f"{codes.numel()} labels were given for {counts.shape[0]} cells.")
    classes = int(codes.max()) + 1
    if classes < 1:
        raise InputError("No cell is labelled; a start from labels needs some.")
    place = torch.where(codes == UNLABELLED, classes, codes)
    ones = torch.ones((counts.shape[1], classes + 1), dtype=torch.float64)
    theta = torch.zeros((counts.shape[0], classes + 1), dtype=counts.dtype)
    theta.scatter_(1, place[:, None], 1.0)
    # With one-hot usage and programs_t of one, rates are s_i: the derivative by them is X^T H.
    return counts.rates(theta.to(counts.device), ones, columns=True).columns


def guided_start(
    sample: CountsSample, totals: Tensor, codes: np.ndarray, rank: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(theta (n, rank), programs_t (M, rank)) of a sample of n cells, one of ``kl_nmf``'s starts.

    Program c begins at the mean profile of class c; with fewer programs than classes, classes that
    are alike share one. The programs that are left over begin at those of an NMF of their number.
    Shape: totals as `class_totals` returns them, of all cells; codes (n,) of the sample.
    """
    counts = sample.counts
    # A class' program, in the order of the classes' codes.
    own = torch.arange(totals.shape[1] - 1)
    if own.numel() > rank:
        own = merge_rows(totals[:, :-1].T, rank)
    programs_t = _class_programs(totals, own)
    spare = rank - programs_t.shape[1]
    if spare > 0:
        starts = singular_starts(counts, sample.products, spare, generator, 1)
        others = kl_nmf(counts, spare, generator=generator, starts=starts, passes=_SHARED_PASSES)
        programs_t = torch.cat([programs_t, others.programs_t], 1)
    theta = usage_given(counts, programs_t, passes=_USAGE_PASSES)
    size = theta.sum(1, keepdim=True)
    theta = (1 - _EVEN) * theta + _EVEN / rank * size
    theta *= _leaning(own, torch.as_tensor(codes), rank).to(theta)
    return theta.mul_(size / theta.sum(1, keepdim=True).clamp(min=_TINY)), programs_t


def _class_programs(totals: Tensor, own: Tensor) -> Tensor:
    """Mean profile (M, programs) of the classes that begin with a program, columns at sum one."""
    mean = totals.sum(1, keepdim=True) / totals.sum().clamp(min=_TINY)
    profiles = totals[:, :-1] @ torch.nn.functional.one_hot(own).double()
    profiles = (1 - _MEAN) * profiles / profiles.sum(0).clamp(min=_TINY) + _MEAN * mean
    return profiles / profiles.sum(0)


def _leaning(own: Tensor, codes: Tensor, rank: int) -> Tensor:
    """Factors (n, rank) of the usage: labelled cells keep to their class' program and the spare."""
    programs = torch.arange(rank)
    foreign = (programs <= own.max()) & (programs != own[codes.clamp(min=0)][:, None])
    foreign &= (codes != UNLABELLED)[:, None]
    return torch.where(foreign, _OTHERS, 1.0)
