"""Read a part of a sample's inputs again, for the variable genes."""

from neuralNMF.dataset import InputSpec, Piece, score_part
from nmf_workflow.script import run


def main(snakemake):
    """Counts and what is known of them in, what was seen out."""
    given, params = snakemake.input, snakemake.params
    pieces = [
        Piece(InputSpec(path, name, layer), *part)
        for path, name, layer, part in zip(
            given.counts, params.names, params.layers, params.ranges, strict=True
        )
    ]
    score_part(pieces, given.counted, given.filtered, snakemake.output[0])


run(main, snakemake)
