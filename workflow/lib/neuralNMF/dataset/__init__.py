"""From counts files to one data set: filters, variable genes, genes joined by name.

It reads and writes through `neuralNMF.io`; `build_dataset` is the door.
"""

from neuralNMF.dataset.build import build_dataset
from neuralNMF.dataset.options import DatasetOptions, DatasetSummary, InputSpec

__all__ = ["DatasetOptions", "DatasetSummary", "InputSpec", "build_dataset"]
