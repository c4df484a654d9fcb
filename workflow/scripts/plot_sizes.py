"""Draw the sizes that were tried."""

from neuralNMF.io.figures import save_figure
from neuralNMF.io.tables import read_table
from neuralNMF.plots.sizes import plot_sizes
from nmf_workflow.script import run


def main(snakemake):
    """Table in, picture out."""
    save_figure(plot_sizes(read_table(snakemake.input[0])), *snakemake.output)


run(main, snakemake)
