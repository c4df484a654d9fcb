"""Choose the layers of a run by the sizes that were tried, and by further ones."""

import pandas as pd
from neuralNMF.io.choice import save_layers
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.tables import read_table, write_table
from neuralNMF.options import LayerOptions
from neuralNMF.sizes.choose import choose_layers
from neuralNMF.sizes.trial import Trials
from nmf_workflow.script import run


def main(snakemake):
    """Dataset and a table for each size in; the layers with the reason, and one table out."""
    params, given = snakemake.params, snakemake.input
    options = LayerOptions(**params.options, **params.where, threads=snakemake.threads)
    tried = pd.concat([read_table(path) for path in given.tried], ignore_index=True)
    trials = Trials(open_dataset(given.dataset), options)
    choice = choose_layers(trials, tried, lists=params.lists)
    write_table(choice.tried, snakemake.output.table)
    save_layers(snakemake.output.layers, choice.layers, choice.reason)


run(main, snakemake)
