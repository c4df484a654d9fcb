"""Sentences of the report, made from its numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from neuralNMF.report.figures import counted, listed, percent, whole, written
from neuralNMF.report.programs import Card
from neuralNMF.report.source import Source

# What each filter of the data set is called, by its key in `dropped`.
FILTERS = {
    "cells_min_counts": "cells with too few counts",
    "cells_empty": "cells without a count in the chosen genes",
    "genes_not_in_genes": "genes that are not in the given list",
    "genes_min_cells": "genes found in too few cells",
    "genes_excluded": "genes that were excluded by name",
    "genes_not_variable": "genes that vary less than the chosen ones",
}
BELIEFS = {
    "yes": "may be believed as they are",
    "care": "may be believed with care",
    "no": "should not be believed",
}
# Columns of agreement.tsv, without the labels that they are about.
MEASURES = {
    "auroc": "AUROC",
    "knn_accuracy": "15 neighbours vote for the label",
    "ari": "adjusted Rand index",
    "nmi": "normalised mutual information",
}
# Whether batches, conditions or donors are mixed.
MIXING = "neighbours of another {}, beside chance (1: mixed, 0: apart)"


def dropped_of(dataset: Mapping[str, Any]) -> list[dict[str, str]]:
    """What each filter of the data set left out, in words; those that left out something."""
    found = dataset.get("dropped", {})
    return [
        {"what": what, "number": whole(found[key])}
        for key, what in FILTERS.items()
        if found.get(key)
    ]


def sentences_of(source: Source, cards: list[Card]) -> list[str]:
    """Three sentences: what went in, what was found, and what supports it."""
    genes, before = len(source.symbols), len(source.genes)
    part = whole(genes) if genes == before else f"{whole(genes)} of {whole(before)}"
    data = f"{counted(len(source.obs), 'cell')} and {part} genes of {source.sample} were used."
    beliefs = _beliefs([card["kind"] for card in cards])
    if source.depth == 1:
        found = f"They make {counted(source.ranks[0], 'program')}; {beliefs}."
    else:
        sizes = listed(
            [
                f"{counted(size, 'program')} in layer {layer}"
                for layer, size in enumerate(source.ranks, start=1)
            ]
        )
        found = f"They make {sizes}, from fine to coarse; {beliefs}."
    return [data, found, support_of(source)]


def _beliefs(kinds: list[str]) -> str:
    """How many of the programs may be believed."""
    numbers = {kind: kinds.count(kind) for kind in BELIEFS if kind in kinds}
    if len(numbers) == 1:
        ((kind, number),) = numbers.items()
        return f"all {number} {BELIEFS[kind]}"
    parts = [f"{number} {BELIEFS[kind]}" for kind, number in numbers.items()]
    return f"of these {len(kinds)}, {listed(parts)}"


def support_of(source: Source) -> str:
    """The strongest evidence from outside that there is, in one sentence."""
    table = source.agreement
    if table is not None and "true_programs" in table:
        best = table.loc[table["cosine_mean"].idxmax()]
        return (
            f"The data were simulated: layer {best['layer']:.0f} has the "
            f"{best['true_programs']:.0f} true programs with a cosine of "
            f"{best['cosine_mean']:.3f} on average, {best['cosine_least']:.3f} at the least (1 is "
            "the same)."
        )
    if table is not None and "label_average_precision" in table:
        name = "coarse_label" if "coarse_label_average_precision" in table else "label"
        best = table.loc[table[f"{name}_average_precision"].idxmax()]
        precision, votes = (
            best[f"{name}_{what}"] for what in ("average_precision", "knn_accuracy")
        )
        return (
            f"Beside the known labels ({source.labels[name]}), the best single program of layer "
            f"{best['layer']:.0f} for each tells its cells from all others with an average "
            f"precision of {precision:.2f} in the mean (1 is perfect), and {percent(votes)} of the "
            "cells have neighbours with their own label."
        )
    again = source.programs.get("replicated")
    if again is not None and again.notna().any():
        known = again.dropna().astype(str).str.lower()
        return (
            f"{(known == 'true').sum()} of {counted(len(known), 'program')} were found again in "
            "fits of other cells (median correlation of the usage "
            f"{source.programs['replication'].median():.2f})."
        )
    cells = float(np.median(source.programs["effective_cells"]))
    return (
        f"In the median a program is carried by {whole(cells)} cells; there are no labels and no "
        "further fits that speak for or against it."
    )


def recommendation_of(source: Source, cards: list[Card]) -> list[str]:
    """Where to begin, what to leave out and what to take with care, and why these sizes."""
    lines = [_where_to_begin(source, cards)]
    for kind, words in (("no", "Leave out"), ("care", "Take with care")):
        reasons: dict[str, list[str]] = {}
        chosen = [card for card in cards if card["kind"] == kind]
        for card in sorted(chosen, key=lambda card: (card["layer"], int(card["number"][1:]))):
            layer = "" if source.depth == 1 else f" of layer {card['layer']}"
            reasons.setdefault(card["why"], []).append(f"{card['number']}{layer}")
        parts = [f"{listed(names)} ({why})" for why, names in reasons.items()]
        if parts:
            lines.append(f"{words}: {'; '.join(parts)}.")
    return [*lines, _why_these_sizes(source)]


def _where_to_begin(source: Source, cards: list[Card]) -> str:
    top = [card for card in cards if card["layer"] == source.depth]
    good = sum(card["kind"] == "yes" for card in top)
    which = f"all {len(top)} programs" if good == len(top) else f"{good} of {len(top)} programs"
    if source.depth == 1:
        return f"{which.capitalize()} may be believed as they are; begin with the largest of them."
    return (
        f"Begin with layer {source.depth}, the coarsest: {which} may be believed as they are. Then "
        f"follow a branch to the finer programs of layer {source.depth - 1} that are part of it."
    )


def _why_these_sizes(source: Source) -> str:
    if source.reason:
        return f"The data chose these sizes. {source.reason}"
    by_data = "the key layers: auto lets the data choose them"
    if source.asked == source.ranks:
        return f"The sizes were given in the config; {by_data}."
    asked = listed([str(size) for size in source.asked])
    return (
        f"Asked for were {asked} programs; those that too few cells carry, or that fits of other "
        f"cells do not share, were given up. Sizes were given in the config; {by_data}."
    )


def agreement_table(source: Source) -> dict[str, Any] | None:
    """How well the layers agree with what is known, ``columns`` and ``rows`` of text.

    A row a measure, a column a layer; labels and batches by the names of their columns.
    """
    table = source.agreement
    if table is None:
        return None
    names = [name for name in table.columns if name != "layer" and table[name].notna().any()]
    rows = [
        [
            _measure(name, source.labels, source.groups),
            *(written(value, "fine") for value in table[name]),
        ]
        for name in names
    ]
    return {"columns": ["Measure", *(f"Layer {layer}" for layer in table["layer"])], "rows": rows}


def _measure(name: str, labels: Mapping[str, str], groups: Mapping[str, str]) -> str:
    """What a column of agreement.tsv is called: ``celltype: average precision``."""
    for kind in ("coarse_label", "label"):
        if name.startswith(f"{kind}_") and kind in labels:
            measure = name.removeprefix(f"{kind}_")
            return f"{labels[kind]}: {MEASURES.get(measure, measure.replace('_', ' '))}"
    if name.endswith("_mixing"):
        key = name.removesuffix("_mixing")
        return f"{groups.get(key, key)}: {MIXING.format(key)}"
    return name.replace("_", " ").capitalize()
