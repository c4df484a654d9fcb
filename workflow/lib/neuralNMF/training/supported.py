"""Training without programs that too few cells carry.

Programs of a few cells each follow the noise of these cells: they are not found again in other
cells of the same kind, and they take the place of programs that are (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from neuralNMF.evidence.support import layer_supports
from neuralNMF.team import Team
from neuralNMF.training.context import FitContext
from neuralNMF.training.loop import Training, joined
from neuralNMF.training.stage import Stage, Start

Trained = TypeVar("Trained")
# Of few cells, no more are asked for than this share of them.
_SHARE = 1 / 30
# A program with so many times the support that is asked for does not lose all but this share of it
# by noise.
_WELL_CARRIED, _LEFT = 3.0, 0.1


@dataclass
class Round(Generic[Trained]):
    """The result of one training of all layers.

    Parameters
    ----------
    result
        What else the caller needs of it: the network as it was left, or its last evaluation.
    thetas : list of Tensor
        Theta_1 (N, k_1) on any device, then Theta_l (k_{l-1}, k_l), l = 2 ... L, on the host.
    programs_t : list of Tensor
        beta_l transposed (M, k_l), on the host.
    record : Training
    team : Team
        The processes that hold the cells.
    """

    result: Trained
    thetas: list[Tensor]
    programs_t: list[Tensor]
    record: Training
    team: Team

    def supports(self) -> list[np.ndarray]:
        """The support of every program, (k_l,) each: see `evidence.support.support`."""
        masses = [program_t.sum(0).numpy() for program_t in self.programs_t]
        return layer_supports([theta.cpu().numpy() for theta in self.thetas], masses, self.team)

    def without(self, kept: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The Thetas and the programs of those that are kept; new arrays."""
        first, *others = self.thetas
        thetas = [first[:, kept[0].to(first.device)].contiguous()]
        for theta, rows, columns in zip(others, kept, kept[1:], strict=False):
            thetas.append(theta[rows][:, columns].contiguous())
        return thetas, [part[:, rows] for part, rows in zip(self.programs_t, kept, strict=True)]


def support_needed(min_support: float, cells: int) -> float:
    """The support that a program needs: that of the options, or a thirtieth of few cells."""
    return min(min_support, _SHARE * cells)


def supported(supports: Sequence[np.ndarray], least: float) -> list[Tensor]:
    """The programs of each layer that at least so many cells carry.

    Parameters
    ----------
    supports : sequence of ndarray, (k_l,) each
    least : float
        Cells; 0 keeps all.

    Returns
    -------
    list of Tensor of int64, (kept programs,) each
        Rising indices, at least one a layer. Where no more are left than the next layer has, the
        next layer keeps one less, those of most support.
    """
    if least <= 0:
        return [torch.arange(found.size) for found in supports]
    kept: list[Tensor] = []
    for layer, found in enumerate(supports):
        most = found.size if layer == 0 else max(1, min(found.size, kept[-1].numel() - 1))
        best = np.argsort(-found, kind="stable")[:most]
        enough = best[found[best] >= least]
        kept.append(torch.from_numpy(np.sort(enough if enough.size else best[:1])))
    return kept


def train_supported(
    run: Callable[[list[Tensor], list[Tensor], bool, int, bool], Round[Trained]],
    start: Callable[[], Start],
    context: FitContext,
) -> tuple[Round[Trained], Training | None, Training, bool]:
    """Train, give up the programs that too few cells carry, and train on without them.

    A few cells far from all others draw a program to themselves. Once it is given up they may draw
    the next one, which many cells carried, and so on to the last. Training that costs a program
    such a support is taken back: of an earlier layer, the earlier layers are held while the new one
    is trained; of the new layer, it is left as it was when the others were given up.

    Parameters
    ----------
    run : callable
        Of (thetas, programs_t, joint, epochs, lost): trains all layers from these factors for so
        many epochs, or without ``joint`` the last layer alone; ``lost``: programs that these
        factors had have been given up.
    start : callable
        Finds what to start from.
    context : FitContext
        Where an interrupted fit stood, this one goes on.

    Returns
    -------
    trained : Round
        Whose programs all have support.
    started : Training or None
        Record of the start.
    record : Training
        Of all that led there.
    joint : bool
        Whether the earlier layers were trained too.
    """
    options, before = context.options, context.supports()
    stage = context.begun(start)
    least = support_needed(options.min_support, context.dataset.all_cells)
    while True:
        context.enter(stage)
        records, joint, given = stage.records, stage.joint, stage.start
        epochs = max(0, options.epochs - sum(record.epochs for record in records))
        trained = run(given.thetas, given.programs_t, joint, epochs, bool(records))
        found = trained.supports()
        if _drawn_away(stage.supports, found, least):
            if joint and before and not records:
                stage = replace(stage, joint=False, number=stage.number + 1)
                continue
            del trained
            trained = run(given.thetas, given.programs_t, joint, 0, True)
            found = trained.supports()
        records = [*records, trained.record]
        kept = supported(found, least)
        if all(rows.numel() == part.size for rows, part in zip(kept, found, strict=True)):
            return trained, given.record, joined(records), joint
        thetas, programs_t = trained.without(kept)
        supports = [part[rows.numpy()] for rows, part in zip(kept, found, strict=True)]
        stage = Stage(
            Start(thetas, programs_t, given.record), joint, supports, stage.number + 1, records
        )
        del trained, given  # their memory is needed for the next one


def _drawn_away(before: Sequence[np.ndarray], now: Sequence[np.ndarray], least: float) -> bool:
    """Whether a program that many cells carried has too little support now."""
    return any(
        bool(((old >= _WELL_CARRIED * least) & (new < np.minimum(least, _LEFT * old))).any())
        for old, new in zip(before, now, strict=True)
    )
