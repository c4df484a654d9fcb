"""The programs of a model for other tools."""

import io

import numpy as np
import pandas as pd
from neuralNMF.evidence.layer import evidence_of_layers
from neuralNMF.io.tables import write_gene_sets, write_table
from neuralNMF.new_cells.exports import gene_sets, starcat_reference

SYMBOLS = np.array(["CD3E", "CD3D", "MS4A1", "CD79A", "LYZ", "LYZ"])
BETA = np.array([[0.5, 0.3, 0, 0, 0.1, 0.1], [0, 0, 0.6, 0.3, 0.1, 0], [0, 0, 0, 0, 0, 0.0]])
USAGE = np.array([[20.0, 0, 0], [0, 30, 0], [10, 10, 0]]).repeat(10, axis=0)


def test_gene_sets_are_gmt(tmp_path):
    evidence = evidence_of_layers([USAGE], [BETA], SYMBOLS, dead=[np.array([False, False, True])])
    sets = gene_sets([BETA], SYMBOLS, evidence)
    write_gene_sets(sets, tmp_path / "programs.gmt")
    lines = (tmp_path / "programs.gmt").read_text().splitlines()
    # Of the dead program there is no set, and of a symbol twice in one there is one.
    assert [line.split("\t")[0] for line in lines] == ["L1_P1", "L1_P2"]
    assert lines[0].split("\t") == ["L1_P1", "P1 CD3E CD3D", "CD3E", "CD3D", "LYZ"]
    assert lines[1].split("\t")[2:4] == ["MS4A1", "CD79A"]
    assert len(gene_sets([BETA], SYMBOLS, evidence, top_n=1)[0][2]) == 1


def test_a_reference_of_starcat_is_expression_over_deviation(tmp_path):
    var = pd.DataFrame(
        {
            "symbol": SYMBOLS,
            "variance": [4.0, 1, 1, 9, 0, 1],
            "gene_scale": [0.5, 1, 1, 1 / 3, 1, 1],
        },
        index=[f"ENSG{number}" for number in range(6)],
    )
    table = starcat_reference(BETA, var, 2)
    # Before the genes' factors, a program at a million, over the deviations 2, 1, 1, 3, -, 1.
    first = np.array([1.0, 0.3, 0, 0, 0.1]) * 1e6 / 1.5 / [2, 1, 1, 3, 1]
    np.testing.assert_allclose(table.iloc[0, 1:].to_numpy(float), first)
    assert list(table["program"]) == ["L2_P1", "L2_P2"]
    assert list(table.columns[1:]) == ["CD3E", "CD3D", "MS4A1", "CD79A", "ENSG5"]
    write_table(table, tmp_path / "starcat_l2.tsv")
    text = io.StringIO((tmp_path / "starcat_l2.tsv").read_text())
    read = pd.read_csv(text, index_col=0, sep="\t").astype(np.float32)
    np.testing.assert_allclose(read.iloc[0], first, rtol=1e-5)
