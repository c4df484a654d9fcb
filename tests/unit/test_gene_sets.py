"""Gene sets: GMT files that are read or refused, and the test of over-representation."""

import logging
from math import comb
from pathlib import Path

import numpy as np
import pytest
from neuralNMF.errors import InputError
from neuralNMF.evidence.gene_sets import GeneSet, gene_set_table
from neuralNMF.io.gene_sets import read_gene_sets

SHIPPED = Path(__file__).parents[2] / "resources" / "blood_markers.gmt"


def genes(*numbers):
    return frozenset(f"G{number}" for number in numbers)


def test_p_values_are_counted_by_hand(caplog):
    """Of 40 genes 5 are in the set, of 4 markers 3 are: p is what combinations say."""
    symbols = np.array([f"g{number}" for number in range(40)])  # in another case than the set's
    sets = [
        GeneSet("five", "of forty", genes(0, 1, 2, 3, 4)),
        GeneSet("elsewhere", "", genes(10, 11, 12, 99)),
        GeneSet("small", "", genes(5, 6, 50, 51)),
    ]
    markers = {1: [np.array([2, 0, 19, 1]), np.array([], dtype=int)], 2: [np.array([0, 1, 2, 3])]}
    with caplog.at_level(logging.INFO):
        table = gene_set_table(markers, symbols, sets)
    assert "1 of 3 gene sets are not tested" in caplog.text and "small" in caplog.text
    three = (comb(5, 3) * 35 + comb(5, 4)) / comb(40, 4)
    four = comb(5, 4) / comb(40, 4)
    # Four tests, two programs by two sets; those of the set elsewhere have p = 1.
    assert list(table["layer"]) == [1, 2]
    np.testing.assert_allclose(table["p_value"], [three, four])
    np.testing.assert_allclose(table["adjusted_p"], [three * 4 / 2, four * 4])
    first = table.iloc[0]
    assert (first.program, first.gene_set, first.description) == ("P1", "five", "of forty")
    assert (first.genes_in_set, first.markers, first.markers_in_set) == (5, 4, 3)
    assert first.genes == "g2, g0, g1"


def test_nothing_to_test_is_an_empty_table():
    table = gene_set_table({1: [np.array([0])]}, np.array(["a"]), [GeneSet("x", "", genes(1))])
    assert len(table) == 0 and "adjusted_p" in table


def test_gmt_files_are_read(tmp_path):
    first, second = tmp_path / "a.gmt", tmp_path / "b.gmt"
    first.write_text("# made by hand\nB cells\ttextbook\tcd19\tMs4a1\t\tCD19\t\n\n")
    second.write_text("T cells\t\tCD3E\r\n")
    assert read_gene_sets([first, second]) == [
        GeneSet("B cells", "textbook", frozenset({"CD19", "MS4A1"})),
        GeneSet("T cells", "", frozenset({"CD3E"})),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"B cells\ttextbook\n", "line 1 is no gene set"),
        (b"ok\t\tA\nB cells CD19 MS4A1\n", "line 2 is no gene set"),
        (b"\ttextbook\tCD19\n", "line 1 is no gene set"),
        (b"x\t\tA\nx\t\tB\n", "line 2: there is a gene set 'x' already"),
        (b"# nothing\n\n", "has no gene set"),
        (b"\x1f\x8b\x08\x00\xff\xfe", "cannot be read"),
    ],
)
def test_what_is_no_gmt_file_is_refused_in_a_sentence(tmp_path, content, message):
    path = tmp_path / "sets.gmt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_gene_sets([path])
    assert "sets.gmt" in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_gone_is_said(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_gene_sets([tmp_path / "none.gmt"])


def test_the_sets_that_ship_can_be_read_and_say_where_they_are_from():
    sets = read_gene_sets([SHIPPED])
    assert len(sets) > 15
    assert all(each.description and len(each.genes) >= 5 for each in sets)
    by_name = {each.name: each.genes for each in sets}
    assert {"CD19", "MS4A1"} <= by_name["B cells"]
    assert not by_name["B cells"] & by_name["T cells"]
