"""What the report says of conditions: which programs they use more, how much, and how surely."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from neuralNMF.evidence.conditions import LARGEST_P, LEAST_EFFECT
from neuralNMF.report.drawing import CYCLE, axis, bars, chart, numbers
from neuralNMF.report.figures import counted, is_missing, listed, p_value, percent, written
from neuralNMF.report.source import Source

FAINT = 0.3  # of a bar whose difference is not called
NAMED = 3  # programs of a condition that a sentence names

Row = dict[str, Any]


def of_program(table: pd.DataFrame | None, layer: int, program: str) -> list[Row]:
    """The conditions of a card: whether one is ``called``, ``what`` is said, the ``figures``."""
    if table is None:
        return []
    rows = table[(table["layer"] == layer) & (table["program"] == program)]
    return [
        {"called": is_called(row), "what": _what(row), "figures": _figures(row)}
        for row in rows.to_dict("records")
    ]


def differences_of(source: Source) -> list[str]:
    """A sentence for each condition: how many programs of each layer it uses more, and which most.

    Empty where conditions were not compared; of none that differ one sentence.
    """
    table = source.conditions
    if table is None or table.empty:
        return []
    called = table[[is_called(row) for row in table.to_dict("records")]]
    if called.empty:
        return [
            f"No program is called: none has an effect of {LEAST_EFFECT} or more with an adjusted "
            f"p below {LARGEST_P}. {_by_what(table)}"
        ]
    lines = []
    for condition, rows in called.groupby(called["condition"].astype(str), sort=True):
        layers = [
            f"{counted(len(part), 'program')} of layer {layer}"
            for layer, part in rows.groupby("layer")
        ]
        best = rows.sort_values("effect", ascending=False, kind="stable").head(NAMED)
        names = [
            f"{row['name']} of layer {row['layer']} (effect {row['effect']:.2f})"
            for row in best.to_dict("records")
        ]
        lines.append(f"Used more in {condition}: {listed(layers)}; the most {listed(names)}.")
    lines[-1] += f" {_by_what(table)}"
    return lines


def charts_of_conditions(source: Source) -> Iterator[Row]:
    """The effect of each condition on each program, the coarsest layer first."""
    table = source.conditions
    if table is None or table.empty:
        return
    levels = sorted(table["condition"].astype(str).unique())
    all_programs = source.in_order[["layer", "program", "name"]]
    traces = []
    for number, level in enumerate(levels):
        own = table[table["condition"].astype(str) == level].drop(columns="name")
        rows = all_programs.merge(own, on=["layer", "program"], how="left")
        solid = [is_called(row) for row in rows.to_dict("records")]
        trace = bars(1, rows["name"].tolist(), numbers(rows["effect"]))
        trace["name"] = level
        trace["x"] = [[f"layer {layer}" for layer in rows["layer"]], rows["name"].tolist()]
        trace["marker"] = {
            "color": f"c{number % CYCLE}",
            "opacity": [1.0 if each else FAINT for each in solid],
        }
        traces.append(trace)
    # Of two conditions a program has one bar, in the colour of the one that uses it more.
    pairs = not table.duplicated(["layer", "program"]).any()
    yield chart(
        "conditions",
        "How the programs differ between conditions",
        f"{_which(pairs)} Effects go from -1 to 1: at 1 every one that was compared has more of "
        f"the program than all others. Faint: not called, the effect is below "
        f"{LEAST_EFFECT} or the adjusted p not below {LARGEST_P}. {_by_what(table)}",
        traces,
        _numbers(table),
        yaxis=axis("effect"),
        barmode="overlay" if pairs else "group",
    )


def is_called(row: Row) -> bool:
    """Whether a row of the table says that the conditions differ."""
    return str(row["called"]).lower() == "true"


def _which(pairs: bool) -> str:
    if pairs:
        return "Each program's bar has the colour of the condition that uses it more."
    return "Each condition beside all other cells."


def _by_what(table: pd.DataFrame) -> str:
    """What was compared with what."""
    found = set(table["unit"])
    if "cells" in found:
        return (
            "Single cells were compared: cells of one donor are not independent, so the p-values "
            "are too small; the key donor compares donors."
        )
    if table["p"].isna().all():
        return "There are too few donors for p-values."
    return "Donors were compared, not cells."


def _what(row: Row) -> str:
    condition, p = row["condition"], row["adjusted_p"]
    if is_called(row):
        return f"{condition} uses it more"
    if not is_missing(p) and p < LARGEST_P:
        return f"A little more in {condition}"
    return f"No sure difference; more in {condition}"


def _figures(row: Row) -> str:
    ratio = row["log2_ratio"]
    times = "" if is_missing(ratio) else f", the mean is {2.0 ** float(ratio):.1f} times as high"
    medians = f"{percent(row['median_share'])} against {percent(row['median_share_others'])}"
    units = f"{row['units']:.0f}"
    if row["unit"] != "paired donors":
        units += f" and {row['units_others']:.0f}"
    p = f", adjusted p {p_value(row['adjusted_p'])}" if not is_missing(row["adjusted_p"]) else ""
    return f"median share {medians}{times} (effect {row['effect']:.2f}{p}; {units} {row['unit']})"


def _numbers(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    titles = {
        "median_share": ("Median share", "percent"),
        "median_share_others": ("Of all others", "percent"),
        "effect": ("Effect", "number"),
    }
    rows = [
        [
            str(row["layer"]),
            str(row["name"]),
            str(row["condition"]),
            *(written(row[column], kind) for column, (_, kind) in titles.items()),
            p_value(row["adjusted_p"]),
            "yes" if is_called(row) else "no",
        ]
        for row in table.to_dict("records")
    ]
    named = [title for title, _ in titles.values()]
    return ["Layer", "Program", "Condition", *named, "Adjusted p", "Called"], rows
