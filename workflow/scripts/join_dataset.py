"""Put the parts of a data set together."""

from neuralNMF.dataset import join_dataset
from nmf_workflow.script import run


def main(snakemake):
    """Parts in, the data set that names them out."""
    join_dataset(snakemake.input.chosen, snakemake.input.parts, snakemake.output[0])


run(main, snakemake)
