"""Draw and list the top genes of each program."""

from pathlib import Path

from neuralNMF.io.figures import save_figure
from neuralNMF.io.model import load_model
from neuralNMF.io.tables import write_table
from neuralNMF.plots.beta import plot_top_genes
from neuralNMF.plots.programs import top_genes_table
from nmf_workflow.script import run


def main(snakemake):
    """Write each output, picture or table; its name says of which layer it is."""
    params = snakemake.params
    model = load_model(snakemake.input.model)
    symbols, ids = model.var["symbol"].to_numpy(), model.var.index.to_numpy()
    for path in map(Path, snakemake.output):
        layer = int(path.stem.removesuffix("_top").rpartition("_l")[2])
        beta = model.betas[layer - 1]
        if path.suffix == ".tsv":
            write_table(top_genes_table(beta, symbols, ids, params.top_n), path)
            continue
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
