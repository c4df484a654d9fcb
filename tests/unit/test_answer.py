"""The benchmark's measures of an answer, each on a case whose figure is known."""

import numpy as np
import pandas as pd
import pytest
from neuralNMF.evidence.label_scores import label_scores
from neuralNMF.evidence.matching import matched_correlations
from neuralNMF.evidence.support import support
from neuralNMF.options import POISSON, RAW_COUNTS
from scipy.optimize import nnls
from scipy.sparse import csr_matrix

from benchmarks.answer import measures, ours
from benchmarks.answer.answer import measured
from benchmarks.answer.run import best_layers, means
from benchmarks.answer.sets import Cells, halves


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def one_hot(labels):
    return (labels[:, None] == np.unique(labels)).astype(float)


def test_support_counts_the_cells_of_a_program_and_not_its_traces(rng):
    usage = np.zeros((1000, 4))
    usage[:30, 0] = 1.0  # all of 30 cells
    usage[30:32, 1] = 5.0  # all of 2 cells, whatever their totals
    usage[32:, 2] = rng.uniform(1, 100, 968)
    usage[40:, 1] = 0.01 * usage[40:, 2]  # a trace in the others
    found = support(usage)
    assert found[0] == pytest.approx(30)
    assert found[1] == pytest.approx(2, abs=0.5)
    assert found[2] == pytest.approx(968, abs=0.01)
    assert found[3] == 0
    assert measures.unsupported(usage) == measures.dead(usage) == 1


def test_replication_is_blind_to_order_and_scale_and_sees_what_is_gone(rng):
    usage = rng.gamma(0.5, size=(500, 5))
    other = usage[:, ::-1] * np.arange(1, 6)
    assert measures.replication(usage, other) == 1.0
    other[:, 0] = rng.gamma(0.5, size=500)
    other[:, 1] = 3.0  # never varies
    assert measures.replication(usage, other) == pytest.approx(0.6)
    expected = np.corrcoef(usage[:, 0], other[:, 4])[0, 1]
    assert matched_correlations(usage, other)[0] == pytest.approx(expected)


def test_replication_matches_one_to_one(rng):
    usage = rng.gamma(0.5, size=(500, 2))
    twice = usage[:, [0, 0]]
    assert measures.replication(usage, twice) == 0.5


def test_dead_programs_neither_replicate_nor_fail_to(rng):
    usage = rng.gamma(0.5, size=(500, 3))
    other = np.hstack([usage, np.zeros((500, 2))])
    assert measures.replication(usage, other) == 1.0
    assert matched_correlations(other, other).size == 3


def test_projection_is_nnls_of_each_cell(rng):
    programs = rng.gamma(0.5, size=(4, 30))
    programs[3] = 0  # a dead one
    cells = rng.poisson(2, (20, 30)).astype(float)
    found = measures.projected(csr_matrix(cells), programs)
    expected = np.array([nnls(programs.T, row)[0] for row in cells])
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_refitted_error_is_that_of_the_best_programs(rng):
    usage, cells = rng.gamma(0.5, size=(40, 3)), rng.poisson(2, (40, 15)).astype(float)
    programs = np.array([nnls(usage, gene)[0] for gene in cells.T]).T
    expected = ((cells - usage @ programs) ** 2).sum() / (cells**2).sum()
    assert measures.refitted_error(csr_matrix(cells), usage) == pytest.approx(expected)
    assert measures.refitted_error(cells, usage) == pytest.approx(expected)
    assert measures.refitted_error(usage @ programs, usage) == pytest.approx(0, abs=1e-6)


def test_projection_by_rates_finds_the_usage_that_made_the_counts(rng):
    programs, usage = rng.dirichlet(np.full(50, 0.1), 3), rng.gamma(1, 5000, (30, 3))
    counts = csr_matrix(rng.poisson(usage @ programs).astype(np.float32))
    found = measures.projected_by_rates(counts, programs)
    assert matched_correlations(found, usage).min() > 0.99
    better = measures.deviance(counts, found, programs)
    assert better < measures.deviance(counts, usage, programs)
    assert better < measures.deviance(counts, found * 1.1, programs)


def test_deviance_by_its_formula():
    counts, programs = np.array([[2.0, 0.0]]), np.array([[0.25, 0.75]])
    expected = (2 * (2 * np.log(2 / 1) - 2 + 1) + 2 * 3) / 2
    found = measures.deviance(csr_matrix(counts), np.array([[4.0]]), programs)
    assert found == pytest.approx(expected)


def test_labels_that_the_programs_are_get_full_marks(rng):
    fine = np.repeat(["a1", "a2", "b1"], 40)
    coarse = np.repeat(["a", "a", "b"], 40)
    usage = one_hot(fine) * rng.uniform(1, 100, (120, 1))
    found = measures.of_layer(usage, fine, coarse)
    for name in ("ap_fine", "auroc_fine", "knn_fine", "ari_fine", "nmi_fine"):
        assert found[name] == pytest.approx(1.0)
    assert found["ap_coarse"] < 1
    assert found["unsupported"] == 0


