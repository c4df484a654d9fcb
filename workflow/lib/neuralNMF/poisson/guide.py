"""Labels in the loss: a classifier on the usage of one layer, fitted beside the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from neuralNMF.poisson.labels import UNLABELLED, LabelHead, Labels

# Steps of L-BFGS from the classifier of the evaluation before.
_WARM_STEPS, _LAST_STEPS = 10, 200


class Guide:
    """Cross-entropy of the labelled cells, ``weight`` times its sum, in nats.

    At weight 1 the loss is that of the counts and of the labels, given the usage: minus their
    log-likelihood, with a standard normal prior on the classifier. The classifier is solved for, as
    beta is: the penalty is that of the best classifier of the usage U_layer, so that its gradient
    by Theta needs none by the classifier. ``gradients`` holds those of the last penalty by Theta_1
    ... Theta_layer.
    """

    def __init__(self, labels: Labels, layer: int, weight: float) -> None:
        self.labels, self.layer, self.weight = labels, layer, weight
        self.gradients: list[Tensor] = []
        self._codes = torch.from_numpy(labels.codes)
        self._labelled = (self._codes != UNLABELLED).nonzero()[:, 0]
        self._head: LabelHead | None = None

    def penalty(self, thetas: Sequence[Tensor]) -> Tensor:
        """The penalty as a float64 scalar, differentiable by the first ``layer`` Thetas."""
        used = list(thetas[: self.layer])
        usage = self._usage(used, self._labelled)
        head, codes = self._fitted(usage, _WARM_STEPS)
        size = self.weight * self._labelled.numel()
        # The head's ridge is part of the loss that the head is fitted to.
        value = size * head.loss(usage, codes).double().cpu()
        trained = [theta for theta in used if theta.requires_grad]
        if trained and torch.is_grad_enabled():
            found = torch.autograd.grad(value, trained, retain_graph=True)
            parts = iter(found)
            self.gradients = [
                next(parts) if theta.requires_grad else torch.zeros_like(theta) for theta in used
            ]
        return value

    def predict(self, usage: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """(label (N,) str, probability (N,) float64) of every cell from a usage U_layer (N, k).

        The classifier is fitted to the labelled cells' rows: the usage is to be one that the labels
        did not move, or the other cells' rows would not compare.
        """
        head, _ = self._fitted(usage[self._labelled.to(usage.device)], _LAST_STEPS)
        probability, code = head.predict_proba(usage).double().cpu().max(1)
        return np.array(self.labels.classes, dtype=object)[code.numpy()], probability.numpy()

    def _usage(self, thetas: list[Tensor], cells: Tensor) -> Tensor:
        usage = thetas[0][cells.to(thetas[0].device)]
        for theta in thetas[1:]:
            usage = usage @ theta.to(usage)
        return usage

    def _fitted(self, usage: Tensor, steps: int) -> tuple[LabelHead, Tensor]:
        codes = self._codes[self._labelled].to(usage.device)
        if self._head is None:
            self._head = LabelHead(
                usage.shape[1],
                len(self.labels.classes),
                ridge=1.0 / self._labelled.numel(),
                device=usage.device,
                dtype=usage.dtype,
            )
        with torch.enable_grad():
            self._head.requires_grad_(True)
            self._head.fit(usage, codes, iterations=steps)
        self._head.requires_grad_(False)
        return self._head, codes
