"""Guided by labels: a linear classifier on the cells' usage of one layer, trained with the network.

Semi-supervised NMF with a classification loss on the labelled cells (NeuralNMF: Will et al. 2023,
arXiv 2303.00058, section 3.3; there by least squares, here by cross-entropy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from neuralNMF.errors import InputError

UNLABELLED = -1


@dataclass(frozen=True)
class Labels:
    """codes (N,) int64, ``UNLABELLED`` where there is none; classes: their names, sorted."""

    codes: np.ndarray
    classes: list[str]


def encode_labels(values: Sequence[object]) -> Labels:
    """Codes of the labels; None, NaN, missing categories and empty text are no label.

    Raises ``InputError`` where fewer than two classes are left.
    """
    named = [_name(value) for value in values]
    classes = sorted({name for name in named if name})
    if len(classes) < 2:
        raise InputError(
            f"Labels need at least two classes; the column has {len(classes)} "
            f"({', '.join(classes) or 'all cells unlabelled'})."
        )
    code = {name: number for number, name in enumerate(classes)} | {"": UNLABELLED}
    return Labels(np.array([code[name] for name in named], dtype=np.int64), classes)


def _name(value: object) -> str:
    # Only missing values differ from themselves; pandas.NA answers the comparison with itself.
    if value is None or type(value).__name__ == "NAType" or value != value:
        return ""
    return str(value).strip()


def relative_usage(usage: Tensor) -> Tensor:
    """Usage with the rows scaled to mean one; a cell that uses no program stays zero.

    Shape: usage (N, k), non-negative; returns (N, k).
    """
    total = usage.sum(1, keepdim=True)
    return usage * (usage.shape[1] / total.clamp(min=torch.finfo(usage.dtype).tiny))


class LabelHead(nn.Module):
    """Softmax classifier: P(class | cell) = softmax(relative_usage(U) A + b).

    Shape: A (k, classes), b (classes,), both zero at first, so that a fit is the same every time.
    ``ridge``: penalty ridge / 2 ||A||^2 on the mean cross-entropy, which keeps A finite where the
    labelled cells can be told apart without error.
    """

    def __init__(
        self,
        rank: int,
        classes: int,
        *,
        ridge: float = 1e-3,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.ridge = ridge
        self.weight = nn.Parameter(torch.zeros((rank, classes), device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(classes, device=device, dtype=dtype))

    def extra_repr(self) -> str:
        """Sizes, for the printed module."""
        return f"rank={self.weight.shape[0]}, classes={self.weight.shape[1]}, ridge={self.ridge}"

    def forward(self, usage: Tensor) -> Tensor:
        """Logits (n, classes) of usage (n, k)."""
        return torch.addmm(self.bias, relative_usage(usage), self.weight)

    def loss(self, usage: Tensor, codes: Tensor) -> Tensor:
        """Mean cross-entropy (nats) of the labelled cells plus the ridge; differentiable by usage.

        Shape: usage (N, k), codes (N,) int64 with ``UNLABELLED``; a scalar, zero gradient for the
        cells without a label.
        """
        labelled = codes != UNLABELLED
        penalty = 0.5 * self.ridge * self.weight.square().sum()
        return penalty + nn.functional.cross_entropy(self(usage[labelled]), codes[labelled])

    def fit(self, usage: Tensor, codes: Tensor, *, iterations: int = 100) -> float:
        """The best classifier for a given usage (convex, L-BFGS); returns its loss.

        Joint training can alternate this with steps of the network, or train all together.
        """
        labelled = codes != UNLABELLED
        usage, codes = usage.detach()[labelled], codes[labelled]
        solver = torch.optim.LBFGS(
            self.parameters(),
            max_iter=iterations,
            tolerance_grad=1e-6,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            solver.zero_grad()
            value = self.loss(usage, codes)
            value.backward()
            return value

        solver.step(closure)
        self.zero_grad()
        with torch.no_grad():
            return float(self.loss(usage, codes))

    @torch.no_grad()
    def predict_proba(self, usage: Tensor) -> Tensor:
        """Probabilities (N, classes), rows sum to one, in the order of ``Labels.classes``."""
        return torch.softmax(self(usage), 1)
