"""Which programs enough cells carry; the others are given up.

Programs of a few cells each follow the noise of these cells: they are not found again in other
cells of the same kind, and they take the place of programs that are (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from neuralNMF.evidence.support import support
from neuralNMF.options import LayerOptions
from neuralNMF.training.loop import Training, joined

Trained = TypeVar("Trained")


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


def without(thetas: Sequence[Tensor], kept: Sequence[Tensor]) -> list[Tensor]:
    """The Thetas of the programs that are kept; new arrays."""
    first, *others = thetas
    result = [first.detach()[:, kept[0].to(first.device)].contiguous()]
    for theta, rows, columns in zip(others, kept, kept[1:], strict=False):
        result.append(theta.detach()[rows][:, columns].contiguous())
    return result


@dataclass
class Round(Generic[Trained]):
    """The result of one training of all layers.

    Parameters
    ----------
    result
        What else the caller needs of it: the network as it was left, or its last evaluation.
    thetas : list of Tensor
        Theta_1 (N, k_1), then Theta_l (k_{l-1}, k_l).
    programs_t : list of Tensor
        beta_l transposed (M, k_l), on the host.
    record : Training
    """

    result: Trained
    thetas: list[Tensor]
    programs_t: list[Tensor]
    record: Training

    def kept(self, least: float) -> list[Tensor]:
        """See `supported`."""
        masses = [program_t.sum(0) for program_t in self.programs_t]
        return supported(self.thetas, masses, least)

    def lost(self, kept: Sequence[Tensor]) -> list[int]:
        """How many programs of each layer are not kept."""
        return [
            theta.shape[1] - part.numel() for theta, part in zip(self.thetas, kept, strict=True)
        ]

    def without(self, kept: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The Thetas and the programs of those that are kept; new arrays."""
        programs_t = [part[:, rows] for part, rows in zip(self.programs_t, kept, strict=True)]
        return without(self.thetas, kept), programs_t


def train_supported(
    run: Callable[[list[Tensor], list[Tensor], bool, int], Round[Trained]],
    thetas: list[Tensor],
    programs_t: list[Tensor],
    options: LayerOptions,
) -> tuple[Round[Trained], Training]:
    """Train, give up the programs that too few cells carry, and train on without them.

    A few cells far from all others draw a program to themselves. Once it is given up they may draw
    the next one, which others carried. So training that costs programs their support is taken
    back: of the new layer, they are left as they were when the others were given up; of the
    earlier layers, these are held while the new layer is trained.

    Parameters
    ----------
    run : callable
        Of (thetas, programs_t, joint, done): trains all layers from these factors, or without
        ``joint`` the last layer alone; ``done`` of the epochs have been run.
    thetas, programs_t : list of Tensor
        To start from; every program of the earlier layers has support.
    options : LayerOptions

    Returns
    -------
    trained : Round
        Whose programs all have support.
    record : Training
        Of all that led there.
    """
    least, joint = options.min_support, options.joint
    trained = run(thetas, programs_t, joint, 0)
    done = trained.record.epochs
    kept = trained.kept(least)
    if joint and any(trained.lost(kept)[:-1]):
        joint = False
        trained = run(thetas, programs_t, joint, 0)
        done = trained.record.epochs
        kept = trained.kept(least)
    if not any(trained.lost(kept)):
        return trained, trained.record
    first = trained.record
    thetas, programs_t = trained.without(kept)
    del trained  # its memory is needed for the next one
    trained = run(thetas, programs_t, joint, done)
    if any(trained.lost(trained.kept(least))):
        trained = run(thetas, programs_t, joint, options.epochs)
        # The programs that are left are solved anew, which may cost one at the limit its support.
        while any(trained.lost(kept := trained.kept(least))):
            trained = run(*trained.without(kept), joint, options.epochs)
    return trained, joined([first, trained.record])
