"""Write simulated counts as a counts file, with the original's names."""

import scipy.sparse as sp
from neuralNMF.io.h5 import write_h5
from neuralNMF.io.simulation import cell_names, gene_names, load_simulation
from nmf_workflow.script import run


def main(snakemake):
    """Name cells and genes and write their counts."""
    counts = sp.csr_matrix(load_simulation(snakemake.input[0]).counts)
    cells, genes = counts.shape
    write_h5(snakemake.output[0], cell_names(cells), gene_names(genes), counts, simulated=True)


run(main, snakemake)
