"""From counts files to one data set: filters, variable genes, genes joined by name."""

from neuralNMF.build.dataset import build_dataset
from neuralNMF.build.options import DatasetOptions, DatasetSummary, InputSpec

__all__ = ["DatasetOptions", "DatasetSummary", "InputSpec", "build_dataset"]
