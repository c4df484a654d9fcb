"""The pieces of a part: ranges of the cells of some inputs, opened one after the other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neuralNMF.dataset.options import InputSpec
from neuralNMF.dataset.part_states import State, filtered_input
from neuralNMF.dataset.passes import FilteredInput, OpenedInput, batches_of
from neuralNMF.errors import InputError
from neuralNMF.io.counts import CountsReader, open_counts
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


@contextmanager
def reader_of(piece: Piece, folder: Path) -> Iterator[CountsReader]:
    """The input of a piece, open; one that has to be sorted first is opened for all cells only."""
    source, by_range = piece.source, piece.of > 1
    with open_counts(source.path, source.layer, temporary=folder, by_range=by_range) as reader:
        yield reader


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
        with reader_of(piece, folder) as reader:
            if (known["name"], known["stamp"]) != (name, stamp_of(reader.path)):
                raise InputError(
                    f"'{piece.source.path}' was changed after its cells were counted: run the "
                    "workflow again when nothing else writes there."
                )
            cells = piece.cells(reader.shape[0], chunk_cells)
            batches = batches_of(reader, name, state["batch"])[cells.start : cells.stop]
            columns = state["columns"][state["names"].index(name)]
            opened = OpenedInput(name, reader, columns, chunk_cells, progress, batches, cells)
            yield filtered_input(opened, known)
