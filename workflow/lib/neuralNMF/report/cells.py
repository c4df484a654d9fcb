"""The cells of the page: some of them, where they lie, and what they can be coloured by."""

from typing import Any

import numpy as np
import pandas as pd

from neuralNMF.labels import label_names
from neuralNMF.report.pack import pack, pack_words, quantised
from neuralNMF.report.programs import MOST_GROUPS, Card, grouping_columns
from neuralNMF.report.source import Source, program_id

MOST_CELLS = 50_000
# Values of shares, and letters of packed genes, that keep the page below 10 MB.
SHARES_ROOM = 2_800_000
GENES_ROOM = 2_200_000
FINE = 65_535  # steps of a coordinate
COARSE = 255  # steps of a share or of an expression


def cells_of(source: Source, cards: list[Card]) -> dict[str, Any]:
    """The cells with coordinates and all that colours them, packed; `docs/report.md` says what."""
    shown = shown_cells(len(source.obs), sum(source.ranks))
    obs = source.obs.iloc[shown]
    return {
        "total": len(source.obs),
        "shown": len(shown),
        "names": pack_words([str(name) for name in obs.index]),
        "places": _places(source, shown),
        "shares": {
            program_id(layer, program): pack(_root_steps(shares[shown, program]))
            for layer, shares in enumerate(source.shares, start=1)
            for program in range(shares.shape[1])
        },
        "main": [pack(_codes(shares[shown].argmax(axis=1))) for shares in source.shares],
        "groups": [_group(name, obs[name]) for name in grouping_columns(source)],
        "numbers": _numbers(source, obs),
        "genes": _expression(source, shown, cards),
    }


def shown_cells(cells: int, programs: int) -> np.ndarray:
    """Which cells the page shows, in their order: all, or a random sample of those it can hold."""
    most = min(MOST_CELLS, max(SHARES_ROOM // max(programs, 1), 1000))
    if cells <= most:
        return np.arange(cells)
    return np.sort(np.random.default_rng(0).choice(cells, most, replace=False))


def principal_components(shares: np.ndarray) -> np.ndarray:
    """The cells on the two directions in which their shares differ most, (N, 2)."""
    centred = shares - shares.mean(axis=0, dtype=np.float64)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :2]
    # One sign for each, whatever the linear algebra library gives.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(directions.shape[1])])
    found = centred @ directions
    return np.column_stack([found, np.zeros((len(found), 2 - found.shape[1]))])


def _places(source: Source, shown: np.ndarray) -> list[dict[str, Any]]:
    places = dict(source.embeddings)
    if not places:
        name = "first two principal components of the usage of layer 1"
        places = {name: principal_components(source.shares[0])}
    return [
        {"name": name, "x": _coordinate(xy[shown, 0]), "y": _coordinate(xy[shown, 1])}
        for name, xy in places.items()
    ]


def _coordinate(values: np.ndarray) -> str:
    return pack(quantised(values, float(values.min()), float(values.max()), FINE))


def _root_steps(shares: np.ndarray) -> np.ndarray:
    """Shares as the square of a part of 255, so that small ones differ, too."""
    return quantised(np.sqrt(shares), 0.0, 1.0, COARSE)


def _codes(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.uint8 if numbers.max(initial=0) < 256 else np.uint16)


def _group(name: str, column: pd.Series) -> dict[str, Any]:
    """A column of labels: its groups by their cells, most first, and each cell's; 0 is no label."""
    words = label_names(column)
    names, counts = np.unique(words[words != ""], return_counts=True)
    if len(names) > MOST_GROUPS:
        # Labels of the user's choice, whose number nobody limits.
        names = names[np.argsort(-counts, kind="stable")[:MOST_GROUPS]]
        names.sort()
    place = {str(each): number for number, each in enumerate(names, start=1)}
    codes = np.array([place.get(str(word), 0) for word in words], dtype=np.uint8)
    return {"name": name, "groups": list(place), "codes": pack(codes)}


def _numbers(source: Source, obs: pd.DataFrame) -> list[dict[str, Any]]:
    """Columns of numbers, on a logarithm where they span more than a factor of ten."""
    found = []
    for name in obs.columns:
        column = obs[name]
        if name in source.labels.values() or not pd.api.types.is_numeric_dtype(column):
            continue
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        known = values[np.isfinite(values)]
        if len(known) < 2 or known.min() == known.max():
            continue
        low, high = float(known.min()), float(known.max())
        logarithm = low > 0 and high > 10 * low
        scaled = np.log(np.where(values > 0, values, low)) if logarithm else values
        least, most = (np.log(low), np.log(high)) if logarithm else (low, high)
        steps = quantised(np.nan_to_num(scaled, nan=least), least, most, COARSE)
        found.append(
            {"name": name, "low": low, "high": high, "log": logarithm, "steps": pack(steps)}
        )
    return found


def _expression(source: Source, shown: np.ndarray, cards: list[Card]) -> dict[str, Any]:
    """Expression of the markers, the best of each program first, as many as there is room for.

    Of each gene ``steps`` of log(1 + counts at the median library size), and ``high``, the counts
    of the highest step.
    """
    first: dict[str, int] = {}
    for gene, symbol in enumerate(source.symbols):
        first.setdefault(str(symbol), gene)
    longest = max((len(card["markers"]) for card in cards), default=0)
    wanted = dict.fromkeys(
        card["markers"][rank]["gene"]
        for rank in range(longest)
        for card in cards
        if rank < len(card["markers"])
    )
    counts = source.counts[shown].tocsc()
    totals = source.obs["total_counts"].to_numpy(dtype=np.float64)[shown]
    scale = np.median(totals) / np.maximum(totals, 1.0)
    packed: dict[str, Any] = {}
    room = GENES_ROOM
    for symbol in wanted:
        values = np.log1p(counts[:, [first[symbol]]].toarray()[:, 0] * scale)
        high = float(values.max(initial=0.0))
        text = pack(quantised(values, 0.0, high, COARSE))
        room -= len(text)
        if room < 0:
            break
        packed[symbol] = {"steps": text, "high": round(float(np.expm1(high)), 3)}
    return packed
