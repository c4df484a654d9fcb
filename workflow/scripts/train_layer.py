"""Fit one more layer and save the whole model so far."""

from pathlib import Path

from neuralNMF.io.choice import load_layers
from neuralNMF.options import LayerOptions
from neuralNMF.shards.job import Job
from neuralNMF.shards.launch import run_job
from nmf_workflow.script import run, told_to_stop


def main(snakemake):
    """Dataset and the model of the layer before in, model out."""
    params, given, output = snakemake.params, snakemake.input, Path(snakemake.output[0])
    options = LayerOptions(**params.options, **params.where, threads=snakemake.threads)
    layers, reason = None, None
    for path in given.choice:  # one, or none where the config names the layers
        layers, reason = load_layers(path)
    before = [Path(path) for path in given.previous]  # one, or none at layer 1
    files = Path(given.dataset), before[0] if before else None, output
    with told_to_stop("SIGUSR1") as stop:
        run_job(Job(*files, options, layers, reason, params.checkpoint_minutes), stop)


run(main, snakemake)
