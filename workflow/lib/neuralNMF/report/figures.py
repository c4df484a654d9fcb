"""Numbers as people read them."""

from typing import Any

import pandas as pd

# How the columns of programs.tsv are called and written in a card. Columns that are not here stand
# there with their own names, so that a new one shows by itself.
COLUMNS = {
    "parent_share": ("Part of its parent", "percent"),
    "effective_parents": ("Parents (effective number)", "number"),
    "expression_share": ("Of all expression", "percent"),
    "effective_cells": ("Cells that carry it", "whole"),
    "redundancy": ("Highest correlation with another program", "number"),
    "redundant_with": ("That program", "text"),
    "library_size_correlation": ("Correlation with library size", "number"),
    "inputs_using": ("Inputs that use it", "whole"),
    "main_input": ("Main input", "text"),
    "main_input_share": ("Share of the main input", "percent"),
    "batches_using": ("Batches that use it", "whole"),
    "main_batch": ("Main batch", "text"),
    "main_batch_share": ("Share of the main batch", "percent"),
    "batch_shares": ("Share of each batch", "text"),
    "donors_using": ("Donors that use it", "whole"),
    "main_donor": ("Main donor", "text"),
    "main_donor_share": ("Share of the main donor", "percent"),
    "donor_shares": ("Share of each donor", "text"),
    "label": ("Best label", "text"),
    "label_average_precision": ("Average precision for it", "number"),
    "label_auroc": ("AUROC for it", "number"),
    "coarse_label": ("Best coarse label", "text"),
    "coarse_label_average_precision": ("Average precision for that", "number"),
    "coarse_label_auroc": ("AUROC for that", "number"),
    "replication": ("Correlation between halves of the cells", "number"),
    "gene_cosine": ("Cosine of its genes between halves", "number"),
    "replicated": ("Found again in other cells", "truth"),
    "stability": ("Correlation between two starts", "number"),
    "held_out_gain": ("Held-out error without it", "gain"),
}
# Shown elsewhere in a card.
ELSEWHERE = {
    "layer", "program", "name", "markers", "parent", "flags", "believe",
    "gene_set", "gene_set_adjusted_p", "gene_set_genes", "condition", "condition_effect",
    "condition_adjusted_p",
}  # fmt: skip


def evidence_of(row: dict[str, Any]) -> list[dict[str, str]]:
    """The figures of a program in the order of its row: ``title`` and ``value``, both text."""
    return [
        {"title": title_of(column), "value": written(value, COLUMNS.get(column, ("", ""))[1])}
        for column, value in row.items()
        if column not in ELSEWHERE and not is_missing(value)
    ]


def title_of(column: str) -> str:
    """What a card calls a column."""
    return COLUMNS[column][0] if column in COLUMNS else column.replace("_", " ").capitalize()


def written(value: Any, kind: str = "") -> str:
    """A value as text; numbers of no known kind with three digits."""
    if is_missing(value):
        return ""
    if kind == "truth":
        return "yes" if str(value).lower() in ("true", "1", "1.0", "yes") else "no"
    if isinstance(value, str) or kind == "text":
        return str(value)
    if kind == "percent":
        return percent(float(value))
    if kind == "gain":
        return f"{100 * float(value):+.2f} %"
    if kind == "fine" and not float(value).is_integer():
        return f"{float(value):.3f}"
    if kind == "whole" or float(value).is_integer():
        return whole(float(value))
    return f"{float(value):.3g}" if abs(float(value)) < 0.01 else f"{float(value):.2f}"


def whole(value: float) -> str:
    """A whole number: 12,345."""
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """A share of 1 as percent: 0.4 %, 12 %."""
    number = 100 * share
    return f"{number:.1f} %" if 0 < number < 10 else f"{number:.0f} %"


def p_value(value: Any) -> str:
    """A p-value: 0.87, 1.2e-10; nothing where there is none."""
    if is_missing(value):
        return ""
    return f"{float(value):.2f}" if float(value) >= 0.1 else f"{float(value):.1e}"


def is_missing(value: Any) -> bool:
    """Whether a table's cell is empty."""
    return bool(pd.isna(value)) or value == ""


def listed(words: list[str]) -> str:
    """The words as in a sentence: a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(number: int, noun: str) -> str:
    """A number and its noun: 1 program, 12 programs."""
    return f"{whole(number)} {noun}" if number == 1 else f"{whole(number)} {noun}s"
