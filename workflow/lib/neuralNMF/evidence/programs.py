"""All programs of all layers in one table: what each is, what speaks for and against it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from neuralNMF.errors import InputError
from neuralNMF.evidence.flags import JUDGED
from neuralNMF.evidence.label_scores import LabelScores
from neuralNMF.evidence.layer import LayerEvidence, evidence_of_layers
from neuralNMF.evidence.markers import expression_shares, top_markers
from neuralNMF.evidence.tree import NO_PARENT, tree_of
from neuralNMF.evidence.usage import (
    coverage,
    effective_number,
    library_size_correlation,
    redundancy,
    shares,
)
from neuralNMF.evidence.verdict import believe, flags_of_figures

LISTED = 10  # markers of a program
LISTED_GROUPS = 12  # batches or donors whose shares of a program are listed
_PLURALS = {"batch": "batches", "donor": "donors"}
KEYS = ["layer", "program"]
# What another job finds out by further fits, joined to the table where it is given.
REPLICATION = [
    "replication",
    "gene_cosine",
    "replicated",
    "stability",
    "held_out_gain",
]

Columns = Mapping[str, Any]


@dataclass(frozen=True)
class Cells:
    """What is known of N cells beside their counts; columns of what is None are left out.

    Attributes
    ----------
    total_counts : ndarray or None, (N,)
        Over all genes.
    inputs : ndarray of str or None, (N,)
        The input that each is from.
    groups : mapping of str to ndarray of str, (N,)
        ``batch`` and ``donor`` of each, "" where it has none; those that there are.
    conditions : DataFrame or None
        Of `neuralNMF.evidence.conditions.condition_table`: what is called is joined.
    scores : mapping of str to sequence of LabelScores
        Of their labels, a layer each: ``label`` and, of a second column, ``coarse_label``.
    """

    total_counts: np.ndarray | None = None
    inputs: np.ndarray | None = None
    scores: Mapping[str, Sequence[LabelScores]] = field(default_factory=dict)
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    conditions: pd.DataFrame | None = None


@dataclass(frozen=True)
class JudgedPrograms:
    """The programs of L layers with what helps to judge them.

    Attributes
    ----------
    thetas, usages, betas : sequence of ndarray
        Theta_l (k_{l-1}, k_l), U_l (N, k_l), beta_l (k_l, M).
    evidence : list of LayerEvidence
        Names, supports, flags of the genes.
    markers : dict of int to list of ndarray of int
        By layer from 1: the columns of each program's best markers, as many as are looked at.
    symbols : ndarray of str, (M,)
    gene_scale : ndarray or None, (M,)
    """

    thetas: Sequence[np.ndarray]
    usages: Sequence[np.ndarray]
    betas: Sequence[np.ndarray]
    evidence: list[LayerEvidence]
    markers: dict[int, list[np.ndarray]]
    symbols: np.ndarray
    gene_scale: np.ndarray | None


def judge_programs(
    thetas: Sequence[np.ndarray],
    usages: Sequence[np.ndarray],
    betas: Sequence[np.ndarray],
    symbols: np.ndarray,
    *,
    dead: Sequence[np.ndarray],
    gene_scale: np.ndarray | None = None,
) -> JudgedPrograms:
    """Judge the programs of all layers; arguments as for `evidence_of_layers`."""
    evidence = evidence_of_layers(usages, betas, symbols, dead=dead, gene_scale=gene_scale)
    markers = {
        layer: top_markers(beta, judged.markers, JUDGED)
        for layer, (beta, judged) in enumerate(zip(betas, evidence, strict=True), start=1)
    }
    return JudgedPrograms(thetas, usages, betas, evidence, markers, symbols, gene_scale)


def table_of_programs(
    judged: JudgedPrograms,
    cells: Cells | None = None,
    *,
    gene_sets: pd.DataFrame | None = None,
    replication: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Put all that is known of every program into one table.

    Parameters
    ----------
    judged : JudgedPrograms
        Of `judge_programs`.
    cells : Cells or None
        What is known of the cells.
    gene_sets : DataFrame or None
        Of `neuralNMF.evidence.gene_sets.gene_set_table`: each program's best set is joined.
    replication : DataFrame or None
        With the columns ``layer`` and ``program`` and any of `REPLICATION`, which are joined.

    Returns
    -------
    DataFrame
        One row a program; docs/programs_to_believe.md describes the columns.

    Raises
    ------
    InputError
        `replication` has not the columns that say of which program it speaks, or speaks twice of
        one.
    """
    cells = Cells() if cells is None else cells
    parts = [
        pd.DataFrame({"layer": layer, **columns})
        for layer, columns in enumerate(_layers(judged, cells), start=1)
    ]
    table = pd.concat(parts, ignore_index=True)
    if gene_sets is not None:
        best = gene_sets.drop_duplicates(KEYS)[[*KEYS, "gene_set", "adjusted_p", "genes"]]
        names = {"adjusted_p": "gene_set_adjusted_p", "genes": "gene_set_genes"}
        table = table.merge(best.rename(columns=names), on=KEYS, how="left")
    if cells.conditions is not None:
        called = cells.conditions[cells.conditions["called"].astype(bool)].drop_duplicates(KEYS)
        called = called[[*KEYS, "condition", "effect", "adjusted_p"]]
        names = {"effect": "condition_effect", "adjusted_p": "condition_adjusted_p"}
        table = table.merge(called.rename(columns=names), on=KEYS, how="left")
        table["condition"] = table["condition"].fillna("")
    if replication is not None:
        table = table.merge(_checked(replication), on=KEYS, how="left")
    of_genes = [flags for evidence in judged.evidence for flags in evidence.flags]
    rows = table.to_dict("records")
    flags = [
        (*genes, *(() if "dead" in genes else flags_of_figures(row)))
        for genes, row in zip(of_genes, rows, strict=True)
    ]
    table["flags"] = [", ".join(each) for each in flags]
    table["believe"] = [believe(row, each) for row, each in zip(rows, flags, strict=True)]
    return table


