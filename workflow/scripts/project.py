"""Find the usage of new cells with the programs of a model held."""

from pathlib import Path

from neuralNMF.dataset import InputSpec
from neuralNMF.io.model import load_model, save_model
from neuralNMF.new_cells.project import project
from nmf_workflow.script import run


def main(snakemake):
    """Model and counts in, a file of the model's kind for the new cells out."""
    params, output = snakemake.params, snakemake.output[0]
    inputs = [
        InputSpec(path, name, layer)
        for path, name, layer in zip(
            snakemake.input.counts, params.names, params.layers, strict=True
        )
    ]
    model = load_model(snakemake.input.model)
    temporary = Path(output).parent
    save_model(output, project(model, inputs, threads=snakemake.threads, temporary=temporary))


run(main, snakemake)
