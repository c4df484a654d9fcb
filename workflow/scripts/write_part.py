"""Write the cells of a part of a sample's inputs with the chosen genes."""

from neuralNMF.dataset import pieces_of, write_part
from nmf_workflow.script import run


def main(snakemake):
    """Counts and the genes in, data set of the part out."""
    given, params = snakemake.input, snakemake.params
    pieces = pieces_of(given.counts, params.names, params.layers, params.ranges)
    write_part(pieces, given.counted, given.chosen, snakemake.output[0])


run(main, snakemake)
