"""Try one size of the first layer."""

from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.tables import write_table
from neuralNMF.options import LayerOptions
from neuralNMF.sizes.trial import Trials
from nmf_workflow.script import run


def main(snakemake):
    """Dataset in, a table of one row out."""
    params = snakemake.params
    options = LayerOptions(**params.options, **params.where, threads=snakemake.threads)
    trials = Trials(open_dataset(snakemake.input.dataset), options)
    write_table(trials.first_layers([int(snakemake.wildcards.size)]), snakemake.output[0])


run(main, snakemake)
