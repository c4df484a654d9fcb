"""Fit one more layer and save the whole model so far."""

from dataclasses import replace

from neuralNMF.consensus.fit import add_layer
from neuralNMF.io.choice import load_layers
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.model import load_model, save_model
from neuralNMF.options import LayerOptions
from nmf_workflow.script import run


def main(snakemake):
    """Dataset and the model of the layer before in, model out."""
    params = snakemake.params
    options = LayerOptions(**params.options, **params.where, threads=snakemake.threads)
    before = [load_model(path) for path in snakemake.input.previous]  # one, or none at layer 1
    reason = None
    for path in snakemake.input.choice:  # one, or none where the config names the layers
        layers, reason = load_layers(path)
        options = replace(options, rank=layers[len(before[0].layers) if before else 0])
    dataset = open_dataset(snakemake.input.dataset)
    model = add_layer(dataset, before[0] if before else None, options)
    if reason is not None:
        model.info["chosen_because"] = reason
    save_model(snakemake.output[0], model)


run(main, snakemake)
