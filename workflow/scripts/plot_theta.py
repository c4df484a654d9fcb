"""Draw the cells' usage of the programs, and how the layers' programs are made of each other."""

from pathlib import Path

import numpy as np
from neuralNMF.io.figures import save_figure
from neuralNMF.io.model import load_model
from neuralNMF.labels import label_column
from neuralNMF.plots.theta import theta_figures
from nmf_workflow.script import run


def main(snakemake):
    """Write each picture in the outputs; its name says which one it is."""
    params = snakemake.params
    model = load_model(snakemake.input.model)
    labels = params.get("labels")
    figures = theta_figures(
        model.thetas,
        model.usages,
        model.dead,
        rng=np.random.default_rng(params.get("seed", 0)),
        labels=label_column(model.obs, labels) if labels else None,
        max_cells=params.get("max_cells", 5000),
        names={Path(path).stem for path in snakemake.output},
    )
    for path in snakemake.output:
        save_figure(figures[Path(path).stem], path)


run(main, snakemake)
