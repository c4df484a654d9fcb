"""Count the cells of each input and label; a label column that is missing shows here."""

from neuralNMF.dataset.count_cells import count_cells
from neuralNMF.io.atomic import atomic_path
from neuralNMF.io.dataset import open_dataset
from nmf_workflow.script import run


def main(snakemake):
    """Dataset in, table out."""
    table = count_cells(open_dataset(snakemake.input.dataset).obs, snakemake.params.labels)
    with atomic_path(snakemake.output[0]) as path:
        table.to_csv(path, sep="\t", index=False)


run(main, snakemake)
