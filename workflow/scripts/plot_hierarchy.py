"""Draw how the programs of one layer are made up of the next one's."""

from neuralNMF.io.figures import save_figure
from neuralNMF.io.model import load_model
from neuralNMF.plots.hierarchy import plot_hierarchy
from nmf_workflow.script import layer_to_draw, run


def main(snakemake):
    """Model in, one picture out in every format that the outputs name."""
    model = load_model(snakemake.input.model)
    layer = layer_to_draw(snakemake.wildcards, len(model.layers), first=2)
    figure = plot_hierarchy(
        model.thetas[layer - 1],
        layer=layer,
        fine_dead=model.dead[layer - 2],
        dead=model.dead[layer - 1],
        fine_usage=model.usages[layer - 2],
    )
    for path in snakemake.output:
        save_figure(figure, path)


run(main, snakemake)
