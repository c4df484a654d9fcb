"""Labels of some cells: how they are read, and the start of a guided fit that they lead.

A classifier can be satisfied by moving the labelled cells' usage alone, with the programs, and so
all other cells, left where they are. What decides for the unlabelled cells is which programs the
fit settles on, and that is decided by where it starts: with programs at the mean profiles of the
labelled classes (docs/poisson_measurements.md has the figures).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts
from neuralNMF.cells.stream import CountsSample
from neuralNMF.errors import InputError
from neuralNMF.io.dataset import Dataset
from neuralNMF.labels import label_column
from neuralNMF.poisson.candidates import merge_rows, singular_starts
from neuralNMF.poisson.em import TINY, kl_nmf, usage_given

_log = logging.getLogger(__name__)
UNLABELLED = -1
# A labelled cell begins with this share of what it would have of the other classes' programs.
_OTHER_CLASSES = 0.05
# Share of a cell's usage that all programs have alike: an entry of zero would stay zero.
_EVEN = 0.2
# Share of a class' program that is the mean profile of all cells, so that no gene is at zero.
_MEAN = 0.1
_SPARE_PASSES, _USAGE_PASSES = 6, 10


@dataclass(frozen=True)
class Labels:
    """The cells' labels as numbers.

    Attributes
    ----------
    codes : ndarray, shape (N,)
        Place in ``classes``, int64; `UNLABELLED` where there is no label.
    classes : list of str
        Sorted.
    """

    codes: np.ndarray
    classes: list[str]


def encode_labels(values: Sequence[object]) -> Labels:
    """Read a column of labels; None, NaN, missing categories and empty text are no label.

    Raises
    ------
    InputError
        Where fewer than two classes are left.
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


def dataset_labels(dataset: Dataset, column: str | None) -> Labels:
    """Labels from a column of ``obs``.

    Raises
    ------
    InputError
        Where there is no such column, or it has fewer than two classes.
    """
    labels = encode_labels(label_column(dataset.obs, str(column)).tolist())
    _log.info(
        "guided by %d labelled cells of %d, %d classes",
        int((labels.codes != UNLABELLED).sum()),
        dataset.shape[0],
        len(labels.classes),
    )
    return labels


def class_totals(counts: Counts, labels: Labels) -> Tensor:
    """Counts of each gene in each class, by one pass.

    Parameters
    ----------
    counts : Counts
        X (N, M).
    labels : Labels
        Of the same cells.

    Returns
    -------
    Tensor, shape (M, classes + 1)
        float64 on the host; the unlabelled cells last.
    """
    codes, classes = torch.from_numpy(labels.codes), len(labels.classes)
    place = torch.where(codes == UNLABELLED, classes, codes)
    ones = torch.ones((counts.shape[1], classes + 1), dtype=torch.float64)
    member = torch.zeros((counts.shape[0], classes + 1), dtype=counts.dtype)
    member.scatter_(1, place[:, None], 1.0)
    # With one-hot usage and programs of ones the rates are s_i, and the derivative of sum
    # x log(rate) by the programs is X^T member.
    return counts.rates(member.to(counts.device), ones, columns=True).columns


def class_shares(counts: Counts, labels: Labels, thetas: Sequence[Tensor]) -> Tensor:
    """Of what the labelled cells use of each program, the share of each class.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes.
    labels : Labels
    thetas : sequence of Tensor
        Theta_1 (N, k_1) on the device of the counts, Theta_l (k_{l-1}, k_l) float64 on the host.

    Returns
    -------
    Tensor, shape (k_L, classes)
        float64 on the host, rows at sum one; zero for a program that no labelled cell uses.
    """
    codes = torch.from_numpy(labels.codes)
    cells = (codes != UNLABELLED).nonzero()[:, 0]
    usage = thetas[0][cells.to(counts.device)].cpu().double() * counts.scale[cells, None]
    for theta in thetas[1:]:
        usage = usage @ theta
    member = torch.nn.functional.one_hot(codes[cells], len(labels.classes)).double()
    masses = usage.T @ member
    return masses / masses.sum(1, keepdim=True).clamp(min=TINY)


def start_from_labels(
    counts: Counts, sample: CountsSample, labels: Labels, rank: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A start of KL-NMF on a sample of the cells, with programs at the classes' mean profiles.

    With fewer programs than classes, classes that are alike share one. The programs that are left
    over begin at those of an NMF of their number. Labelled cells begin with little usage of the
    other classes' programs.

    Parameters
    ----------
    counts : Counts
        X (N, M) of all cells, for the classes' profiles.
    sample : CountsSample
        n of them.
    labels : Labels
        Of all cells.
    rank : int
        Programs k.
    generator : torch.Generator

    Returns
    -------
    theta : Tensor, shape (n, k)
    programs_t : Tensor, shape (M, k)
        As `kl_nmf` expects them.
    """
    totals = class_totals(counts, labels)
    program_of_class = torch.arange(totals.shape[1] - 1)
    if program_of_class.numel() > rank:
        program_of_class = merge_rows(totals[:, :-1].T, rank)
    programs_t = _class_programs(totals, program_of_class)
    spare = rank - programs_t.shape[1]
    if spare > 0:
        starts = singular_starts(sample.counts, sample.products, spare, generator, 1)
        others = kl_nmf(sample.counts, starts, passes=_SPARE_PASSES)
        programs_t = torch.cat([programs_t, others.programs_t], 1)
    theta = usage_given(sample.counts, programs_t, passes=_USAGE_PASSES)
    size = theta.sum(1, keepdim=True)
    theta = (1 - _EVEN) * theta + _EVEN / rank * size
    codes = torch.from_numpy(labels.codes)[sample.cells]
    theta *= _class_factors(program_of_class, codes, rank).to(theta)
    return theta.mul_(size / theta.sum(1, keepdim=True).clamp(min=TINY)), programs_t


def _name(value: object) -> str:
    # Only missing values differ from themselves; pandas.NA answers the comparison with itself.
    if value is None or type(value).__name__ == "NAType" or value != value:
        return ""
    return str(value).strip()


def _class_programs(totals: Tensor, program_of_class: Tensor) -> Tensor:
    """Mean profile (M, programs) of each program's classes, columns at sum one."""
    mean = totals.sum(1, keepdim=True) / totals.sum().clamp(min=TINY)
    profiles = totals[:, :-1] @ torch.nn.functional.one_hot(program_of_class).double()
    profiles = (1 - _MEAN) * profiles / profiles.sum(0).clamp(min=TINY) + _MEAN * mean
    return profiles / profiles.sum(0)


def _class_factors(program_of_class: Tensor, codes: Tensor, rank: int) -> Tensor:
    """Factors (n, k) of the usage: little of other classes' programs for a labelled cell."""
    programs = torch.arange(rank)
    of_its_class = programs == program_of_class[codes.clamp(min=0)][:, None]
    of_any_class = programs <= program_of_class.max()
    foreign = of_any_class & ~of_its_class & (codes != UNLABELLED)[:, None]
    return torch.where(foreign, _OTHER_CLASSES, 1.0)
