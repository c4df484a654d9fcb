"""Count the cells of each input and label; a label column that is missing shows here."""

from neuralNMF.dataset.count_cells import count_cells
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.tables import write_table
from nmf_workflow.script import run


def main(snakemake):
    """Dataset in, table out."""
    table = count_cells(open_dataset(snakemake.input.dataset).obs, snakemake.params.labels)
    write_table(table, snakemake.output[0], digits=None)


run(main, snakemake)
