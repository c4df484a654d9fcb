"""The layers of a model as pictures and tables show them: judged, named and in one order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuralNMF.colours import program_colours
from neuralNMF.evidence.layer import LayerEvidence, evidence_of_layers
from neuralNMF.evidence.tree import NO_PARENT, Tree, tree_of
from neuralNMF.plots.style import Programs


@dataclass(frozen=True)
class Layers:
    """What all pictures of a model share; lists have an entry a layer.

    Attributes
    ----------
    evidence : list of LayerEvidence
        What is known of the programs.
    programs : list of Programs
        How they are drawn.
    tree : Tree
        Which belong together.
    """

    evidence: list[LayerEvidence]
    programs: list[Programs]
    tree: Tree

    @property
    def colours(self) -> list[np.ndarray]:
        """Of the programs of each layer, (k_l, 3) each."""
        return program_colours(self.tree, [layer.last for layer in self.evidence])

    def above(self, layer: int) -> list[tuple[Programs, np.ndarray]]:
        """The coarser layers, the nearest first.

        Of each: its programs, and which of them each program of `layer` (from 1) is part of; dead
        programs and noise are part of none.
        """
        last = self.evidence[layer - 1].last
        return [
            (
                self.programs[other - 1],
                np.where(last, NO_PARENT, self.tree.ancestors(layer, other)),
            )
            for other in range(layer + 1, len(self.programs) + 1)
        ]


def judge_layers(
    thetas: Sequence[np.ndarray],
    usages: Sequence[np.ndarray],
    betas: Sequence[np.ndarray],
    symbols: np.ndarray,
    *,
    dead: Sequence[np.ndarray],
    gene_scale: np.ndarray | None = None,
) -> Layers:
    """Judge, name and order the programs of all layers.

    Parameters
    ----------
    thetas : sequence of ndarray
        Theta_l (k_{l-1}, k_l).
    usages : sequence of ndarray
        U_l (N, k_l).
    betas : sequence of ndarray
        beta_l (k_l, M).
    symbols : ndarray of str, (M,)
        Names of the genes.
    dead : sequence of ndarray of bool, (k_l,) each
        Programs that no cell uses.
    gene_scale : ndarray or None, (M,)
        What the fit multiplied each gene by.

    Returns
    -------
    Layers
    """
    evidence = evidence_of_layers(usages, betas, symbols, dead=dead, gene_scale=gene_scale)
    tree = tree_of(thetas, betas, [layer.last for layer in evidence])
    programs = [
        Programs(layer.names, order, layer.grey)
        for layer, order in zip(evidence, tree.orders, strict=True)
    ]
    return Layers(evidence, programs, tree)
