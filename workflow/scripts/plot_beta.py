"""Draw, list and export the genes that mark each program, and draw the training's loss."""

import numpy as np
from neuralNMF.evidence.expressed import shares_with_gene, strongest_cells
from neuralNMF.evidence.markers import top_markers
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.figures import save_figure
from neuralNMF.io.model import load_model
from neuralNMF.io.tables import write_gene_sets, write_table
from neuralNMF.new_cells.exports import gene_sets, starcat_reference
from neuralNMF.plots.beta import beta_table, plot_top_genes
from neuralNMF.plots.dots import dots_table, plot_dots
from neuralNMF.plots.layers import judge_layers
from neuralNMF.plots.loss import plot_loss
from neuralNMF.plots.programs import programs_table
from neuralNMF.plots.style import row_percent
from nmf_workflow.script import groups_of, run


def main(snakemake):
    """Model and counts in; pictures, tables and exports of each layer out, and the loss."""
    params, output = snakemake.params, snakemake.output
    model, dataset = load_model(snakemake.input.model), open_dataset(snakemake.input.dataset)
    var, top_n = model.var, params.top_n
    symbols, ids = var["symbol"].to_numpy(), var.index.to_numpy()
    layers = judge_layers(
        model.thetas,
        model.usages,
        model.betas,
        symbols,
        dead=model.dead,
        gene_scale=var["gene_scale"].to_numpy(),
    )
    parents = [*layers.tree.parents, None]
    for layer, (files, dots, path, starcat) in enumerate(
        zip(
            groups_of(3, output.beta),
            groups_of(3, output.dots),
            output.tables,
            output.starcat,
            strict=True,
        ),
        start=params.first,
    ):
        beta, evidence = model.betas[layer - 1], layers.evidence[layer - 1]
        programs = layers.programs[layer - 1]
        genes = top_markers(beta, evidence.markers, top_n)
        look = {"layer": layer, "max_thresh": params.max_thresh}
        write_table(
            programs_table(beta, symbols, ids, evidence, parents=parents[layer - 1], top_n=top_n),
            path,
        )
        figure = plot_top_genes(beta, symbols, top_n=top_n, programs=programs, genes=genes, **look)
        save_figure(figure, *files[:2])
        write_table(beta_table(beta, symbols, programs, genes), files[2])
        cells = strongest_cells(row_percent(model.usages[layer - 1]), evidence.support)
        found = np.stack(
            [shares_with_gene(dataset.genes_found(each), beta.shape[1]) for each in cells]
        )
        table = dots_table(beta, symbols, found, genes, programs)
        save_figure(plot_dots(table, programs, **look), *dots[:2])
        write_table(table, dots[2])
        write_table(starcat_reference(beta, var, layer), starcat)
    for *files, table in groups_of(3, output.loss):  # of the whole model: with the first layer
        write_gene_sets(gene_sets(model.betas, symbols, layers.evidence), output.gmt[0])
        loss_name = f"{model.info.get('loss', 'training')} loss"
        save_figure(plot_loss(model.history, loss_name=loss_name), *files)
        write_table(model.history, table)


run(main, snakemake)
