"""Write simulated counts as a counts file, with the original's names."""

import scipy.sparse as sp
from neuralNMF.io.h5 import write_h5
from neuralNMF.io.simulation import load_simulation
from nmf_workflow.script import run


def main(snakemake):
    """Name cells 0, 1, ... and genes c0, c1, ... and write them."""
    counts = sp.csr_matrix(load_simulation(snakemake.input[0]).counts)
    barcodes = [str(i) for i in range(counts.shape[0])]
    genes = [f"c{j}" for j in range(counts.shape[1])]
    write_h5(snakemake.output[0], barcodes, genes, counts)


run(main, snakemake)
