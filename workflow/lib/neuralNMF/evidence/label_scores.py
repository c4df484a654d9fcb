"""How well single programs tell labelled cells from all others: average precision and AUROC.

Labels are (N,) strings of cells whose classes count (`counted`).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from neuralNMF.evidence.usage import shares

SMALLEST_CLASS = 20  # cells; of fewer a score says nothing
MOST_CELLS = 50_000  # a score sorts the cells for every program and label


def counted(labels: np.ndarray, least: int = SMALLEST_CLASS) -> np.ndarray:
    """Which cells (N,) have a label (not "") of a class with `least` cells or more."""
    codes, classes = pd.factorize(np.asarray(labels, dtype=object))  # of a million cells, no sort
    return ((np.bincount(codes) >= least) & (classes != ""))[codes]


def sampled(cells: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the cells that a mask (N,) has, as a mask; always the same ones."""
    there = np.flatnonzero(cells)
    if len(there) <= most:
        return cells
    drawn = np.zeros_like(cells)
    drawn[np.random.default_rng(0).choice(there, most, replace=False)] = True
    return drawn


def scores_of_labels(
    usage: np.ndarray,
    labels: np.ndarray,
    score: Literal["average_precision", "roc_auc"] = "average_precision",
) -> np.ndarray:
    """Score of each program's share for each label against the rest, (labels in order, k)."""
    # Here, since it takes seconds and most runs have no labels.
    from sklearn import metrics

    measure = getattr(metrics, f"{score}_score")
    of_cells = shares(usage)
    return np.array(
        [
            [measure(labels == label, program) for program in of_cells.T]
            for label in np.unique(labels)
        ]
    )


@dataclass(frozen=True)
class LabelScores:
    """How well each of k programs tells the cells of each of n labels from all others.

    Attributes
    ----------
    names : ndarray of str, (n,)
        The labels that count; none where only one would.
    sizes : ndarray of int, (n,)
        Their cells among those that were looked at.
    average_precision, auroc : ndarray of float64, (n, k)
        Of the program's share of the cells' usage.
    used : ndarray of bool, (k,)
        Whether any cell uses the program.
    """

    names: np.ndarray
    sizes: np.ndarray
    average_precision: np.ndarray
    auroc: np.ndarray
    used: np.ndarray

    def of_labels(self) -> tuple[float, float]:
        """Average precision and AUROC of the best program for each label, means over the labels."""
        if not len(self.names):
            return float("nan"), float("nan")
        scores = (self.average_precision, self.auroc)
        precision, area = (float(each.max(axis=1).mean()) for each in scores)
        return precision, area

    def of_programs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The label that each program matches best, its average precision and AUROC, (k,) each.

        Best by average precision beyond chance, (AP - p) / (1 - p), p the label's share of the
        cells: a program that tells nothing has the average precision p, and would match the most
        frequent label. "" and NaN of a program that no cell uses, and where no label counts.
        """
        if not len(self.names):
            none = np.full(len(self.used), np.nan)
            return np.full(len(self.used), ""), none, none
        chance = (self.sizes / self.sizes.sum())[:, None]
        beyond = (self.average_precision - chance) / (1 - chance)
        best = beyond.argmax(axis=0), np.arange(len(self.used))
        return (
            np.where(self.used, self.names[best[0]], ""),
            np.where(self.used, self.average_precision[best], np.nan),
            np.where(self.used, self.auroc[best], np.nan),
        )


def label_scores(usage: np.ndarray, labels: np.ndarray) -> LabelScores:
    """Score every program for every label.

    Parameters
    ----------
    usage : ndarray, (N, k)
        Of a layer.
    labels : ndarray of str, (N,)
        Of the cells, "" where there is none. Classes under 20 cells are left out; of more than
        50,000 cells a random sample is taken.

    Returns
    -------
    LabelScores
    """
    there = counted(np.where(sampled(counted(labels), MOST_CELLS), labels, ""))
    names, sizes = np.unique(labels[there], return_counts=True)
    used = np.asarray(usage.any(axis=0))
    if len(names) < 2:
        none = np.empty((0, usage.shape[1]))
        return LabelScores(names[:0], sizes[:0], none, none, used)
    precision = scores_of_labels(usage[there], labels[there])
    area = scores_of_labels(usage[there], labels[there], "roc_auc")
    return LabelScores(names, sizes, precision, area, used)
