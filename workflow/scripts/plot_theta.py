"""Draw how the cells use the programs of each layer, and how the layers make up each other."""

import numpy as np
from neuralNMF.io.figures import save_figure
from neuralNMF.io.model import load_model
from neuralNMF.io.tables import write_table
from neuralNMF.labels import as_labels, label_column
from neuralNMF.plots.cells import by_main_program, draw_cells
from neuralNMF.plots.hierarchy import hierarchy_table, plot_hierarchy
from neuralNMF.plots.labels import coloured
from neuralNMF.plots.layers import judge_layers
from neuralNMF.plots.theta import plot_theta, theta_table
from neuralNMF.plots.tree import plot_tree
from neuralNMF.plots.tree_parts import tree_parts, tree_table
from neuralNMF.plots.violins import plot_violins, violins_table
from nmf_workflow.script import groups_of, run


def main(snakemake):
    """Model in; pictures of each layer out, of each two that follow each other, and of all."""
    params, output = snakemake.params, snakemake.output
    model = load_model(snakemake.input.model)
    columns = coloured([as_labels(label_column(model.obs, name)) for name in params.columns])
    thetas, usages, betas = model.thetas, model.usages, model.betas
    symbols, scale = model.var["symbol"].to_numpy(), model.var["gene_scale"].to_numpy()
    layers = judge_layers(thetas, usages, betas, symbols, dead=model.dead, gene_scale=scale)
    rng = np.random.default_rng(0)  # the same cells in all pictures
    cells = draw_cells(usages, columns, max_cells=params.max_cells, rng=rng)
    groups = (
        cells.columns[0]
        if columns
        else by_main_program(cells.shares[-1], layers.programs[-1], layers.colours[-1])
    )

    for layer, (*files, table) in enumerate(groups_of(3, output.theta), start=params.first):
        programs = layers.programs[layer - 1]
        figure = plot_theta(cells, layer, programs=programs, parents=layers.above(layer))
        save_figure(figure, *files)
        write_table(theta_table(cells, layer, programs, model.obs.index), table)
    for layer, (*files, table) in enumerate(groups_of(3, output.violins), start=params.first):
        shares, programs = cells.shares[layer - 1], layers.programs[layer - 1]
        save_figure(plot_violins(shares, programs, groups, layer=layer, drawn=cells.words), *files)
        write_table(violins_table(shares, programs, groups), table)
    for layer, (*files, table) in enumerate(
        groups_of(3, output.hierarchy), start=max(params.first, 2)
    ):
        fine, coarse = layers.programs[layer - 2 : layer]
        theta = thetas[layer - 1]
        figure = plot_hierarchy(
            theta, layer=layer, fine=fine, coarse=coarse, fine_usage=usages[layer - 2]
        )
        save_figure(figure, *files)
        write_table(hierarchy_table(theta, fine, coarse), table)
    for *files, table in groups_of(3, output.tree):  # of the whole model: with the first layer
        labels = columns[0] if columns else None
        parts = tree_parts(thetas, usages, betas, layers, symbols, gene_scale=scale, labels=labels)
        save_figure(plot_tree(parts, layers.colours), *files)
        write_table(tree_table(parts), table)


run(main, snakemake)
