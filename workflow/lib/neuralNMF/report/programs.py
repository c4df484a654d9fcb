"""The programs of all layers as cards: what each is, what it is part of, what speaks for it."""

from typing import Any

import numpy as np
import pandas as pd

from neuralNMF.evidence.markers import top_markers
from neuralNMF.evidence.tree import NO_PARENT
from neuralNMF.labels import NO_LABEL, as_labels, label_column
from neuralNMF.report.conditions import of_program
from neuralNMF.report.figures import evidence_of, is_missing, p_value, percent, written
from neuralNMF.report.source import Source, program_id

LISTED = 10  # markers of a card
SETS = 5  # gene sets of a card
PART = 0.05  # of a program: smaller parts of parents and children are left out
GROUPS = 12  # groups of cells of a column that a card lists, those that use the program most
_TOLD = 0.5  # average precision of a label that a program tells
MOST_GROUPS = 60  # of a column: with more it is no grouping to read

Card = dict[str, Any]


def cards_of(source: Source) -> list[Card]:
    """One card a program, the coarsest layer first, each layer in the order of the tree."""
    columns = grouping_columns(source)
    cards = []
    for layer in range(source.depth, 0, -1):
        means = [(name, *group_means(source, layer, name)) for name in columns]
        best = top_markers(source.betas[layer - 1], source.evidence[layer - 1].markers, LISTED)
        rows = source.programs[source.programs["layer"] == layer].to_dict("records")
        for program in source.tree.orders[layer - 1]:
            cards.append(
                {
                    "id": program_id(layer, program),
                    "layer": layer,
                    "number": f"P{program + 1}",
                    "name": rows[program]["name"],
                    "colour": source.colours[layer - 1][program],
                    "markers": _markers(source, layer, program, best[program]),
                    **_family(source, layer, program),
                    **_verdict(rows[program]),
                    "evidence": evidence_of(rows[program]),
                    "sets": _sets(source.gene_sets, layer, f"P{program + 1}"),
                    "conditions": of_program(source.conditions, layer, f"P{program + 1}"),
                    "groups": [_group(*each, program) for each in means],
                    "share": float(rows[program]["expression_share"]),
                    "cells": written(rows[program]["effective_cells"], "whole"),
                    "best_label": _best_label(rows[program]),
                    "grey": bool(source.evidence[layer - 1].grey[program]),
                }
            )
    return cards


def roots_of(cards: list[Card]) -> list[str]:
    """The programs that no other contains: those of the last layer, and what is part of none."""
    return [card["id"] for card in cards if card["parent"] is None]


def grouping_columns(source: Source) -> list[str]:
    """Columns of the cells' table that group cells: labels, conditions, batches, all others."""
    named = [source.groups[key] for key in ("condition", "batch", "donor") if key in source.groups]
    chosen = list(dict.fromkeys([*source.labels.values(), *named]))
    for name in source.obs.columns:
        column = source.obs[name]
        grouping = isinstance(column.dtype, pd.CategoricalDtype)
        if grouping and name not in chosen and 1 < column.nunique() <= MOST_GROUPS:
            chosen.append(name)
    return chosen


def group_means(source: Source, layer: int, column: str) -> tuple[list[str], np.ndarray]:
    """Names of a column's groups and the mean share of each program in their cells, (g, k)."""
    labels = as_labels(label_column(source.obs, column), most=None)
    shares = source.shares[layer - 1]
    sums = np.zeros((len(labels.names), shares.shape[1]))
    np.add.at(sums, labels.codes, shares)
    means = sums / np.bincount(labels.codes, minlength=len(labels.names))[:, None]
    known = [k for k, name in enumerate(labels.names) if name != NO_LABEL]
    return [labels.names[k] for k in known], means[known]


def _markers(source: Source, layer: int, program: int, genes: np.ndarray) -> list[Card]:
    markers = source.evidence[layer - 1].markers
    ratios = 2.0 ** markers.log2_ratios[program, genes]
    return [
        {
            "gene": str(source.symbols[gene]),
            "times": f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}",
        }
        for gene, ratio in zip(genes, ratios, strict=True)
    ]


def _family(source: Source, layer: int, program: int) -> Card:
    """Parent and children, each with how much of the finer one is part of the coarser."""
    family: Card = {"parent": None, "parents": [], "children": [], "parts": []}
    if layer < source.depth:
        shares = row_shares(source.thetas[layer])[program]
        parent = source.tree.parents[layer - 1][program]
        if parent != NO_PARENT and not source.evidence[layer - 1].last[program]:
            family["parent"] = program_id(layer + 1, parent)
        order = np.argsort(-shares, kind="stable")
        family["parents"] = [
            _part(layer + 1, each, shares[each]) for each in order if shares[each] >= PART
        ]
    if layer > 1:
        shares = row_shares(source.thetas[layer - 1])[:, program]
        below = source.evidence[layer - 2]
        own = source.tree.parents[layer - 2] == program
        order = source.tree.orders[layer - 2]
        family["children"] = [
            program_id(layer - 1, each) for each in order if own[each] and not below.last[each]
        ]
        family["parts"] = [
            _part(layer - 1, each, shares[each]) for each in order if shares[each] >= PART
        ]
    return family


def row_shares(theta: np.ndarray) -> np.ndarray:
    """Rows at sum one; a row of zeros stays one."""
    return theta / np.maximum(theta.sum(axis=1, keepdims=True, dtype=np.float64), 1e-30)


def _part(layer: int, program: int, share: float) -> Card:
    return {"id": program_id(layer, program), "share": percent(share)}


def _verdict(row: Card) -> Card:
    """``kind`` (yes, care, no), ``why`` in words, and the flags."""
    word, _, why = str(row["believe"]).partition(": ")
    flags = [] if is_missing(row["flags"]) else str(row["flags"]).split(", ")
    kind = {"yes": "yes", "no": "no"}.get(word, "care")
    return {"kind": kind, "why": why, "flags": flags}


def _sets(table: pd.DataFrame | None, layer: int, program: str) -> list[Card]:
    if table is None:
        return []
    rows = table[(table["layer"] == layer) & (table["program"] == program)].head(SETS)
    return [
        {
            "name": str(row["gene_set"]),
            "p": p_value(row["adjusted_p"]),
            "genes": str(row["genes"]),
        }
        for row in rows.to_dict("records")
    ]


def _group(column: str, names: list[str], means: np.ndarray, program: int) -> Card:
    """A column's groups by how much of the program their cells have."""
    order = np.argsort(-means[:, program], kind="stable")[:GROUPS]
    return {
        "column": column,
        "more": len(names) - len(order),
        "bars": [
            {
                "name": names[each],
                "percent": percent(float(means[each, program])),
                "width": round(100 * float(means[each, program]), 1),
            }
            for each in order
        ],
    }


def _best_label(row: Card) -> str | None:
    """The label, fine or coarse, that the program tells best."""
    there = [name for name in ("label", "coarse_label") if not is_missing(row.get(name))]
    if not there:
        return None
    best = max(there, key=lambda name: row[f"{name}_average_precision"])
    words = f"{row[best]} ({written(row[f'{best}_average_precision'], 'number')})"
    # Of a program that many kinds of cells share some label is the best, too.
    return words if row[f"{best}_average_precision"] >= _TOLD else f"mixed; nearest {words}"
