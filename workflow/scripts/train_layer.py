"""Fit one more layer and save the whole model so far."""

from dataclasses import replace
from pathlib import Path

from neuralNMF.consensus.fit import add_layer
from neuralNMF.io.choice import load_layers
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.model import load_model, save_model
from neuralNMF.options import LayerOptions
from neuralNMF.training.checkpoints import checkpoint_of
from nmf_workflow.script import run, told_to_stop


def main(snakemake):
    """Dataset and the model of the layer before in, model out."""
    params, output = snakemake.params, Path(snakemake.output[0])
    options = LayerOptions(**params.options, **params.where, threads=snakemake.threads)
    before = [load_model(path) for path in snakemake.input.previous]  # one, or none at layer 1
    reason = None
    for path in snakemake.input.choice:  # one, or none where the config names the layers
        layers, reason = load_layers(path)
        options = replace(options, rank=layers[len(before[0].layers) if before else 0])
    dataset = open_dataset(snakemake.input.dataset)
    with told_to_stop("SIGUSR1") as stop:
        checkpoint = checkpoint_of(output, params.checkpoint_minutes, stop)
        model = add_layer(dataset, before[0] if before else None, options, checkpoint=checkpoint)
        if reason is not None:
            model.info["chosen_because"] = reason
        save_model(output, model)
        checkpoint.remove()


run(main, snakemake)
