"""Fit one more layer and save the whole model so far."""

from pathlib import Path

from neuralNMF.io.choice import load_layers
from neuralNMF.options import LayerOptions
from neuralNMF.shards.job import FitJob
from neuralNMF.shards.launch import run_job
from nmf_workflow.script import run, told_to_stop


def main(snakemake):
    """Dataset and the model of the layer before in, model out."""
    params, given = snakemake.params, snakemake.input
    options = LayerOptions(**params.options, **params.where, threads=snakemake.threads)
    layers, reason = None, None
    for path in given.choice:  # one, or none where the config names the layers
        layers, reason = load_layers(path)
    before = [Path(path) for path in given.previous]  # one, or none at layer 1
    job = FitJob(
        dataset=Path(given.dataset),
        output=Path(snakemake.output[0]),
        options=options,
        previous=before[0] if before else None,
        layers=layers,
        reason=reason,
        checkpoint_minutes=params.checkpoint_minutes,
    )
    with told_to_stop("SIGUSR1") as stop:
        run_job(job, stop)


run(main, snakemake)
