"""Write the cells of a part of a sample's inputs with the chosen genes."""

from neuralNMF.dataset import InputSpec, Piece, write_part
from nmf_workflow.script import run


def main(snakemake):
    """Counts and the genes in, data set of the part out."""
    given, params = snakemake.input, snakemake.params
    pieces = [
        Piece(InputSpec(path, name, layer), *part)
        for path, name, layer, part in zip(
            given.counts, params.names, params.layers, params.ranges, strict=True
        )
    ]
    write_part(pieces, given.counted, given.chosen, snakemake.output[0])


run(main, snakemake)
