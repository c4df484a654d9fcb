"""Try one size of the first layer."""

from pathlib import Path

from neuralNMF.options import LayerOptions
from neuralNMF.shards.launch import run_job
from neuralNMF.shards.size_jobs import SizeJob
from nmf_workflow.script import run


def main(snakemake):
    """Dataset in, a table of one row out."""
    params = snakemake.params
    job = SizeJob(
        dataset=Path(snakemake.input.dataset),
        output=Path(snakemake.output[0]),
        options=LayerOptions(**params.options, **params.where, threads=snakemake.threads),
        size=int(snakemake.wildcards.size),
    )
    run_job(job)


run(main, snakemake)