def test_labels_that_say_nothing_get_what_chance_gives(rng):
    fine = rng.permutation(np.repeat(["x", "y"], 1000))
    usage = rng.gamma(1, size=(2000, 2))
    found = measures.of_layer(usage, fine, fine)
    assert found["ap_fine"] == pytest.approx(0.5, abs=0.05)
    assert found["knn_fine"] == pytest.approx(0.5, abs=0.05)
    assert found["ari_fine"] == pytest.approx(0, abs=0.02)


# ---- The way from cells to the measures

SMALL = {"layers": [4, 2], "dataset": {"variable_genes": None, "min_cells": 1}}


@pytest.fixture
def cells(rng):
    """200 cells of four kinds in two families, each kind with 15 genes of its own."""
    kind = rng.permutation(np.repeat(np.arange(4), 50))
    programs = np.full((4, 80), 0.5)
    for number in range(4):
        programs[number, 15 * number : 15 * (number + 1)] += 10
        programs[number, 60 + 10 * (number // 2) : 70 + 10 * (number // 2)] += 10
    counts = rng.poisson(programs[kind] * rng.gamma(20, 0.05, (200, 1)))
    genes = pd.DataFrame(index=[f"g{number}" for number in range(80)])
    labels = np.array(["a1", "a2", "b1", "b2"])[kind]
    names = np.array([f"cell{number}" for number in range(200)])
    lineage = np.array([label[0] for label in labels])
    return Cells(csr_matrix(counts, dtype=np.float32), genes, labels, lineage, names)


def test_halves_hold_every_cell_once_and_differ_by_seed():
    first, second = halves(101, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate([first, second])), np.arange(101))
    assert abs(first.size - second.size) == 1
    assert not np.array_equal(first, halves(101, 1)[0])


@pytest.mark.parametrize(
    "keys",
    [
        {"normalize": "library", "transform": "log1p"},
        {"normalize": "variance", "transform": "none"},
        {**RAW_COUNTS, "beta": "learned", "loss": POISSON[0]},
    ],
    ids=["log1p", "variance", "poisson"],
)
def test_usage_of_all_cells_by_the_programs_of_a_half(cells, keys):
    method = ours.method_of(SMALL | keys)
    rows = halves(cells.number, 0)[0]
    answer = method(cells.take(rows), 0)
    of_all = answer.project(cells)
    assert [usage.shape for usage in of_all] == [(200, 4), (200, 2)]
    # The programs of layer 1 are least squares' own: the cells' usage is found again.
    found, expected = of_all[0][rows], answer.usages[0]
    np.testing.assert_allclose(found, expected, atol=0.03 * expected.max())
    assert label_scores(of_all[0], cells.fine).of_labels()[0] > 0.95


def test_a_clear_hierarchy_gets_full_marks(cells):
    keys = SMALL | {"normalize": "library", "transform": "log1p"}
    first, second = measured(ours.method_of(keys), cells, 0, ours.flat_errors(keys, cells))
    assert (first["layer"], first["rank"], second["layer"], second["rank"]) == (1, 4, 2, 2)
    assert first["replication"] == second["replication"] == 1
    assert first["unsupported"] == 0
    assert first["ap_fine"] > 0.95
    assert second["ap_coarse"] > 0.95
    assert first["hierarchy"] > 0.9
    assert first["error_ratio"] == pytest.approx(1, abs=0.01)


def test_programs_that_the_fit_gives_up_are_counted_as_dead(cells, monkeypatch):
    monkeypatch.setattr("neuralNMF.training.supported._SHARE", 1.0)  # these cells are few
    method = ours.method_of(SMALL | {"layers": [12, 2], "normalize": "library", "min_support": 45})
    usage = method(cells, 0).usages[0]
    assert usage.shape[1] == 12
    assert measures.dead(usage) > 0
    assert measures.unsupported(usage) == 0


def test_configurations_are_known_to_the_library():
    for keys in ours.CONFIGURATIONS.values():
        _, layers = ours.options_of(keys)
        assert [options.rank for options in layers] == keys["layers"]
    _, layers = ours.options_of({"layers": [9, 3], "transform": "sqrt", "normalize": "library"})
    assert {options.transform for options in layers} == {"sqrt"}


def test_summary_takes_the_best_layer_of_each_case_and_then_the_mean():
    table = pd.DataFrame(
        {
            "set": ["x", "x", "y", "y"],
            "seed": 0,
            "method": "m",
            "layer": [1, 2, 1, 2],
            "rank": [20, 10, 20, 10],
            "ap_fine": [0.6, 0.4, 0.5, 0.9],
            "unsupported": [3, 1, 0, 2],
        }
    )
    assert len(best_layers(table)) == 2
    found = means(table)
    assert found.loc[("m", "best", ""), "ap_fine"] == pytest.approx(0.75)
    assert found.loc[("m", "best", ""), "unsupported"] == pytest.approx(0.5)
    assert found.loc[("m", 1, 20), "ap_fine"] == pytest.approx(0.55)
