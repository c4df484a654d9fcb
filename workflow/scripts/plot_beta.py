"""Draw, list and export the genes that mark each program, and draw the training's loss."""

from neuralNMF.evidence.markers import top_markers
from neuralNMF.io.figures import save_figure
from neuralNMF.io.model import load_model
from neuralNMF.io.tables import write_gene_sets, write_table
from neuralNMF.new_cells.exports import gene_sets, starcat_reference
from neuralNMF.plots.beta import plot_top_genes
from neuralNMF.plots.layers import judge_layers
from neuralNMF.plots.loss import plot_loss
from neuralNMF.plots.programs import programs_table
from nmf_workflow.script import pairs, run


def main(snakemake):
    """Model in; pictures, tables and exports of each layer out, and the picture of the loss."""
    params, output = snakemake.params, snakemake.output
    model = load_model(snakemake.input.model)
    var = model.var
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
    for layer, (files, path, starcat) in enumerate(
        zip(pairs(output.beta), output.tables, output.starcat, strict=True), start=params.first
    ):
        beta, evidence = model.betas[layer - 1], layers.evidence[layer - 1]
        table = programs_table(
            beta, symbols, ids, evidence, parents=parents[layer - 1], top_n=params.top_n
        )
        write_table(table, path)
        figure = plot_top_genes(
            beta,
            symbols,
            layer=layer,
            top_n=params.top_n,
            max_thresh=params.max_thresh,
            programs=layers.programs[layer - 1],
            genes=top_markers(beta, evidence.markers, params.top_n),
        )
        save_figure(figure, *files)
        write_table(starcat_reference(beta, var, layer), starcat)
    if params.first > 1:
        return  # what is of the whole model, the first layer's job makes
    write_gene_sets(gene_sets(model.betas, symbols, layers.evidence), output.gmt[0])
    figure = plot_loss(model.history, loss_name=f"{model.info.get('loss', 'training')} loss")
    save_figure(figure, *output.loss)


run(main, snakemake)
