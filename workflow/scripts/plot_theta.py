"""Draw how the cells use the programs of a layer."""

import numpy as np
from neuralNMF.io.figures import save_figure
from neuralNMF.io.model import load_model
from neuralNMF.labels import label_column
from neuralNMF.plots.theta import plot_theta
from nmf_workflow.script import layer_to_draw, run


def main(snakemake):
    """Model in, one picture out in every format that the outputs name."""
    labels = snakemake.params.labels
    model = load_model(snakemake.input.model)
    layer = layer_to_draw(snakemake.wildcards, len(model.layers))
    figure = plot_theta(
        model.usages,
        layer,
        dead=model.dead[layer - 1],
        rng=np.random.default_rng(0),
        labels=label_column(model.obs, labels) if labels else None,
        max_cells=snakemake.params.max_cells,
    )
    for path in snakemake.output:
        save_figure(figure, path)


run(main, snakemake)
