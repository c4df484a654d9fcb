"""A model as cellxgene and scanpy's plots want it: columns, places and colours of the cells.

N cells, M genes, L layers, k_l programs of layer l; U_l (N, k_l) is the usage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neuralNMF.colours import hexadecimal, label_colours, program_colours
from neuralNMF.embedding.plane import Planes, planes_of_usage
from neuralNMF.evidence.layer import LayerEvidence
from neuralNMF.evidence.main_program import main_programs
from neuralNMF.evidence.tree import tree_of
from neuralNMF.labels import NO_LABEL, OTHER, as_labels, label_column

Columns = dict[str, Any]  # a table's, by name
OWN = "input_"  # before the name of a user's column that ours would stand in the place of


@dataclass(frozen=True)
class Explored:
    """What stands beside the counts.

    Attributes
    ----------
    obs : DataFrame
        The cells' own columns, with those of labels as categories; then ``program_l{l}``, the name
        of the main program of each layer, and ``l{l} P3 GNLY NKG7``, the share of each program in
        the cell's fitted expression, 0 to 1.
    colours : dict of str to list of str
        By column: the colour of each of its categories, as ``#E69F00``.
    planes : Planes or None
        The cells in the plane, a layer each; None where nobody asked for them.
    """

    obs: pd.DataFrame
    colours: dict[str, list[str]]
    planes: Planes | None

    @property
    def places(self) -> dict[int, np.ndarray]:
        """The places of the cells by layer, where it has any."""
        coordinates = [] if self.planes is None else self.planes.coordinates
        return {layer: each for layer, each in enumerate(coordinates, 1) if each is not None}

    @property
    def words(self) -> dict[str, str]:
        """``drawn``: which cells have a place; ``l{l}``: why a layer has none."""
        if self.planes is None:
            return {"drawn": "no cells"}
        why = {f"l{layer}": text for layer, text in enumerate(self.planes.why_not, 1) if text}
        return {"drawn": self.planes.drawn, **why}

    def table(self) -> pd.DataFrame:
        """The places of the cells that have one, a row a cell, with their labels and programs."""
        axes = {
            f"l{layer}_umap{axis + 1}": places[:, axis]
            for layer, places in self.places.items()
            for axis in (0, 1)
        }
        shown = {name: self.obs[name].array for name in self.colours}
        table = pd.DataFrame({"cell": self.obs.index, **axes, **shown})
        return table.dropna(subset=list(axes)) if axes else table.iloc[:0]


def explore(
    obs: pd.DataFrame,
    columns: Sequence[str],
    thetas: Sequence[np.ndarray],
    usages: Sequence[np.ndarray],
    betas: Sequence[np.ndarray],
    evidence: Sequence[LayerEvidence],
    *,
    umap: bool,
    seed: int,
) -> Explored:
    """Put together what a person needs to look at the cells of a model.

    Parameters
    ----------
    obs : DataFrame
        The N cells.
    columns : sequence of str
        Those of labels.
    thetas, usages, betas : sequence of ndarray
        Theta_l (k_{l-1}, k_l), U_l (N, k_l), beta_l (k_l, M).
    evidence : sequence of LayerEvidence
        Names and flags of the programs.
    umap : bool
        Whether to lay the cells out.
    seed : int
        Of that.

    Returns
    -------
    Explored

    Raises
    ------
    InputError
        The cells have no column of one of these names.
    """
    last = [layer.last for layer in evidence]
    tree = tree_of(thetas, betas, last)
    table: Columns = dict(obs.items())
    colours: dict[str, list[str]] = {}
    labels = [label_column(obs, name) for name in columns]
    pooled = [as_labels(column) for column in labels]
    shown_labels = label_colours([each.names for each in pooled])
    for name, column, few, shown in zip(columns, labels, pooled, shown_labels, strict=True):
        known = dict(zip(few.names, hexadecimal(shown), strict=True))
        table[name] = _every_label(column)
        colours[name] = [known.get(label, known.get(OTHER, "")) for label in table[name].categories]
    mains: Columns = {}
    parts: Columns = {}
    groups = []
    for layer, (usage, judged, order, shown) in enumerate(
        zip(usages, evidence, tree.orders, program_colours(tree, last), strict=True), start=1
    ):
        totals = usage.sum(axis=1, keepdims=True)
        shares = usage / np.where(totals > 0, totals, 1)
        main, _ = main_programs(shares, order, judged.grey)
        there = order[np.isin(order, main)]
        place = np.full(len(order) + 1, -1)  # the last: of cells without a program
        place[there] = np.arange(len(there))
        names = [judged.names[k] for k in there]
        mains[f"program_l{layer}"] = pd.Categorical.from_codes(place[main], names)
        colours[f"program_l{layer}"] = hexadecimal(shown[there])
        parts |= {f"l{layer} {judged.names[k]}": shares[:, k] for k in order}
        groups.append(place[main])
    planes = planes_of_usage(usages, groups[0], seed=seed) if umap else None
    return Explored(pd.DataFrame(_over(table, mains | parts), index=obs.index), colours, planes)


def _every_label(column: pd.Series) -> pd.Categorical:
    """Labels as text, however many there are; missing where a cell has none."""
    every = as_labels(column, most=None)
    names = [name for name in every.names if name != NO_LABEL]
    return pd.Categorical.from_codes(np.where(every.codes < len(names), every.codes, -1), names)


def _over(table: Columns, ours: Columns) -> Columns:
    """The columns of both; one of the user's with the name of one of ours gets another one."""
    return {OWN * (name in ours) + name: column for name, column in table.items()} | ours
