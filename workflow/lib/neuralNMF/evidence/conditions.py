"""Programs of a condition: how their usage differs between conditions, a donor at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, mannwhitneyu, wilcoxon

from neuralNMF.evidence.usage import shares
from neuralNMF.labels import are_groups

_log = logging.getLogger(__name__)

# A program is called a condition's from this effect on, and below this adjusted p-value.
LEAST_EFFECT, LARGEST_P = 0.5, 0.05
# Donors in each condition, or in both; of fewer no p-value says anything.
FEWEST_DONORS = 3
_COLUMNS = [
    "layer",
    "program",
    "name",
    "condition",
    "unit",
    "units",
    "units_others",
    "median_share",
    "median_share_others",
    "log2_ratio",
    "effect",
    "p",
    "adjusted_p",
    "called",
]


def condition_table(
    usages: Sequence[np.ndarray],
    names: Sequence[Sequence[str]],
    conditions: np.ndarray,
    donors: np.ndarray | None = None,
) -> pd.DataFrame:
    """Test for every program whether its share of the usage differs between conditions.

    Parameters
    ----------
    usages : sequence of ndarray, (N, k_l) each
        U_l.
    names : sequence of sequence of str
        Of the programs of each layer.
    conditions : ndarray of str, (N,)
        "" of a cell without one.
    donors : ndarray of str or None, (N,)
        With donors, their mean shares are compared, not the cells: cells of one donor are no
        independent observations. Donors in both conditions are compared with themselves.

    Returns
    -------
    DataFrame
        A row for each program and condition against all others (of two conditions, one row: the
        one that uses the program more); docs/batches.md describes the columns.
    """
    if not are_groups(conditions):
        _log.warning(
            "conditions: %d of them in %d cells are no groups of cells, so nothing is tested.",
            np.unique(conditions).size,
            conditions.size,
        )
        return pd.DataFrame(columns=_COLUMNS)
    if donors is not None and not are_groups(donors):
        _log.warning(
            "donors: %d of them in %d cells are no groups of cells, so cells are compared, as if "
            "there were none.",
            np.unique(donors).size,
            donors.size,
        )
        donors = None
    there = conditions != ""
    levels = np.unique(conditions[there])
    tables = []
    for layer, (usage, of_programs) in enumerate(zip(usages, names, strict=True), start=1):
        of_cells = shares(usage)[there]
        own = None if donors is None else donors[there]
        rows = list(_rows(of_cells, conditions[there], levels, own))
        table = pd.DataFrame(rows)
        if table.empty:
            continue
        tested = table["p"].notna()
        table["adjusted_p"] = np.nan
        if tested.any():
            table.loc[tested, "adjusted_p"] = false_discovery_control(table.loc[tested, "p"])
        table["called"] = (table["adjusted_p"] < LARGEST_P) & (table["effect"] >= LEAST_EFFECT)
        table.insert(0, "layer", layer)
        table.insert(2, "name", [of_programs[int(name[1:]) - 1] for name in table["program"]])
        tables.append(table.sort_values(["called", "effect"], ascending=False, kind="stable"))
    if not tables:
        _log.warning(
            "conditions: all cells are of one condition, or of none, so there is nothing to test."
        )
        return pd.DataFrame(columns=_COLUMNS)
    return pd.concat(tables, ignore_index=True)


def _rows(
    of_cells: np.ndarray, conditions: np.ndarray, levels: np.ndarray, donors: np.ndarray | None
) -> Iterator[dict[str, Any]]:
    """One program and condition at a time, before p-values are adjusted."""
    if levels.size < 2:
        return
    for program in range(of_cells.shape[1]):
        tests = [_test(of_cells[:, program], conditions == level, donors) for level in levels]
        found = [{"program": f"P{program + 1}", "condition": str(level), **test}
                 for level, test in zip(levels, tests, strict=True)]  # fmt: skip
        yield from [max(found, key=lambda row: row["effect"])] if levels.size == 2 else found


def _test(share: np.ndarray, inside: np.ndarray, donors: np.ndarray | None) -> dict[str, Any]:
    """The difference of a program's share between the cells inside and all others."""
    if donors is None:
        return _unpaired(share[inside], share[~inside], "cells")
    known = donors != ""
    means = [
        pd.Series(share[cells & known]).groupby(donors[cells & known]).mean()
        for cells in (inside, ~inside)
    ]
    both = means[0].index.intersection(means[1].index)
    if len(both) >= max(2, min(len(means[0]), len(means[1])) / 2):
        return _paired(means[0][both].to_numpy(), means[1][both].to_numpy())
    return _unpaired(means[0].to_numpy(), means[1].to_numpy(), "donors")


def _unpaired(one: np.ndarray, other: np.ndarray, unit: str) -> dict[str, Any]:
    """Mann-Whitney; the effect is P(one > other) - P(one < other), from -1 to 1."""
    figures = _figures(one, other, unit)
    if not one.size or not other.size:
        return figures
    test = mannwhitneyu(one, other)
    figures["effect"] = float(2 * test.statistic / (one.size * other.size) - 1)
    if unit == "cells" or min(one.size, other.size) >= FEWEST_DONORS:
        figures["p"] = float(test.pvalue)
    return figures


def _paired(one: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """Wilcoxon's signed ranks; the effect is the share of the ranks up less that down."""
    figures = _figures(one, other, "paired donors")
    difference = one - other
    if not difference.any():
        return figures | {"effect": 0.0}
    ranks = pd.Series(np.abs(difference[difference != 0])).rank().to_numpy()
    signs = np.sign(difference[difference != 0])
    figures["effect"] = float((signs * ranks).sum() / ranks.sum())
    if one.size >= FEWEST_DONORS:
        figures["p"] = float(wilcoxon(one, other).pvalue)
    return figures


def _figures(one: np.ndarray, other: np.ndarray, unit: str) -> dict[str, Any]:
    medians = [float(np.median(part)) if part.size else np.nan for part in (one, other)]
    means = [float(part.mean()) if part.size else np.nan for part in (one, other)]
    ratio = np.log2(means[0] / means[1]) if min(means) > 0 else np.nan
    return {
        "unit": unit,
        "units": one.size,
        "units_others": other.size,
        "median_share": medians[0],
        "median_share_others": medians[1],
        "log2_ratio": float(ratio),
        "effect": 0.0,
        "p": np.nan,
    }
