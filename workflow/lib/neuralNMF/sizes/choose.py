"""The choice among sizes that were tried."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuralNMF.evidence.levels import gaps, merge_costs
from neuralNMF.io.model import Model
from neuralNMF.options import COARSER, DEEPEST
from neuralNMF.sizes.trial import COLUMNS, ERRORS, FINE, NOT_TRIED, Row, Trials

_log = logging.getLogger(__name__)

# Of the programs of a layer, so many must be found again.
FOUND_AGAIN = 0.9
# A larger size must lower the held-out error by this many standard errors of the difference, and
# for each further program by this share of what a program has brought on average so far.
_ERROR_BARS, _ELBOW = 2.0, 0.02
# Of the programs that a further layer is asked for, so many must be there in the end.
_ASKED = 0.9
# Coarse programs that a fine one is part of, on average: more is no grouping.
_PARENTS = 1.5
# A further layer has so many programs that to put two of them together, too, costs this many times
# more than what was put together last; and so many sizes are tried, where it does so most. Programs
# drawn at random, which have no level, come to 1.2 (median of the largest), planted ones to 7 to 9.
_GAP, _MOST_TRIED = 1.25, 6


@dataclass(frozen=True)
class Choice:
    """The layers that were chosen, and why.

    Attributes
    ----------
    layers : list of int
        What each layer is asked for.
    reason : str
        In a sentence or a few.
    tried : DataFrame
        A row for each size that was tried, and for those of further layers that were not worth
        it; ``chosen`` marks those of the layers.
    """

    layers: list[int]
    reason: str
    tried: pd.DataFrame


def choose_layers(
    trials: Trials,
    tried: pd.DataFrame,
    *,
    lists: Sequence[Sequence[int]] | None = None,
    refine: bool = True,
) -> Choice:
    """Choose the sizes of all layers.

    Parameters
    ----------
    trials : Trials
    tried : DataFrame
        First layers that were tried, a row each.
    lists : sequence of lists of int or None
        The only models that may be chosen, each with its layers or some of the first of them; None
        for any.
    refine : bool
        Whether sizes near the best first layer are tried too; not with ``lists``.
    """
    tried = tried.reindex(columns=COLUMNS)  # tables of before have no gap
    # Nothing before the first layer: a table that was read has NaN there.
    tried = tried.assign(before=tried["before"].fillna("").astype(str))
    size, reason = choose_first(tried)
    if refine and lists is None:
        near = _near(tried, size)
        if near:
            tried = pd.concat([tried, trials.first_layers(near)], ignore_index=True)
            size, reason = choose_first(tried)
    layers, reasons = [size], [reason]
    model = trials.model(layers)
    while len(layers) < DEEPEST or lists is not None:
        costs = merge_costs(model.usages[-1], model.betas[-1], trials.dataset.team)
        level = gaps(costs)
        sizes = _levels(level) if lists is None else _of_lists(layers, len(level), lists)
        if not sizes and lists is not None:
            break  # the lists end here
        further = _try_further(trials, model, layers, sizes, level)
        rows = [tried, further.rows]
        if lists is None:
            rows.append(_not_tried(further.rows, layers, level))
        tried = pd.concat([part for part in rows if len(part)], ignore_index=True)
        if further.reason:
            reasons.append(further.reason)
        if further.size is None or further.model is None:
            break
        layers.append(further.size)
        model = further.model
    before = ["-".join(map(str, layers[:depth])) for depth in range(len(layers))]
    tried["chosen"] = [
        row.layer <= len(layers)
        and row.before == before[row.layer - 1]
        and row.size == layers[row.layer - 1]
        for row in tried.itertuples()
    ]
    choice = Choice(layers, " ".join(reasons), tried)
    _log.info("layers %s: %s", layers, choice.reason)
    return choice


def choose_first(tried: pd.DataFrame) -> tuple[int, str]:
    """Choose the size of the first layer.

    Sizes with the same number of programs in the end are one; it is the smallest. The best is the
    largest whose programs are found again and for which the held-out error falls by more than its
    error bar, and for each further program by more than a fiftieth of what a program brought on
    average before: curved mixtures of programs make further ones that are found again, but hardly
    explain anything.

    Parameters
    ----------
    tried : DataFrame
        A row a size.

    Returns
    -------
    size : int
    reason : str
    """
    fine = tried[tried["status"] == FINE].sort_values(["programs", "size"])
    if fine.empty:
        size = int(tried["size"].min())
        return size, f"Layer 1: no size could be fitted ({tried['status'].iloc[0]})."
    smallest = int(fine["size"].min())
    real = fine[(fine["replicated"] >= FOUND_AGAIN) & (fine["held_out"] < 1.0)]
    real = real[[_gain(row, None)[1] for _, row in real.iterrows()]] if len(real) else real
    real = real.drop_duplicates("programs")
    if real.empty and fine["replicated"].isna().all():
        return smallest, (
            f"Layer 1: {smallest}, the smallest size that was tried: there are too few cells to "
            "see what is found again in half of them."
        )
    if real.empty:
        return smallest, (
            f"Layer 1: {smallest}, the smallest size that was tried, since no size has programs "
            "that are found again in other cells and explain held-out counts better than a single "
            "program does: these counts look like noise."
        )
    best, stopped = real.iloc[0], None
    for _, row in real.iloc[1:].iterrows():
        if _gain(row, best)[1]:
            best, stopped = row, None
        elif stopped is None:
            stopped = row
    size, programs = int(best["size"]), int(best["programs"])
    larger = fine[(fine["programs"] > programs) & (fine["replicated"] < FOUND_AGAIN)]
    why = (
        f"Layer 1: {programs} programs ({size} asked for), {_share(best)} found again in other "
        "cells"
    )
    if stopped is not None:
        lower = stopped["held_out"] < best["held_out"]
        why += (
            f"; {int(stopped['programs'])} programs "
            f"{'lower the held-out error by too little' if lower else 'raise the held-out error'}, "
            f"from {best['held_out']:.4f} to {stopped['held_out']:.4f} of that of one program"
        )
    elif len(larger):
        row = larger.iloc[0]
        why += f"; of {int(row['programs'])} programs only {_share(row)} are"
    return size, why + "."


def choose_further(tried: pd.DataFrame, before: int) -> tuple[int | None, str]:
    """Choose the size of a further layer, or none.

    Parameters
    ----------
    tried : DataFrame
        A row a size.
    before : int
        Programs of the layer before.

    Returns
    -------
    size : int or None
        The largest that groups the programs before and whose own are all found again; if of none
        all are, the largest with nine tenths.
    reason : str
    """
    layer = int(tried["layer"].iloc[0])
    fine = tried[tried["status"] == FINE]
    groups = fine[
        (fine["programs"] >= np.floor(_ASKED * fine["size"]))
        & (fine["programs"] >= 2)
        & (fine["programs"] <= np.ceil(COARSER * before))
        & (fine["parents"] <= _PARENTS)
    ]
    for least in (1.0, FOUND_AGAIN):
        found = groups[groups["replicated"] >= least]
        if len(found):
            best = found.sort_values(["programs", "size"], ascending=[True, False]).iloc[-1]
            return int(best["size"]), (
                f"Layer {layer}: {int(best['programs'])} programs group the {before} before, "
                f"{best['parents']:.2f} parents each on average, {_share(best)} found again"
                f"{_dearer(best)}."
            )
    return None, (
        f"No layer {layer}: no size groups the {before} programs in a way that is found again in "
        "other cells."
    )


@dataclass(frozen=True)
class _Further:
    """The trial of a further layer: the sizes that were tried, the best one and its model."""

    rows: pd.DataFrame
    size: int | None
    reason: str
    model: Model | None


def _try_further(
    trials: Trials, before: Model, layers: Sequence[int], sizes: Sequence[int], level: np.ndarray
) -> _Further:
    """Try sizes of a further layer, the largest first, until no smaller one can be chosen."""
    if not sizes:
        reason = _no_level(len(layers) + 1, len(level)) if _could_be(level) else ""
        return _Further(pd.DataFrame(columns=COLUMNS), None, reason, None)
    rows: list[Row] = []
    models: dict[int, Model | None] = {}
    trial = trials.later_layers(before, tuple(layers), sizes)
    for place, (row, model) in enumerate(trial, start=1):
        rows.append(row | {"gap": level[row["size"]]})
        models[row["size"]] = model
        table = pd.DataFrame(rows).reindex(columns=COLUMNS)
        further, reason = choose_further(table, before.layers[-1])
        models = {size: models[size] for size in models if size == further}
        if _is_last(table, further, sizes[place:]):
            break
    return _Further(table, further, reason, None if further is None else models[further])


def _is_last(tried: pd.DataFrame, size: int | None, smaller: Sequence[int]) -> bool:
    """Whether the best size of a further layer stays the best, whatever smaller ones are like."""
    if size is None or not smaller:
        return not smaller
    best = tried[tried["size"] == size].iloc[0]
    # A layer has at most as many programs as it is asked for.
    return bool(best["replicated"] == 1 and best["programs"] > max(smaller))


def _gain(row: pd.Series, best: pd.Series | None) -> tuple[float, bool]:
    """By how much the held-out error falls from one size to a larger one, and whether enough.

    Without a smaller one the error is compared with that of a single program, which is 1.
    """
    errors = row[ERRORS].to_numpy(np.float64)
    before = np.ones_like(errors) if best is None else best[ERRORS].to_numpy(np.float64)
    falls = before - errors
    bar = _ERROR_BARS * falls.std(ddof=1) / np.sqrt(falls.size)
    gain = float(falls.mean())
    if best is None:
        return gain, gain > bar
    more = row["programs"] - best["programs"]
    average = (1.0 - best["held_out"]) / max(best["programs"] - 1, 1)
    return gain, gain > max(bar, _ELBOW * average * more)


def _near(tried: pd.DataFrame, size: int) -> list[int]:
    """Sizes that are worth a trial: the programs' number of the best, and those on either side.

    The same of the size with the least held-out error, where its programs are not found again: one
    beside it may have most of what it explains.
    """
    asked, centres = sorted(tried["size"]), [size]
    if tried["held_out"].notna().any():
        least = tried.loc[tried["held_out"].astype(float).idxmin()]
        if least["replicated"] < FOUND_AGAIN:
            centres.append(int(least["size"]))
    near: set[int] = set()
    for centre in centres:
        place = asked.index(centre)
        near |= {int(number) for number in tried.loc[tried["size"] == centre, "programs"].dropna()}
        for other in (*asked[max(place - 1, 0) : place], *asked[place + 1 : place + 2]):
            near.add(round((centre + other) / 2))
    return sorted(near - set(asked) - {0, 1})


def _could_be(level: np.ndarray) -> range:
    """Numbers of programs that are thought of for the layer above one with these gaps."""
    return range(2, _most(len(level)) + 1)


def _most(programs: int) -> int:
    return round(COARSER * programs)


def _levels(level: np.ndarray) -> list[int]:
    """Sizes of the next layer that are tried, the largest first: where merges become dear."""
    sizes = [n for n in _could_be(level) if level[n] >= _GAP]
    return sorted(sorted(sizes, key=lambda n: -level[n])[:_MOST_TRIED], reverse=True)


def _not_tried(tried: pd.DataFrame, layers: Sequence[int], level: np.ndarray) -> pd.DataFrame:
    """Rows of the sizes of a further layer that were not worth a trial, with their gaps."""
    before = "-".join(map(str, layers))
    row = {"layer": len(layers) + 1, "before": before, "status": NOT_TRIED}
    left = [n for n in _could_be(level) if n not in set(tried["size"])]
    rows = pd.DataFrame([row | {"size": n, "gap": level[n]} for n in left])
    return rows.reindex(columns=COLUMNS)


def _dearer(best: pd.Series) -> str:
    if best["programs"] != best["size"] or np.isnan(best["gap"]):
        return ""
    return f"; to put two more together costs {best['gap']:.1f} times as much as the last two did"


def _no_level(layer: int, programs: int) -> str:
    return (
        f"No layer {layer}: whichever of the {programs} programs are put together, the next two "
        f"cost hardly more, so that no number of groups up to {_most(programs)} stands out."
    )


def _of_lists(layers: Sequence[int], programs: int, lists: Sequence[Sequence[int]]) -> list[int]:
    """Sizes of the next layer that are tried, the largest first, where models are given."""
    depth = len(layers)
    begun = [each for each in lists if list(each[:depth]) == list(layers)]
    given = {each[depth] for each in begun if len(each) > depth}
    return sorted((size for size in given if size < programs), reverse=True)


def _share(row: pd.Series) -> str:
    share = row["replicated"]
    return "all" if share == 1 else f"{share:.0%}"
