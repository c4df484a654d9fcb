"""All that helps to judge the programs of one layer: names, support, flags, markers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuralNMF.evidence.flags import JUDGED, LAST, TECHNICAL, marker_flags
from neuralNMF.evidence.markers import Markers, marker_scores, top_markers
from neuralNMF.evidence.support import NOISE_BELOW, support

IN_NAME = 2


@dataclass(frozen=True)
class LayerEvidence:
    """What is known of the k programs of a layer.

    Attributes
    ----------
    names : list of str
        ``P3 GNLY NKG7``: the number within the layer, then the best markers; ``P4 (dead)`` and
        ``P5 FDCSP PTTG1 (noise)`` of programs that are that.
    support : ndarray of float64, (k,)
        Effective number of cells of each.
    flags : list of tuple of str
        Of each: ``dead`` (no cell uses it), ``noise`` (support under 10 cells), and what its best
        markers say (`neuralNMF.evidence.flags`).
    markers : Markers
        Scores of the genes.
    """

    names: list[str]
    support: np.ndarray
    flags: list[tuple[str, ...]]
    markers: Markers

    @property
    def grey(self) -> np.ndarray:
        """Whether each program has a technical flag, (k,) bool: no program of a type of cell."""
        return np.array([not set(flags).isdisjoint(TECHNICAL) for flags in self.flags])

    @property
    def last(self) -> np.ndarray:
        """Whether each program is dead or noise, (k,) bool: not part of the picture's order."""
        return np.array([not set(flags).isdisjoint(LAST) for flags in self.flags])


def layer_evidence(
    usage: np.ndarray,
    beta: np.ndarray,
    symbols: np.ndarray,
    *,
    dead: np.ndarray | None = None,
    gene_scale: np.ndarray | None = None,
) -> LayerEvidence:
    """Judge the programs of one layer.

    Parameters
    ----------
    usage : ndarray, (N, k)
        U_l, in the units of the fit.
    beta : ndarray, (k, M)
        Programs; rows sum to 1 in those units, the row of a dead one is 0.
    symbols : ndarray of str, (M,)
        Names of the genes.
    dead : ndarray of bool or None, (k,)
        Programs that no cell uses; None: those without usage or programs.
    gene_scale : ndarray or None, (M,)
        What the fit multiplied each gene by.

    Returns
    -------
    LayerEvidence
        Of the k programs in their order.
    """
    cells = support(usage)
    if dead is None:
        dead = (cells == 0) | ~np.any(beta > 0, axis=1)
    markers = marker_scores(beta, usage.sum(axis=0, dtype=np.float64), gene_scale)
    best = top_markers(beta, markers, JUDGED)
    flags = [_flags(bool(dead[k]), cells[k], symbols[genes]) for k, genes in enumerate(best)]
    names = [_name(k, flags[k], symbols[genes[:IN_NAME]]) for k, genes in enumerate(best)]
    return LayerEvidence(names, cells, flags, markers)


def evidence_of_layers(
    usages: Sequence[np.ndarray],
    betas: Sequence[np.ndarray],
    symbols: np.ndarray,
    *,
    dead: Sequence[np.ndarray],
    gene_scale: np.ndarray | None = None,
) -> list[LayerEvidence]:
    """`layer_evidence` of every layer, each argument with an entry a layer."""
    return [
        layer_evidence(usage, beta, symbols, dead=gone, gene_scale=gene_scale)
        for usage, beta, gone in zip(usages, betas, dead, strict=True)
    ]


def _flags(dead: bool, cells: float, symbols: np.ndarray) -> tuple[str, ...]:
    if dead:
        return ("dead",)
    noise = ("noise",) if cells < NOISE_BELOW else ()
    return (*noise, *marker_flags(symbols))


def _name(number: int, flags: tuple[str, ...], symbols: np.ndarray) -> str:
    words = [f"P{number + 1}", *map(str, symbols)]
    return " ".join([*words, *(f"({flag})" for flag in flags if flag in LAST)])
