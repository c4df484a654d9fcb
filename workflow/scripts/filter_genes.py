"""Join the genes of a sample's inputs, and filter them."""

from neuralNMF.dataset import DatasetOptions, filter_genes_of
from nmf_workflow.script import run


def main(snakemake):
    """What was counted in, genes out."""
    options = DatasetOptions(**snakemake.params.options)
    filter_genes_of(snakemake.input.counted, snakemake.output[0], options)


run(main, snakemake)
