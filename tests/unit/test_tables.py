"""Tables for people: the count of cells, and how a table is written."""

import numpy as np
import pandas as pd
import pytest
from neuralNMF.dataset.count_cells import count_cells
from neuralNMF.errors import InputError
from neuralNMF.io.tables import write_table


@pytest.fixture
def obs():
    return pd.DataFrame(
        {
            "dataset": pd.Categorical(["a", "b", "a", "a"]),
            "total_counts": [10.0, 40.0, 30.0, 5.0],
            "kind": pd.Categorical(["T", "T", None, "T"], categories=["T", "never used"]),
        },
        index=["w", "x", "y", "z"],
    )


def test_cells_of_each_input(obs):
    table = count_cells(obs)
    assert list(table.columns) == ["dataset", "cells", "median_total_counts"]
    assert table.to_numpy().tolist() == [["a", 3, 10.0], ["b", 1, 40.0]]


def test_cells_of_each_label_and_those_without_one(obs):
    rows = count_cells(obs, {"label": "kind"}).to_numpy().tolist()
    assert rows == [["a", "T", 2, 7.5], ["a", "no label", 1, 30.0], ["b", "T", 1, 40.0]]
    with pytest.raises(InputError, match="no column 'celltype'.*dataset, total_counts, kind"):
        count_cells(obs, {"label": "celltype"})


def test_a_table_is_written_with_the_digits_asked_for(tmp_path):
    table = pd.DataFrame({"name": ["x", None], "value": [1 / 3, np.nan], "n": [1234567, 2]})
    write_table(table, tmp_path / "new" / "short.tsv")
    assert (tmp_path / "new" / "short.tsv").read_text() == (
        "name\tvalue\tn\nx\t0.333333\t1234567\n\t\t2\n"
    )
    write_table(table, tmp_path / "whole.tsv", digits=None)
    assert pd.read_csv(tmp_path / "whole.tsv", sep="\t")["value"][0] == 1 / 3
