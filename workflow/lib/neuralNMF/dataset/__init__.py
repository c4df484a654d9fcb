"""From counts files to one data set: filters, variable genes, genes joined by name."""

from neuralNMF.dataset.build import build_dataset
from neuralNMF.dataset.options import DatasetOptions, DatasetSummary, InputSpec

__all__ = ["DatasetOptions", "DatasetSummary", "InputSpec", "build_dataset"]
