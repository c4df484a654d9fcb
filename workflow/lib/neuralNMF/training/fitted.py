"""The result of training that every kind of model hands over, before it becomes a `Model`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from neuralNMF.training.loop import Training


class Classifies(Protocol):
    """A guide of a fit, as its end sees it: `poisson.guide.Guide` is one."""

    layer: int

    def classifier_of(self, usage: np.ndarray) -> dict[str, Any]:
        """The classifier of the usage (N, k) of its layer, in plain types."""


@dataclass
class Fitted:
    """The factors of all layers so far, before they are brought into canonical form.

    Parameters
    ----------
    thetas : list of Tensor
        Theta_1 (N, k_1), then Theta_l (k_{l-1}, k_l), l = 2 ... L.
    programs_t : list of Tensor
        beta_l transposed (M, k_l), l = 1 ... L.
    started, trained : Training
        Records of the start (None where there was none) and of the training.
    joint : bool
        Whether the earlier layers were trained too; otherwise they were held.
    cell_scale, gene_scale : ndarray, shapes (N,) and (M,)
        The fit was to X' = diag(cell_scale) X diag(gene_scale).
    deviations : list of Tensor
        Posterior standard deviations, shaped as ``programs_t``; empty where a model has none.
    guide : Classifies or None
        What predicts the cells' labels; None where the fit was not guided by any.
    figures : dict
        Numbers for ``info``, in plain types.
    """

    thetas: list[Tensor]
    programs_t: list[Tensor]
    started: Training | None
    trained: Training
    joint: bool
    cell_scale: np.ndarray
    gene_scale: np.ndarray
    deviations: list[Tensor] = field(default_factory=list)
    guide: Classifies | None = None
    figures: dict[str, Any] = field(default_factory=dict)
