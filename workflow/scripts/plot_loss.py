"""Draw the loss over the epochs of all layers."""

from neuralNMF.io.figures import save_figure
from neuralNMF.io.model import load_model
from neuralNMF.plots.loss import plot_loss
from nmf_workflow.script import run


def main(snakemake):
    """Write the picture in every format that the outputs name."""
    model = load_model(snakemake.input.model)
    figure = plot_loss(model.history, loss_name=f"{model.info.get('loss', 'training')} loss")
    for path in snakemake.output:
        save_figure(figure, path)


run(main, snakemake)
