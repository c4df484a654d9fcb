"""What a report is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from neuralNMF.colours import hexadecimal, program_colours
from neuralNMF.evidence.layer import LayerEvidence, evidence_of_layers
from neuralNMF.evidence.main_program import main_programs
from neuralNMF.evidence.tree import Tree, tree_of


@dataclass(frozen=True)
class Source:
    """A run, with all that is known of it: N cells, M genes, layers of k_l programs.

    Attributes
    ----------
    sample, run : str
        Their names.
    thetas, usages, betas : sequence of ndarray
        Theta_l (k_{l-1}, k_l), U_l (N, k_l) and beta_l (k_l, M) of each layer.
    dead : sequence of ndarray of bool, (k_l,) each
        Programs that no cell uses.
    symbols : ndarray of str, (M,)
        Names of the genes.
    gene_scale : ndarray, (M,)
        What the fit multiplied each gene by.
    obs : DataFrame
        The cells' table, N rows; its index: the barcodes.
    counts : csr_matrix, (N, M)
        Raw counts.
    info : mapping
        What the model was fitted with (``uns["neuralNMF"]``).
    history : DataFrame
        The training, a row an epoch.
    programs : DataFrame
        Of `neuralNMF.evidence.programs.table_of_programs`: a row a program.
    genes : DataFrame
        A row a gene of the inputs, with ``symbol`` and why it was ``dropped``.
    dataset : mapping
        The ``options`` of the data set and how much was ``dropped``.
    labels : mapping of str to str
        Columns of `obs` by what tables call them: ``label``, ``coarse_label``.
    groups : mapping of str to str
        Columns of `obs` that say where cells are from: ``batch``, ``condition``, ``donor``.
    gene_sets, agreement, conditions, sizes : DataFrame or None
        The run's other tables, where it has them.
    umap : DataFrame or None
        Of `neuralNMF.embedding.explore`: a row a cell that has a place in the plane, its name in
        ``cell``, ``l{l}_umap1`` and ``l{l}_umap2``. Without it principal components stand in.
    """

    sample: str
    run: str
    thetas: Sequence[np.ndarray]
    usages: Sequence[np.ndarray]
    betas: Sequence[np.ndarray]
    dead: Sequence[np.ndarray]
    symbols: np.ndarray
    gene_scale: np.ndarray
    obs: pd.DataFrame
    counts: sp.csr_matrix
    info: Mapping[str, Any]
    history: pd.DataFrame
    programs: pd.DataFrame
    genes: pd.DataFrame
    dataset: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    gene_sets: pd.DataFrame | None = None
    agreement: pd.DataFrame | None = None
    conditions: pd.DataFrame | None = None
    sizes: pd.DataFrame | None = None
    umap: pd.DataFrame | None = None

    @property
    def depth(self) -> int:
        """The number of layers."""
        return len(self.thetas)

    @property
    def ranks(self) -> list[int]:
        """Programs of each layer."""
        return [theta.shape[1] for theta in self.thetas]

    @property
    def asked(self) -> list[int]:
        """Programs that each layer was asked for."""
        return [int(options["rank"]) for options in self.info["layer_options"]]

    @property
    def reason(self) -> str | None:
        """Why the run has these layers, where the data chose them."""
        return self.info.get("chosen_because")

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the last layer's fit."""
        return self.info["options"]

    @cached_property
    def evidence(self) -> list[LayerEvidence]:
        """Names, flags and markers of each layer's programs."""
        return evidence_of_layers(
            self.usages, self.betas, self.symbols, dead=self.dead, gene_scale=self.gene_scale
        )

    @cached_property
    def tree(self) -> Tree:
        """Parents and order."""
        return tree_of(self.thetas, self.betas, [layer.last for layer in self.evidence])

    @cached_property
    def colours(self) -> list[list[str]]:
        """The colour of each program as ``#E69F00``, as in the pictures."""
        found = program_colours(self.tree, [layer.last for layer in self.evidence])
        return [hexadecimal(layer) for layer in found]

    @cached_property
    def in_order(self) -> pd.DataFrame:
        """`programs`, the coarsest layer first, each layer in the order of the tree."""
        layers = [
            self.programs[self.programs["layer"] == layer].iloc[self.tree.orders[layer - 1]]
            for layer in range(self.depth, 0, -1)
        ]
        return pd.concat(layers, ignore_index=True)

    @cached_property
    def mains(self) -> list[np.ndarray]:
        """The main program of each cell, (N,) of each layer, as in the pictures."""
        return [
            main_programs(shares, order, evidence.grey)[0]
            for shares, order, evidence in zip(
                self.shares, self.tree.orders, self.evidence, strict=True
            )
        ]

    @cached_property
    def shares(self) -> list[np.ndarray]:
        """Each cell's usage at sum one, (N, k_l) float32 of each layer."""
        return [
            (usage / np.maximum(usage.sum(axis=1, keepdims=True), 1e-30)).astype(np.float32)
            for usage in self.usages
        ]


def program_id(layer: int, program: int) -> str:
    """What the page calls program `program` (from 0) of a layer: ``1.P3``."""
    return f"{layer}.P{program + 1}"
