"""The scripts from simulated counts to the data set, one after the other as the rules run them."""

import numpy as np
import pandas as pd
import pytest
from helpers import Named, fake_snakemake, run_script
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.simulation import load_simulation


@pytest.fixture
def folder(tmp_path):
    """A folder in which the four scripts ran."""

    def run(script, inputs, outputs, **params):
        snakemake = fake_snakemake(
            tmp_path / "log.txt", inputs=inputs, outputs=outputs, params=Named(**params)
        )
        run_script(script, snakemake)

    simulation, counts = str(tmp_path / "s.npz"), str(tmp_path / "s.h5")
    dataset, genes = str(tmp_path / "s" / "dataset.h5ad"), str(tmp_path / "s" / "genes.tsv")
    sizes = {"cells": 50, "genes": 40, "programs": 3, "mode": "block", "block_loadings": True}
    run("simulate.py", None, Named(simulation), **sizes, seed=4)
    run("write_h5.py", Named(simulation), Named(counts))
    run(
        "create_dataset.py",
        Named(counts=[counts]),
        Named(dataset=dataset, genes=genes),
        names=["s"],
        layers=[None],
        options={"exclude": ["c3"]},
    )
    run("count_cells.py", Named(dataset=dataset), Named(str(tmp_path / "cells.tsv")), labels={})
    return tmp_path


def test_the_counts_that_were_drawn_are_those_in_the_data_set(folder):
    drawn = load_simulation(folder / "s.npz")
    data = open_dataset(folder / "s" / "dataset.h5ad")
    assert np.array_equal(data.rows(0, 50).toarray(), np.delete(drawn.counts, 3, axis=1))
    assert list(data.var.index) == [f"c{j}" for j in range(40) if j != 3]
    assert drawn.parameters["seed"] == 4 and drawn.parameters["block_loadings"]


def test_tables(folder):
    genes = pd.read_csv(folder / "s" / "genes.tsv", sep="\t", keep_default_na=False)
    assert len(genes) == 40 and genes.loc[3, "dropped"] == "excluded"
    counts = load_simulation(folder / "s.npz").counts
    cells = pd.read_csv(folder / "cells.tsv", sep="\t")
    assert cells.to_dict("records") == [
        {
            "dataset": "s",
            "cells": 50,
            "median_total_counts": np.median(counts.sum(axis=1)),
        }
    ]
