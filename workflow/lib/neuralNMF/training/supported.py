"""Which programs enough cells carry; the others are given up.

Programs of a few cells each follow the noise of these cells: they are not found again in other
cells of the same kind, and they take the place of programs that are (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from neuralNMF.evidence.support import support


def supported(thetas: Sequence[Tensor], masses: Sequence[Tensor], least: float) -> list[Tensor]:
    """The programs of each layer that at least so many cells carry.

    Parameters
    ----------
    thetas : sequence of Tensor
        Theta_1 (N, k_1) on any device; Theta_l (k_{l-1}, k_l), l = 2 ... L, on the host.
    masses : sequence of Tensor, (k_l,) each
        Sum of every program over the genes, on the host.
    least : float
        Cells, see `evidence.support.support`; 0 keeps all.

    Returns
    -------
    list of Tensor of int64, (kept programs,) each
        Rising indices: those with enough support, at least one a layer. Where fewer are left than
        the next layer has, the next layer keeps one less than they are, those of most support.
    """
    if least <= 0:
        return [torch.arange(theta.shape[1]) for theta in thetas]
    cells, *later = (theta.detach().cpu().numpy() for theta in thetas)
    kept: list[Tensor] = []
    chain = np.eye(cells.shape[1])
    for layer, mass in enumerate(masses):
        if layer > 0:
            chain = chain @ later[layer - 1]
        found = support(cells, chain * mass.detach().numpy())
        most = found.size if layer == 0 else max(1, min(found.size, kept[-1].numel() - 1))
        best = np.argsort(-found, kind="stable")[:most]
        enough = best[found[best] >= least]
        kept.append(torch.from_numpy(np.sort(enough if enough.size else best[:1])))
    return kept


def given_up(thetas: Sequence[Tensor], kept: Sequence[Tensor]) -> int:
    """How many programs are not among those that are kept."""
    return sum(theta.shape[1] - part.numel() for theta, part in zip(thetas, kept, strict=True))


def without(thetas: Sequence[Tensor], kept: Sequence[Tensor]) -> list[Tensor]:
    """The Thetas of the programs that are kept; new arrays."""
    first, *others = thetas
    result = [first.detach()[:, kept[0].to(first.device)].contiguous()]
    for theta, rows, columns in zip(others, kept, kept[1:], strict=False):
        result.append(theta.detach()[rows][:, columns].contiguous())
    return result
