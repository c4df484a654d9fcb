"""The pieces of a part: ranges of the cells of some inputs, opened one after the other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from neuralNMF.dataset.options import InputSpec
from neuralNMF.dataset.part_states import State, filtered_input
from neuralNMF.dataset.passes import FilteredInput, OpenedInput, batches_of
from neuralNMF.errors import InputError
from neuralNMF.io.counts import open_counts
from neuralNMF.io.unchanged import state_of


@dataclass(frozen=True)
class Piece:
    """Some cells of an input: one of several ranges of about the same number of cells.

    Attributes
    ----------
    source : InputSpec
        The input.
    number : int
        Of the range, from 0 on.
    of : int
        How many ranges there are; 1: all cells.
    """

    source: InputSpec
    number: int = 0
    of: int = 1

    def cells(self, total: int, chunk: int) -> range:
        """Its cells of so many: whole chunks, so that sums over a chunk are those of one reader."""
        chunks = -(-total // chunk)
        first, past = (chunks * part // self.of * chunk for part in (self.number, self.number + 1))
        return range(min(first, total), min(past, total))


def pieces_of(
    paths: Sequence[str | Path],
    names: Sequence[str],
    layers: Sequence[str | None],
    ranges: Sequence[Sequence[int]],
) -> list[Piece]:
    """Pieces, from lists with an entry for each: path, name, layer, and (number, of)."""
    listed = zip(paths, names, layers, ranges, strict=True)
    return [Piece(InputSpec(path, name, layer), *own) for path, name, layer, own in listed]


@contextmanager
def opened_piece(
    piece: Piece, folder: Path, batch: str | None, chunk_cells: int, progress: bool
) -> Iterator[OpenedInput]:
    """A piece, open, with all genes; an input that has to be sorted first is opened whole only."""
    source, by_range = piece.source, piece.of > 1
    with open_counts(source.path, source.layer, temporary=folder, by_range=by_range) as reader:
        cells = piece.cells(reader.shape[0], chunk_cells)
        batches = batches_of(reader, source.name, batch)[cells.start : cells.stop]
        genes = np.arange(reader.shape[1])
        yield OpenedInput(source.name, reader, genes, chunk_cells, progress, batches, cells)


def stamp_of(path: Path) -> dict[str, list[int]]:
    """Sizes and times of an input's files, by which one that was changed since is known."""
    return {name: [size, time] for name, (_, size, time) in state_of(path).items()}


def counted_before(
    pieces: Sequence[Piece],
    counted: Sequence[State],
    state: State,
    folder: Path,
    chunk_cells: int,
    progress: bool,
) -> Iterator[FilteredInput]:
    """The pieces of a part one after the other, open again after they were counted."""
    for piece, known in zip(pieces, counted, strict=True):
        name = piece.source.name
        with opened_piece(piece, folder, state["batch"], chunk_cells, progress) as opened:
            if (known["name"], known["stamp"]) != (name, stamp_of(opened.reader.path)):
                raise InputError(
                    f"'{piece.source.path}' was changed after its cells were counted: run the "
                    "workflow again when nothing else writes there."
                )
            columns = state["columns"][state["names"].index(name)]
            yield filtered_input(replace(opened, columns=columns), known)
