"""What every kind of model hands over once a layer has been trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from neuralNMF.training.loop import Training


@dataclass
class Fitted:
    """The factors of all layers so far, before they are brought into canonical form.

    Shape: thetas[0] (N, k_1), thetas[l] (k_l, k_{l+1}); programs_t[l], deviations[l] (M, k_{l+1}):
    beta transposed and, where the model has one, its posterior standard deviation.
    started, trained: records of the start (None where there was none) and of the joint training.
    cell_scale (N,), gene_scale (M,): X' = diag(cell_scale) X diag(gene_scale) is what was fitted.
    cells: columns for ``obs``; figures: for ``info``, in plain types.
    """

    thetas: list[Tensor]
    programs_t: list[Tensor]
    started: Training | None
    trained: Training
    cell_scale: np.ndarray
    gene_scale: np.ndarray
    deviations: list[Tensor] = field(default_factory=list)
    cells: dict[str, np.ndarray] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
