"""All that the report says, as plain numbers and text: what the page is filled with."""

from typing import Any

import numpy as np

from neuralNMF.labels import label_column, label_names
from neuralNMF.report.cells import cells_of
from neuralNMF.report.charts import charts_of
from neuralNMF.report.conditions import differences_of
from neuralNMF.report.figures import counted, listed, whole
from neuralNMF.report.files import files_of
from neuralNMF.report.genes import genes_of
from neuralNMF.report.methods import methods_of
from neuralNMF.report.programs import cards_of, roots_of
from neuralNMF.report.source import Source
from neuralNMF.report.words import agreement_table, dropped_of, recommendation_of, sentences_of

LISTED_GROUPS = 6  # batches, conditions or donors that the overview names


def contents_of(source: Source) -> dict[str, Any]:
    """The report of a run as plain JSON types.

    Parameters
    ----------
    source : Source
        The run.

    Returns
    -------
    dict
        What `neuralNMF.report.page.page_of` fills the page with: names and texts of the tabs, and
        packed arrays of the cells (`neuralNMF.report.cells`).
    """
    cards = cards_of(source)
    return {
        "sample": source.sample,
        "run": source.run,
        "depth": source.depth,
        "ranks": source.ranks,
        "facts": _facts(source),
        "dropped": dropped_of(source.dataset),
        "sentences": sentences_of(source, cards),
        "recommendation": recommendation_of(source, cards),
        "differences": differences_of(source),
        "cards": cards,
        "roots": roots_of(cards),
        "agreement": agreement_table(source),
        "charts": charts_of(source, cards),
        "methods": methods_of(source),
        "files": files_of(source),
        "cells": cells_of(source, cards),
        "genes": genes_of(source),
    }


def _groups(source: Source, column: str) -> str:
    """A column of groups: ``treatment (CTRL and STIM)``, or how many there are of many."""
    names = np.unique(label_names(label_column(source.obs, column)))
    known = [str(name) for name in names if name]
    return f"{column} ({listed(known) if len(known) <= LISTED_GROUPS else whole(len(known))})"


def _facts(source: Source) -> list[dict[str, str]]:
    inputs = source.obs["dataset"].nunique()
    median = source.obs["total_counts"].median()
    sizes = " → ".join(map(str, source.ranks))
    facts = {
        "Cells": whole(len(source.obs)),
        "Genes used": whole(len(source.symbols)),
        "Inputs": counted(inputs, "input"),
        "Median counts of a cell": whole(median),
        "Programs, fine to coarse": sizes,
        "Labels": ", ".join(source.labels.values()) or "none",
        **{key.capitalize(): _groups(source, column) for key, column in source.groups.items()},
    }
    return [{"name": name, "value": value} for name, value in facts.items()]
