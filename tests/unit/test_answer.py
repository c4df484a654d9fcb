"""The benchmark's measures of an answer, each on a case whose figure is known."""

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.sparse import csr_matrix

from benchmarks.answer import measures


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
    found = measures.support(usage)
    assert found[0] == pytest.approx(30)
    assert found[1] == pytest.approx(2, abs=0.5)
    assert found[2] == pytest.approx(968, abs=0.01)
    assert found[3] == 0
    assert measures.unsupported(usage) == 2


def test_replication_is_blind_to_order_and_scale_and_sees_what_is_gone(rng):
    usage = rng.gamma(0.5, size=(500, 5))
    other = usage[:, ::-1] * np.arange(1, 6)
    assert measures.replication(usage, other) == 1.0
    other[:, 0] = rng.gamma(0.5, size=500)
    other[:, 1] = 3.0  # never varies
    assert measures.replication(usage, other) == pytest.approx(0.6)
    expected = np.corrcoef(usage[:, 0], other[:, 4])[0, 1]
    assert measures.matched_correlations(usage, other)[0] == pytest.approx(expected)


def test_replication_matches_one_to_one(rng):
    usage = rng.gamma(0.5, size=(500, 2))
    twice = usage[:, [0, 0]]
    assert measures.replication(usage, twice) == 0.5


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
    assert measures.matched_correlations(found, usage).min() > 0.99
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


def test_knn_leaves_the_cell_itself_out():
    rows = np.array([[0.0], [0.1], [10.0], [10.1]])
    assert measures.knn_accuracy(rows, np.array(["x", "y", "x", "y"]), neighbours=1) == 0


def test_small_classes_do_not_count():
    labels = np.repeat(["many", "few"], [20, 19])
    assert measures.counted(labels).sum() == 20


def test_hierarchy_is_the_flow_into_the_program_of_the_coarse_label():
    fine = np.repeat(["a1", "a2", "b1"], 40)
    coarse = np.repeat(["a", "a", "b"], 40)
    into = np.array([[3.0, 1.0], [1.0, 0.0], [0.0, 2.0]])
    expected = (0.75 + 1 + 1) / 3
    assert measures.hierarchy([one_hot(fine), into], fine, coarse) == pytest.approx(expected)
    again = measures.hierarchy([one_hot(fine), into, np.eye(2)[::-1]], fine, coarse)
    assert again == pytest.approx(expected)
    assert np.isnan(measures.hierarchy([one_hot(fine)], fine, coarse))
