"""Labels predicted from the usage, by the classifier that a guided fit has saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from neuralNMF.poisson.guide import LabelClassifier


def predicted_labels(classifier: dict[str, Any], usage: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of ``obs``: the most likely label of every cell, and its probability.

    Parameters
    ----------
    classifier : dict
        ``info["classifier"]`` of a model (`poisson.guide.Guide.classifier_of`).
    usage : ndarray, (N, k)
        Of the layer that it names; of a cell without usage nothing is predicted.

    Returns
    -------
    dict
        ``predicted_label``, text, empty where there is none; ``predicted_probability``, NaN there.
    """
    weight = torch.tensor(classifier["weight"], dtype=torch.float64)
    rule = LabelClassifier(*weight.shape, ridge=0.0, dtype=torch.float64)
    with torch.no_grad():
        rule.weight.copy_(weight)
        rule.bias.copy_(torch.tensor(classifier["bias"], dtype=torch.float64))
    probability, code = rule.probabilities(torch.from_numpy(usage.astype(np.float64))).max(1)
    used = usage.sum(axis=1) > 0
    labels = np.array(classifier["classes"], dtype=object)[code.numpy()]
    return {
        "predicted_label": np.where(used, labels, ""),
        "predicted_probability": np.where(used, probability.numpy(), np.nan),
    }
