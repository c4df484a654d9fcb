"""What the steps of a data set in parts tell each other, in the types of `io.states`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuralNMF.dataset.choose_genes import GeneChoice
from neuralNMF.dataset.gene_statistics import CountedInput, GeneStatistics
from neuralNMF.dataset.passes import FilteredInput, OpenedInput
from neuralNMF.dataset.ways import Way, statistics_of_batches
from neuralNMF.errors import InputError
from neuralNMF.io.states import read_state

State = dict[str, Any]
_SUMS = ("cells", "n_cells", "sums", "squares")


def read(path: str | Path) -> State:
    """Read what a step wrote; InputError where it is not there."""
    state = read_state(path)
    if state is None:
        raise InputError(f"There is no '{path}': run the workflow again, which makes it.")
    return state


def input_state(
    filtered: FilteredInput, part: tuple[int, int], checksum: dict[str, int | str] | None
) -> State:
    """What was counted in a range of the cells of an input.

    Parameters
    ----------
    filtered : FilteredInput
    part : (int, int)
        Number of the range, and of how many.
    checksum : dict or None
        Of the whole input, in its first range.
    """
    reader, parts = filtered.opened.reader, filtered.counted.parts
    return {
        "name": filtered.name,
        "range": list(part),
        "gene_ids": reader.gene_ids.astype(str).tolist(),
        "gene_symbols": reader.gene_symbols.astype(str).tolist(),
        "checksum": checksum,
        "totals": filtered.totals,
        "kept": filtered.kept,
        "batches": {
            name: {key: getattr(statistics, key) for key in _SUMS}
            for name, statistics in parts.items()
        },
    }


def filtered_input(opened: OpenedInput, known: State) -> FilteredInput:
    """An input that is open again, after what was counted in it before."""
    parts = {name: _of_genes(each, opened.columns) for name, each in _batches(known).items()}
    counted = CountedInput(opened.name, parts)
    return FilteredInput(opened, known["totals"], known["kept"], counted)


def nonzeros(known: State, columns: np.ndarray) -> int:
    """Non-zero counts of the kept cells of a range in some genes."""
    return sum(int(each.n_cells[columns].sum()) for each in _batches(known).values())


class Counted:
    """An input, from what was counted in the ranges of its cells.

    Parameters
    ----------
    ranges : sequence of dict
        What `input_state` gave, in the order of the cells.

    Attributes
    ----------
    name : str
    gene_ids, gene_symbols : ndarray of str, (M,)
    cells, kept : int
        How many there are, and those with enough counts.
    largest : float
        The most counts that a cell has.
    checksum : dict
        Of the whole input.
    """

    def __init__(self, ranges: Sequence[State]) -> None:
        first = ranges[0]
        self.name: str = first["name"]
        self.gene_ids = np.array(first["gene_ids"], dtype=object)
        self.gene_symbols = np.array(first["gene_symbols"], dtype=object)
        self.cells = sum(each["kept"].size for each in ranges)
        self.kept = sum(int(each["kept"].sum()) for each in ranges)
        self.largest = max((float(each["totals"].max(initial=0)) for each in ranges), default=0.0)
        self.checksum = first["checksum"]
        if [each["range"] for each in ranges] != [[n, len(ranges)] for n in range(len(ranges))]:
            raise InputError(f"Several inputs are named '{self.name}': give each its own name.")
        for each in ranges:
            if any(each[key] != first[key] for key in ("stamp", "gene_ids", "gene_symbols")):
                raise InputError(
                    f"The input '{self.name}' was changed while its cells were counted: run the "
                    "workflow again when nothing else writes there."
                )
        self._ranges = [CountedInput(self.name, _batches(each)) for each in ranges]

    def of_genes(self, columns: np.ndarray) -> CountedInput:
        """The statistics of some genes, (m,) of them."""
        parts = sorted(statistics_of_batches(self._ranges).items())
        return CountedInput(self.name, {name: _of_genes(each, columns) for name, each in parts})


def counted_inputs(paths: Sequence[str | Path]) -> list[Counted]:
    """All inputs, from what was counted in all parts in their order."""
    inputs: dict[str, list[State]] = {}
    for path in paths:
        for each in read(path)["inputs"]:
            inputs.setdefault(each["name"], []).append(each)
    return [Counted(ranges) for ranges in inputs.values()]


def choice_state(choice: GeneChoice) -> State:
    """Genes that were filtered, before the ways to find variable ones have seen counts."""
    return {
        "table": table_state(choice.table),
        "reasons": choice.reasons.tolist(),
        "included": choice.included,
        "ways": [{"inputs": way.inputs, "settings": way.settings} for way in choice.ways],
    }


def choice_of(state: State) -> GeneChoice:
    """The `GeneChoice` of `choice_state`."""
    ways = [Way(each["inputs"], each["settings"]) for each in state["ways"]]
    reasons = np.array(state["reasons"], dtype=object)
    return GeneChoice(table_of(state["table"]), reasons, state["included"], ways)


def table_state(table: pd.DataFrame) -> list[list[Any]]:
    """A table of texts and numbers, column by column."""
    return [
        [name, column.to_numpy() if column.dtype.kind in "buif" else column.tolist()]
        for name, column in table.items()
    ]


def table_of(state: list[list[Any]]) -> pd.DataFrame:
    """The table of `table_state`, its rows numbered."""
    return pd.DataFrame(
        {
            name: values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
            for name, values in state
        }
    )


def _batches(state: State) -> dict[str, GeneStatistics]:
    return {name: _statistics(**each) for name, each in state["batches"].items()}


def _of_genes(statistics: GeneStatistics, columns: np.ndarray) -> GeneStatistics:
    sums = (getattr(statistics, key)[columns] for key in _SUMS[1:])
    return _statistics(statistics.cells, *sums)


def _statistics(
    cells: int, n_cells: np.ndarray, sums: np.ndarray, squares: np.ndarray
) -> GeneStatistics:
    made_of = GeneStatistics(sums.size)
    made_of.cells, made_of.n_cells, made_of.sums, made_of.squares = cells, n_cells, sums, squares
    return made_of
