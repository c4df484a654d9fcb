"""Labels in the loss: a classifier on the cells' usage of one layer, trained with the network.

Semi-supervised NMF with a classification loss on the labelled cells (NeuralNMF: Will et al. 2023,
arXiv 2303.00058, section 3.3; there by least squares, here by cross-entropy).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuralNMF.poisson.labels import UNLABELLED, Labels

# Steps of L-BFGS from the classifier of the evaluation before, and for the predictions.
_WARM_STEPS, _LAST_STEPS = 10, 200


class Guide:
    """Cross-entropy of the labelled cells: a penalty on Theta, and predictions for all cells.

    At weight 1 the loss is that of the counts and of the labels, given the usage: minus their
    log-likelihood, with a standard normal prior on the classifier. The classifier is solved for, as
    beta is: the penalty is that of the best classifier of the usage U_layer = Theta_1 ...
    Theta_layer, so that its gradient by Theta needs none by the classifier.

    Parameters
    ----------
    labels : Labels
        Of the N cells.
    layer : int
        Whose usage the classifier sees, counted from one.
    weight : float
        Of the sum of the cells' cross-entropies, in nats.

    Attributes
    ----------
    gradients : list of Tensor
        Those of the last penalty by Theta_1 ... Theta_layer; zero for a Theta that is held.
    """

    def __init__(self, labels: Labels, layer: int, weight: float) -> None:
        self.labels, self.layer, self.weight = labels, layer, weight
        self.gradients: list[Tensor] = []
        codes = torch.from_numpy(labels.codes)
        self._labelled = (codes != UNLABELLED).nonzero()[:, 0]
        self._codes = codes[self._labelled]
        self._classifier: LabelClassifier | None = None

    def penalty(self, thetas: Sequence[Tensor]) -> Tensor:
        """The penalty, from fitting the classifier on for a few steps; sets ``gradients``.

        Parameters
        ----------
        thetas : sequence of Tensor
            Theta_1 (N, k_1), Theta_l (k_{l-1}, k_l), at least the first ``layer`` of them.

        Returns
        -------
        Tensor
            float64 scalar on the host, differentiable by the first ``layer`` Thetas.
        """
        used = list(thetas[: self.layer])
        usage = used[0][self._labelled.to(used[0].device)]
        for theta in used[1:]:
            usage = usage @ theta.to(usage)
        classifier, codes = self._fitted(usage, _WARM_STEPS)
        size = self.weight * self._labelled.numel()
        # The ridge is part of the loss that the classifier is fitted to.
        value = size * classifier.loss(usage, codes).double().cpu()
        trained = [theta for theta in used if theta.requires_grad]
        if trained and torch.is_grad_enabled():
            of_trained = iter(torch.autograd.grad(value, trained, retain_graph=True))
            self.gradients = [
                next(of_trained) if theta.requires_grad else torch.zeros_like(theta)
                for theta in used
            ]
        return value

    def memory(self) -> dict[str, Tensor]:
        """The classifier that the next penalty begins from; nothing before the first."""
        if self._classifier is None:
            return {}
        return {name: value.clone() for name, value in self._classifier.state_dict().items()}

    def recall(self, memory: dict[str, np.ndarray], usage: Tensor) -> None:
        """Begin the next penalty from what `memory` gave, as for usage (n, k) like this."""
        self._classifier = None
        if memory:
            rank, classes = memory["weight"].shape
            self._classifier = self._new(rank, classes, usage)
            self._classifier.load_state_dict(
                {name: torch.from_numpy(value) for name, value in memory.items()}
            )

    def classifier_of(self, usage: np.ndarray) -> dict[str, Any]:
        """The classifier that predicts from now on, in plain types.

        It is fitted anew to the labelled cells' rows: the usage is to be one that the labels did
        not move, or the other cells' rows would not compare.

        Parameters
        ----------
        usage : ndarray, shape (N, k_layer)

        Returns
        -------
        dict
            ``layer``, ``classes``, ``weight`` (k_layer, classes) and ``bias`` (classes,).
        """
        self._classifier = None
        labelled = torch.from_numpy(usage[self._labelled.numpy()].astype(np.float64))
        classifier, _ = self._fitted(labelled, _LAST_STEPS)
        return {
            "layer": self.layer,
            "classes": list(self.labels.classes),
            "weight": classifier.weight.tolist(),
            "bias": classifier.bias.tolist(),
        }

    def _fitted(self, usage: Tensor, steps: int) -> tuple[LabelClassifier, Tensor]:
        """The classifier of the labelled cells' usage, and their codes on its device."""
        codes = self._codes.to(usage.device)
        if self._classifier is None:
            self._classifier = self._new(usage.shape[1], len(self.labels.classes), usage)
        with torch.enable_grad():
            self._classifier.requires_grad_(True)
            self._classifier.fit(usage, codes, steps=steps)
        self._classifier.requires_grad_(False)
        return self._classifier, codes

    def _new(self, rank: int, classes: int, usage: Tensor) -> LabelClassifier:
        ridge = 1.0 / self._labelled.numel()
        return LabelClassifier(rank, classes, ridge=ridge, device=usage.device, dtype=usage.dtype)


class LabelClassifier(nn.Module):
    """Softmax classifier: P(class | cell) = softmax(relative_usage(U) A + b).

    All zero at first, so that a fit is the same every time.

    Parameters
    ----------
    rank, classes : int
        A has shape (k, classes), b (classes,).
    ridge : float
        Penalty ridge / 2 ||A||^2 on the mean cross-entropy, which keeps A finite where the labelled
        cells can be told apart without error.
    device, dtype
        Those of the usage.
    """

    def __init__(
        self,
        rank: int,
        classes: int,
        *,
        ridge: float,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.ridge = ridge
        self.weight = nn.Parameter(torch.zeros((rank, classes), device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(classes, device=device, dtype=dtype))

    def forward(self, usage: Tensor) -> Tensor:
        """Logits (n, classes) of usage (n, k)."""
        return torch.addmm(self.bias, relative_usage(usage), self.weight)

    def loss(self, usage: Tensor, codes: Tensor) -> Tensor:
        """Mean cross-entropy (nats) plus the ridge, a scalar differentiable by usage.

        Shape: usage (n, k), codes (n,) int64, of labelled cells only.
        """
        penalty = 0.5 * self.ridge * self.weight.square().sum()
        return penalty + nn.functional.cross_entropy(self(usage), codes)

    def fit(self, usage: Tensor, codes: Tensor, *, steps: int) -> None:
        """On from where it stands towards the best classifier (convex), by L-BFGS.

        Shape: as for `loss`. ``steps``: at most so many.
        """
        usage = usage.detach()
        solver = torch.optim.LBFGS(
            self.parameters(),
            max_iter=steps,
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

    @torch.no_grad()
    def probabilities(self, usage: Tensor) -> Tensor:
        """Of each class (n, classes), rows at sum one, for usage (n, k)."""
        return torch.softmax(self(usage), 1)


def relative_usage(usage: Tensor) -> Tensor:
    """Usage (n, k) with the rows scaled to mean one; a cell that uses no program stays zero."""
    total = usage.sum(1, keepdim=True)
    return usage * (usage.shape[1] / total.clamp(min=torch.finfo(usage.dtype).tiny))
