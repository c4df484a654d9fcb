"""Count the cells and genes of a part of a sample's inputs."""

from neuralNMF.dataset import DatasetOptions, count_part, pieces_of
from nmf_workflow.script import run


def main(snakemake):
    """Counts in, what was counted out."""
    params = snakemake.params
    pieces = pieces_of(snakemake.input.counts, params.names, params.layers, params.ranges)
    count_part(pieces, snakemake.output[0], DatasetOptions(**params.options))


run(main, snakemake)
