"""From counts files to one data set: filters, variable genes, genes joined by name.

It reads and writes through `neuralNMF.io`; `build_dataset` is the door. The steps of `parts` do the
same by many jobs, in several files.
"""

from neuralNMF.dataset.build import build_dataset
from neuralNMF.dataset.options import DatasetOptions, DatasetSummary, InputSpec
from neuralNMF.dataset.parts import (
    choose_genes_of,
    count_part,
    filter_genes_of,
    join_dataset,
    score_part,
    write_part,
)
from neuralNMF.dataset.pieces import Piece, pieces_of

__all__ = [
    "DatasetOptions",
    "DatasetSummary",
    "InputSpec",
    "Piece",
    "build_dataset",
    "choose_genes_of",
    "count_part",
    "filter_genes_of",
    "join_dataset",
    "pieces_of",
    "score_part",
    "write_part",
]
