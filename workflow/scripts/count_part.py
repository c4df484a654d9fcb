"""Count the cells and genes of a part of a sample's inputs."""

from neuralNMF.dataset import DatasetOptions, InputSpec, Piece, count_part
from nmf_workflow.script import run


def main(snakemake):
    """Counts in, what was counted out."""
    params = snakemake.params
    pieces = [
        Piece(InputSpec(path, name, layer), *part)
        for path, name, layer, part in zip(
            snakemake.input.counts, params.names, params.layers, params.ranges, strict=True
        )
    ]
    count_part(pieces, snakemake.output[0], DatasetOptions(**params.options))


run(main, snakemake)
