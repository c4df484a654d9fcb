"""Draw and list the top genes of each program of a layer."""

from neuralNMF.io.figures import save_figure
from neuralNMF.io.model import load_model
from neuralNMF.io.tables import write_table
from neuralNMF.plots.beta import plot_top_genes
from neuralNMF.plots.programs import top_genes_table
from nmf_workflow.script import layer_to_draw, run


def main(snakemake):
    """Model in, one picture and one table out."""
    params = snakemake.params
    model = load_model(snakemake.input.model)
    layer = layer_to_draw(snakemake.wildcards, len(model.layers))
    beta, symbols = model.betas[layer - 1], model.var["symbol"].to_numpy()
    table = top_genes_table(beta, symbols, model.var.index.to_numpy(), params.top_n)
    write_table(table, snakemake.output.table)
    for path in (snakemake.output.png, snakemake.output.pdf):
        # A figure for each file: saving one settles its layout, and the second would differ.
        figure = plot_top_genes(
            beta,
            symbols,
            layer=layer,
            top_n=params.top_n,
            max_thresh=params.max_thresh,
            dead=model.dead[layer - 1],
        )
        save_figure(figure, path)


run(main, snakemake)
