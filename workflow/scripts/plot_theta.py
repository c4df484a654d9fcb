"""Draw how the cells use the programs of each layer, and how layers make up each other."""

import numpy as np
from neuralNMF.io.figures import save_figure
from neuralNMF.io.model import load_model
from neuralNMF.labels import as_labels, label_column
from neuralNMF.plots.hierarchy import plot_hierarchy
from neuralNMF.plots.layers import judge_layers
from neuralNMF.plots.theta import plot_theta
from nmf_workflow.script import pairs, run


def main(snakemake):
    """Model in; a picture a layer out, and one for each two that follow each other."""
    params, output = snakemake.params, snakemake.output
    model = load_model(snakemake.input.model)
    labels = as_labels(label_column(model.obs, params.labels)) if params.labels else None
    usages, var = model.usages, model.var
    layers = judge_layers(
        model.thetas,
        usages,
        model.betas,
        var["symbol"].to_numpy(),
        dead=model.dead,
        gene_scale=var["gene_scale"].to_numpy(),
    )
    for layer, files in enumerate(pairs(output.theta), start=params.first):
        figure = plot_theta(
            usages,
            layer,
            programs=layers.programs[layer - 1],
            parents=layers.above(layer),
            rng=np.random.default_rng(0),
            labels=labels,
            max_cells=params.max_cells,
        )
        save_figure(figure, *files)
    for layer, files in enumerate(pairs(output.hierarchy), start=max(params.first, 2)):
        figure = plot_hierarchy(
            model.thetas[layer - 1],
            layer=layer,
            fine=layers.programs[layer - 2],
            coarse=layers.programs[layer - 1],
            fine_usage=usages[layer - 2],
        )
        save_figure(figure, *files)


run(main, snakemake)
