"""A start from the labels: programs drawn around the labelled classes' mean profiles.

Each cell's row of Theta is free, so a classifier can be satisfied by moving the labelled cells'
usage alone, with the programs, and so all other cells, left where they are. What decides for the
unlabelled cells is which programs the fit settles on, and that is decided by where it starts
(docs/poisson.md has the figures).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuralNMF.errors import InputError
from neuralNMF.poisson.counts import Counts
from neuralNMF.poisson.labels import UNLABELLED

# Share of a labelled cell's usage that goes to its class' programs at the start, and the noise that
# tells programs of one class apart.
_OWN = 0.8
_NOISE = 0.3


def guided_start(
    counts: Counts, codes: np.ndarray, rank: int, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(theta (N, rank), loadings (M, rank)) for ``kl_nmf(start=...)``.

    Program q begins at the mean profile of class q modulo the number of classes; a rank below that
    number merges classes. ``codes`` (N,) int64 with ``UNLABELLED``: those cells begin with all
    programs alike.
    """
    codes = torch.as_tensor(np.asarray(codes, dtype=np.int64))
    if tuple(codes.shape) != (counts.shape[0],):
        raise InputError(f"{codes.numel()} labels were given for {counts.shape[0]} cells.")
    classes = int(codes.max()) + 1
    if classes < 1:
        raise InputError("No cell is labelled; a start from labels needs some.")
    profiles = _class_totals(counts, codes, classes)
    # A little of the mean profile, so that no gene is at zero, which no update would leave.
    mean = profiles.sum(1, keepdim=True) / profiles.sum().clamp(min=1.0)
    own = profiles[:, :classes]
    own = 0.9 * own / own.sum(0).clamp(min=1.0) + 0.1 * mean
    program_class = torch.arange(rank) % classes
    loadings = own[:, program_class] * _noise((counts.shape[1], rank), generator)
    loadings /= loadings.sum(0)
    usage = torch.full((counts.shape[0], rank), 1.0 / rank, dtype=torch.float64)
    # With fewer programs than classes, class c begins with program c modulo the rank.
    belongs = program_class[None, :] == (codes % min(rank, classes))[:, None]
    belongs &= (codes != UNLABELLED)[:, None]
    labelled = belongs.any(1)
    share = belongs.double() / belongs.sum(1, keepdim=True).clamp(min=1)
    usage[labelled] = (1 - _OWN) / rank + _OWN * share[labelled]
    usage *= _noise(tuple(usage.shape), generator)
    usage *= (counts.totals / counts.scale.clamp(min=1e-30) / usage.sum(1))[:, None]
    return usage.to(device=counts.device, dtype=counts.dtype), loadings


def _class_totals(counts: Counts, codes: Tensor, classes: int) -> Tensor:
    """Counts of each gene in each class, the unlabelled last: (M, classes + 1).

    With one-hot usage and loadings of one, rates are s_i: the derivative by the loadings is X^T H.
    """
    place = torch.where(codes == UNLABELLED, classes, codes)
    one_hot = torch.nn.functional.one_hot(place, classes + 1)
    ones = torch.ones((counts.shape[1], classes + 1), dtype=torch.float64)
    theta = one_hot.to(device=counts.device, dtype=counts.dtype)
    return counts.rates(theta, ones, columns=True).columns


def _noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    draw = torch.rand(shape, generator=generator, dtype=torch.float64)
    return 1 + _NOISE * (2 * draw - 1)
