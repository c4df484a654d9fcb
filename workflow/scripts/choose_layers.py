"""Choose the layers of a run by the sizes that were tried, and by further ones."""

from pathlib import Path

from neuralNMF.options import LayerOptions
from neuralNMF.shards.launch import run_job
from neuralNMF.shards.size_jobs import LayersJob
from nmf_workflow.script import run


def main(snakemake):
    """Dataset and a table for each size in; the layers with the reason, and one table out."""
    params, given, output = snakemake.params, snakemake.input, snakemake.output
    job = LayersJob(
        dataset=Path(given.dataset),
        output=Path(output.table),
        options=LayerOptions(**params.options, **params.where, threads=snakemake.threads),
        tried=[Path(path) for path in given.tried],
        chosen=Path(output.layers),
        lists=params.lists,
    )
    run_job(job)


run(main, snakemake)
