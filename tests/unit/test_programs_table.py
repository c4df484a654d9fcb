"""The table of all programs: flags, figures and verdicts, each where it is known what is right."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from neuralNMF.errors import InputError
from neuralNMF.evidence.flags import CELL_CYCLE, STRESS, TECHNICAL, marker_flags
from neuralNMF.evidence.gene_sets import GeneSet, gene_set_table
from neuralNMF.evidence.label_scores import label_scores
from neuralNMF.evidence.programs import Cells, judge_programs, table_of_programs
from neuralNMF.evidence.usage import (
    coverage,
    effective_number,
    library_size_correlation,
    redundancy,
)
from neuralNMF.evidence.verdict import believe, flags_of_figures

PAGE = (Path(__file__).parents[2] / "docs" / "programs_to_believe.md").read_text(encoding="utf-8")


@pytest.fixture
def rng():
    return np.random.default_rng(3)


# Flags by genes

OTHER = [f"G{number}" for number in range(50)]


def flags(best, rest=()):
    return marker_flags(np.array([*best, *OTHER][: 50 - len(rest)] + list(rest), dtype=object))


@pytest.mark.parametrize(
    ("best", "expected"),
    [
        ([], ()),
        (["RPL3", "RPS2", "Rplp0", "RPSA", "RPL41"], ("ribosomal",)),
        (["RPL3", "RPS2", "RPLP0", "RPSA"], ()),
        (["MT-ND1", "MT-ND2", "MT-CO1", "mt-Co2", "MT-CYB"], ("mitochondrial",)),
        (["HBB", "HBA1"], ("haemoglobin",)),
        (["HBB"], ()),
        (["A", "Malat1"], ("MALAT1",)),
        (["FOS", "JUN", "Junb", "EGR1", "DUSP1"], ("stress",)),
        (["MKI67", "TOP2A", "UBE2C", "CDK1", "TYMS"], ("cell cycle",)),
        # Half and half.
        (["RPL3", "RPS2", "RPLP0", "RPSA", "RPL41", *sorted(STRESS)[:5]], ("ribosomal", "stress")),
    ],
)
def test_flags_of_the_ten_best_markers(best, expected):
    assert flags(best) == expected


@pytest.mark.parametrize(("names", "flag"), [(STRESS, "stress"), (CELL_CYCLE, "cell cycle")])
def test_lists_of_genes_show_among_fifty_markers_too(names, flag):
    assert flags([], sorted(names)[:10]) == (flag,)
    assert flags([], sorted(names)[:9]) == ()


def test_the_lists_have_the_genes_of_their_papers():
    # 43 of S, 54 of G2 and M, three of them under a second name.
    assert len(CELL_CYCLE) == 43 + 54 + 3
    assert {"FOS", "JUN", "EGR1", "HSPA1A", "DNAJB1"} <= STRESS
    assert not STRESS & CELL_CYCLE


# Figures of usage


def test_redundancy_is_the_highest_correlation(rng):
    shares = rng.dirichlet(np.ones(4), size=200)
    expected = np.corrcoef(shares.T)
    np.fill_diagonal(expected, -1)
    correlation, other = redundancy(shares)
    np.testing.assert_allclose(correlation, expected.max(axis=1))
    np.testing.assert_array_equal(other, expected.argmax(axis=1))
    alone, none = redundancy(shares[:, :1])
    assert np.isnan(alone[0]) and none[0] == -1


def test_effective_number_counts_equal_parents():
    rows = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0], [0.0, 5.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(effective_number(rows), [2, 3, 1, 0])


def test_coverage_weighs_inputs_alike():
    inputs = np.repeat(["a", "b", "c"], [100, 10, 10])
    shares = np.zeros((120, 3))
    shares[:, 0] = 0.5  # everywhere
    shares[100:110, 1] = 0.4  # in the small input b; a trace in the large one
    shares[:100, 1] = 0.01
    found = coverage(shares, inputs)
    assert list(found.inputs_using) == [3, 1, 0]
    assert list(found.main_input[1:]) == ["b", ""]
    np.testing.assert_allclose(found.main_share, [1 / 3, 0.4 / 0.41, 0])


def test_library_size_counts_within_kinds_only(rng):
    """The program of the larger type of cell is none of the library size; one within types is."""
    kinds = np.repeat([0, 1], 300)
    totals = np.where(kinds, 10_000, 2_000) * rng.gamma(20, 0.05, 600)
    of_type = np.where(kinds, 0.9, 0.05) * rng.uniform(0.9, 1.1, 600)
    of_depth = 1 / totals * np.where(kinds, 10, 1)
    shares = np.stack([of_type, of_depth, np.full(600, 0.2)], axis=1)
    plain = np.corrcoef(of_type, totals)[0, 1]
    found = library_size_correlation(shares, totals, kinds)
    assert plain > 0.9
    np.testing.assert_allclose(found, [0, -1, 0], atol=0.15)
    assert library_size_correlation(shares[:5], totals[:5], kinds[:5]).tolist() == [0, 0, 0]


# Verdicts


@pytest.mark.parametrize(
    ("row", "of_genes", "verdict"),
    [
        ({}, (), "yes"),
        ({}, ("cell cycle",), "yes"),
        ({}, ("dead",), "no: no cell uses it"),
        ({"effective_cells": 6.4}, ("noise", "ribosomal"), "no: 6 cells carry it"),
        ({"effective_cells": 1.2}, ("noise",), "no: 1 cell carries it"),
        ({}, ("ribosomal",), "with care: ribosomal genes"),
        ({"replicated": False}, ("stress",), "no: not found again in other cells"),
        ({"replicated": np.nan, "held_out_gain": np.nan}, (), "yes"),
        ({"replicated": True, "held_out_gain": 0.1, "redundancy": np.nan}, (), "yes"),
        (
            {"held_out_gain": -0.1},
            (),
            "with care: adds nothing to the prediction of held-out counts",
        ),
        (
            {"redundancy": 0.85, "redundant_with": "P2"},
            ("stress",),
            "with care: stress genes; nearly the same cells as P2",
        ),
        ({"redundancy": 0.7, "library_size_correlation": -0.5, "main_input_share": 0.5}, (), "yes"),
        ({"library_size_correlation": -0.7}, (), "with care: follows the library size"),
        (
            {"main_input_share": 0.95, "main_input": "donor 2"},
            (),
            "with care: nearly only in the input donor 2",
        ),
        ({"parent_share": 0.0}, (), "with care: part of no program of the next layer"),
        ({"parent_share": np.nan}, (), "yes"),
    ],
)
def test_verdict(row, of_genes, verdict):
    assert believe(row, (*of_genes, *flags_of_figures(row))) == verdict


# The table


@pytest.fixture
def model():
    """Five programs in two of 240 cells: the fourth is noise, the fifth dead."""
    rng = np.random.default_rng(8)
    beta = np.full((5, 60), 0.5)
    for k in range(4):
        beta[k, 10 * k : 10 * k + 10] += np.linspace(20, 10, 10)
    beta[4] = 0
    beta[:4] /= beta[:4].sum(axis=1, keepdims=True)
    kind = np.repeat([0, 1, 2], 80)
    usage = np.where(kind[:, None] == np.arange(5), 100.0, 1.0) * rng.gamma(50, 0.02, (240, 5))
    usage[:, 3:] = 0
    usage[:3, 3] = 300
    into = np.array([[1.0, 0.0], [0.75, 0.25], [0.0, 1.0], [0.5, 0.5], [0.0, 0.0]])
    coarse = np.linalg.lstsq(usage @ into, usage @ beta, rcond=None)[0].clip(0)
    coarse /= coarse.sum(axis=1, keepdims=True)
    return [usage, into], [beta, coarse], kind


def judged(model):
    (usage, into), betas, _ = model
    symbols = np.array([f"G{number}" for number in range(60)], dtype=object)
    dead = [np.arange(5) == 4, np.zeros(2, dtype=bool)]
    return judge_programs([usage, into], [usage, usage @ into], betas, symbols, dead=dead)


def test_the_bare_table(model):
    table = table_of_programs(judged(model))
    assert list(table.columns) == [
        *("layer", "program", "name", "markers", "parent", "parent_share", "effective_parents"),
        *("expression_share", "effective_cells", "redundancy", "redundant_with"),
        *("flags", "believe"),
    ]
    assert list(table["layer"]) == [1] * 5 + [2] * 2
    assert list(table["program"]) == ["P1", "P2", "P3", "P4", "P5", "P1", "P2"]
    first = table.iloc[0]
    assert first["name"] == "P1 G0 G1"
    assert first["markers"] == ", ".join(f"G{number}" for number in range(10))
    assert list(table["parent"][:3]) == ["P1", "P1", "P2"] and table["parent"][6] == ""
    np.testing.assert_allclose(table["parent_share"][:3], [1, 0.75, 1])
    np.testing.assert_allclose(table["effective_parents"][:2], [1, 1 / (0.75**2 + 0.25**2)])
    (usage, _), (beta, _), _ = model
    expected = usage.sum(axis=0) * beta.sum(axis=1)
    np.testing.assert_allclose(table["expression_share"][:5], expected / expected.sum())
    assert list(table["flags"][:5]) == ["", "", "", "noise", "dead"]
    assert table["believe"][0] == "yes"
    assert table["believe"][3].startswith("no: ") and "carry it" in table["believe"][3]
    assert table["believe"][4] == "no: no cell uses it"


def test_all_that_is_known_is_in_the_table(model):
    (usage, into), _, kind = model
    labels = np.array(["B", "NK", "T"])[kind]
    scores = {"label": [label_scores(each, labels) for each in (usage, usage @ into)]}
    inputs = np.array(["one", "two"])[np.arange(240) % 2]
    inputs[kind == 2] = "two"  # the third program is in one input only
    cells = Cells(np.full(240, 1000.0), inputs, scores)
    programs = judged(model)
    sets = gene_set_table(
        programs.markers, programs.symbols, [GeneSet("mine", "", frozenset(programs.symbols[:10]))]
    )
    replication = pd.DataFrame(
        {
            "layer": [1, 1, 2],
            "program": ["P1", "P2", "P1"],
            "replication": [0.9, 0.1, 0.8],
            "replicated": [True, False, True],
            "something": 1,
        }
    )
    table = table_of_programs(programs, cells, gene_sets=sets, replication=replication)
    assert len(table) == 7 and "something" not in table
    assert list(table["label"][:3]) == ["B", "NK", "T"] and table["label"][4] == ""
    assert table["label_average_precision"][1] == table["label_auroc"][2] == 1
    assert list(table["main_input"][2:3]) == ["two"]
    assert table["believe"][2] == "with care: nearly only in the input two"
    assert table["believe"][1] == "no: not found again in other cells"
    assert table["replication"].isna()[2] and table["replication"][0] == 0.9
    assert table["gene_set"][0] == "mine" and pd.isna(table["gene_set"][1])
    assert table["gene_set_genes"][0] == table["markers"][0]
    for column in table.columns:
        assert f"`{column}`" in PAGE or f"`…{column.removeprefix('label')}`" in PAGE, column


def test_every_flag_is_described():
    figures = {"parent_share": 0, "redundancy": 1, "library_size_correlation": 1}
    figures |= {"main_input_share": 1, "replicated": False, "held_out_gain": 0}
    known = {*TECHNICAL, "cell cycle", *flags_of_figures(figures)}
    assert len(known) == 14
    for flag in known:
        assert re.search(rf"^\| .*`{flag}`", PAGE, re.MULTILINE), flag


def test_gene_sets_of_which_none_is_found_leave_the_columns_empty(model):
    programs = judged(model)
    sets = gene_set_table(programs.markers, programs.symbols, [GeneSet("x", "", frozenset("ABC"))])
    assert table_of_programs(programs, gene_sets=sets)["gene_set"].isna().all()


def test_a_single_input_has_no_coverage(model):
    cells = Cells(np.full(240, 1000.0), np.full(240, "only"))
    table = table_of_programs(judged(model), cells)
    assert "inputs_using" not in table and "library_size_correlation" in table


@pytest.mark.parametrize(
    ("replication", "message"),
    [
        (pd.DataFrame({"layer": [1], "replication": [1.0]}), "no column 'program'"),
        (pd.DataFrame({"layer": [1, 1], "program": [2, "P2"]}), "two rows for P2 of layer 1"),
    ],
)
def test_a_table_of_replication_that_says_nothing_clear_is_refused(model, replication, message):
    with pytest.raises(InputError, match=message):
        table_of_programs(judged(model), replication=replication)
