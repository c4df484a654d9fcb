"""Choose the genes of a data set in parts."""

from neuralNMF.dataset import choose_genes_of
from nmf_workflow.script import run


def main(snakemake):
    """What was seen in, genes and their table out."""
    given, output = snakemake.input, snakemake.output
    choose_genes_of(given.filtered, given.scored, output.chosen, output.genes)


run(main, snakemake)
