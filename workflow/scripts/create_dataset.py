"""Build a sample's data set from its counts files."""

from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset
from nmf_workflow.script import run


def main(snakemake):
    """Write the data set and the table of genes."""
    params = snakemake.params
    inputs = [
        InputSpec(path, name, layer)
        for path, name, layer in zip(
            snakemake.input.counts, params.names, params.layers, strict=True
        )
    ]
    build_dataset(
        inputs,
        snakemake.output.dataset,
        DatasetOptions(**params.options),
        genes_table=snakemake.output.genes,
    )


run(main, snakemake)