def _layers(judged: JudgedPrograms, cells: Cells) -> Iterator[Columns]:
    """The columns of each layer in turn."""
    tree = tree_of(judged.thetas, judged.betas, [layer.last for layer in judged.evidence])
    kinds = judged.usages[-1].argmax(axis=1)
    for number, evidence in enumerate(judged.evidence):
        usage, last = judged.usages[number], number + 1 == len(judged.evidence)
        parts = None if last else shares(judged.thetas[number + 1])
        of_cells = shares(usage)
        yield {
            **_of_genes(judged, number, evidence),
            **_of_tree(parts, None if last else tree.parents[number], usage.shape[1]),
            "expression_share": expression_shares(
                judged.betas[number], usage.sum(axis=0, dtype=np.float64), judged.gene_scale
            ),
            "effective_cells": evidence.support,
            **_of_usage(of_cells, cells, kinds),
            **_of_labels({name: layers[number] for name, layers in cells.scores.items()}),
        }


def _of_genes(judged: JudgedPrograms, number: int, evidence: LayerEvidence) -> Columns:
    lists = [genes[:LISTED] for genes in judged.markers[number + 1]]
    return {
        "program": [f"P{k}" for k in range(1, len(lists) + 1)],
        "name": evidence.names,
        "markers": [", ".join(map(str, judged.symbols[genes])) for genes in lists],
    }


def _of_tree(parts: np.ndarray | None, parents: np.ndarray | None, programs: int) -> Columns:
    """Parent, its share and how many parents a program has; empty in the last layer."""
    if parts is None or parents is None:
        nothing = np.full(programs, np.nan)
        return {"parent": "", "parent_share": nothing, "effective_parents": nothing}
    return {
        "parent": ["" if each == NO_PARENT else f"P{each + 1}" for each in parents],
        "parent_share": parts.max(axis=1),
        "effective_parents": effective_number(parts),
    }


def _of_usage(of_cells: np.ndarray, cells: Cells, kinds: np.ndarray) -> Columns:
    correlation, other = redundancy(of_cells)
    columns: dict[str, Any] = {
        "redundancy": correlation,
        "redundant_with": ["" if each < 0 else f"P{each + 1}" for each in other],
    }
    if cells.total_counts is not None:
        found = library_size_correlation(of_cells, cells.total_counts, kinds)
        columns["library_size_correlation"] = found
    if cells.inputs is not None and len(np.unique(cells.inputs)) > 1:
        inputs = coverage(of_cells, cells.inputs)
        columns["inputs_using"] = inputs.inputs_using
        columns["main_input"] = inputs.main_input
        columns["main_input_share"] = inputs.main_share
    for name, values in cells.groups.items():
        columns |= _of_groups(of_cells, name, values)
    return columns


def _of_groups(of_cells: np.ndarray, name: str, values: np.ndarray) -> Columns:
    """Which batches or donors use a program; and of at most a dozen, what each has of it."""
    known = values != ""
    if len(np.unique(values[known])) < 2:
        return {}
    found = coverage(of_cells[known], values[known])
    columns: dict[str, Any] = {
        f"{_PLURALS[name]}_using": found.inputs_using,
        f"main_{name}": found.main_input,
        f"main_{name}_share": found.main_share,
    }
    if len(found.names) <= LISTED_GROUPS:
        columns[f"{name}_shares"] = [
            ", ".join(
                f"{group} {share:.2f}" for group, share in zip(found.names, each, strict=True)
            )
            for each in found.shares.T
        ]
    return columns


def _of_labels(scores: Mapping[str, LabelScores]) -> Columns:
    columns: dict[str, Any] = {}
    for name, layer in scores.items():
        best, precision, area = layer.of_programs()
        columns |= {name: best, f"{name}_average_precision": precision, f"{name}_auroc": area}
    return columns


def _checked(replication: pd.DataFrame) -> pd.DataFrame:
    """The keys and the columns that are joined; `program` as ``P3``, however it is written."""
    missing = [key for key in KEYS if key not in replication.columns]
    if missing:
        raise InputError(
            f"The table of replication has no column {missing[0]!r}; it needs layer and program, "
            "as the workflow writes them."
        )
    table = replication[[*KEYS, *(name for name in REPLICATION if name in replication)]].copy()
    table["program"] = "P" + table["program"].astype(str).str.removeprefix("P")
    if table.duplicated(KEYS).any():
        layer, program = table.loc[table.duplicated(KEYS), KEYS].iloc[0]
        raise InputError(
            f"The table of replication has two rows for {program} of layer {layer}; give one a "
            "program."
        )
    return table
