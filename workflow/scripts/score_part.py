"""Read a part of a sample's inputs again, for the variable genes."""

from neuralNMF.dataset import pieces_of, score_part
from nmf_workflow.script import run


def main(snakemake):
    """Counts and what is known of them in, what was seen out."""
    given, params = snakemake.input, snakemake.params
    pieces = pieces_of(given.counts, params.names, params.layers, params.ranges)
    score_part(pieces, given.counted, given.filtered, snakemake.output[0])


run(main, snakemake)
