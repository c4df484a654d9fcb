"""Draw counts with known programs."""

import numpy as np
from neuralNMF.io.simulation import save_simulation
from neuralNMF.simulate import simulate
from nmf_workflow.script import run


def main(snakemake):
    """Draw and save the counts and the truth."""
    params = snakemake.params
    simulation = simulate(
        params.cells,
        params.genes,
        params.programs,
        params.mode,
        rng=np.random.default_rng(params.seed),
        block_loadings=params.block_loadings,
    )
    save_simulation(snakemake.output[0], simulation, seed=params.seed)


run(main, snakemake)
