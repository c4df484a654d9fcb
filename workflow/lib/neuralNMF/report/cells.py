"""The cells of the page: some of them, where they lie, and what they can be coloured by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from neuralNMF.colours import hexadecimal, label_colours
from neuralNMF.labels import as_labels, label_column
from neuralNMF.report.pack import pack, pack_words, quantised
from neuralNMF.report.programs import Card, grouping_columns
from neuralNMF.report.source import Source, program_id
from neuralNMF.sampling import sample_cells

MOST_CELLS = 50_000
# Values of shares, and letters of packed genes, that keep the page below 10 MB.
SHARES_ROOM = 2_800_000
GENES_ROOM = 2_200_000
FEWEST = 1000  # cells, however many programs there are
FINE = 65_535  # steps of a coordinate
COARSE = 255  # steps of a share or of an expression


def cells_of(source: Source, cards: list[Card]) -> dict[str, Any]:
    """The cells with their places and all that colours them, packed."""
    places = places_of(source)
    shown = shown_cells(source, places)
    obs = source.obs.iloc[shown]
    return {
        "total": len(source.obs),
        "shown": len(shown),
        "names": pack_words([str(name) for name in obs.index]),
        "places": [
            {"name": name, "x": _coordinate(xy[shown, 0]), "y": _coordinate(xy[shown, 1])}
            for name, xy in places.items()
        ],
        "shares": {
            program_id(layer, program): pack(_root_steps(shares[shown, program]))
            for layer, shares in enumerate(source.shares, start=1)
            for program in range(shares.shape[1])
        },
        # From 1 on; 0 of a cell that uses no program.
        "main": [pack((mains[shown] + 1).astype(np.uint16)) for mains in source.mains],
        "groups": _groups(obs, grouping_columns(source)),
        "numbers": _numbers(source, obs),
        "genes": _expression(source, shown, cards),
    }


def places_of(source: Source) -> dict[str, np.ndarray]:
    """Where the cells lie, (N, 2) by a name for people: UMAPs, or what stands in for them.

    NaN of a cell that has no place.
    """
    places = {}
    if source.umap is not None:
        rows = source.obs.index.astype(str).get_indexer(source.umap["cell"].astype(str))
        for layer in range(1, source.depth + 1):
            axes = [f"l{layer}_umap{axis}" for axis in (1, 2)]
            if axes[0] in source.umap:
                xy = np.full((len(source.obs), 2), np.nan)
                xy[rows] = source.umap[axes].to_numpy()
                places[f"UMAP of the usage of layer {layer}"] = xy
    if not places:
        name = "first two principal components of the usage of layer 1"
        places[name] = principal_components(source.shares[0])
    return places


def shown_cells(source: Source, places: dict[str, np.ndarray]) -> np.ndarray:
    """Which cells the page shows, in their order: those with places, or as many as it can hold.

    Of more, a sample in proportion to their main programs.
    """
    placed = np.isfinite(np.column_stack(list(places.values()))).all(axis=1)
    cells = np.flatnonzero(placed)
    most = min(MOST_CELLS, max(SHARES_ROOM // sum(source.ranks), FEWEST))
    rng = np.random.default_rng(source.info["seed"])
    return cells[sample_cells(len(cells), most, rng=rng, groups=source.mains[0][cells] + 1)]


def principal_components(shares: np.ndarray) -> np.ndarray:
    """The cells on the two directions in which their shares differ most, (N, 2)."""
    centred = shares - shares.mean(axis=0, dtype=np.float64)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :2]
    # One sign for each, whatever the linear algebra library gives.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(directions.shape[1])])
    found = centred @ directions
    return np.column_stack([found, np.zeros((len(found), 2 - found.shape[1]))])


def _coordinate(values: np.ndarray) -> str:
    return pack(quantised(values, float(values.min()), float(values.max()), FINE))


def _root_steps(shares: np.ndarray) -> np.ndarray:
    """Shares as the square of a part of 255, so that small ones differ, too."""
    return quantised(np.sqrt(shares), 0.0, 1.0, COARSE)


def _groups(obs: pd.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """Columns of labels, each with its groups, their colours, and each cell's group from 1 on."""
    columns = [as_labels(label_column(obs, name)) for name in names]
    colours = label_colours([labels.names for labels in columns])
    return [
        {
            "name": name,
            "groups": labels.names,
            "colours": hexadecimal(painted),
            "codes": pack((labels.codes + 1).astype(np.uint8)),
        }
        for name, labels, painted in zip(names, columns, colours, strict=True)
    ]


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
