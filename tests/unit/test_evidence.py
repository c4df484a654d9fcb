"""Evidence for programs: support counts cells, markers are the genes that only one program has."""

import numpy as np
import pytest
from neuralNMF.evidence import support as module
from neuralNMF.evidence.support import support


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_support_counts_the_cells_of_equal_shares():
    usage = np.zeros((100, 4))
    usage[:60, 0] = 7.0
    usage[60:97, 1] = np.linspace(1, 50, 37)  # shares of 1, however much the cell expresses
    usage[97:, 2] = 1.0
    np.testing.assert_allclose(support(usage), [60, 37, 3, 0])


def test_traces_in_many_cells_do_not_hide_that_a_program_lives_in_three():
    usage = np.ones((5000, 2))
    usage[:, 1] = 0.01
    usage[:3, 1] = 9.0
    few = support(usage)[1]
    assert 3 <= few < 5
    shares = usage[:, 1] / usage.sum(axis=1)
    assert shares.sum() ** 2 / (shares**2).sum() > 500  # what the plain index makes of it


def test_support_is_the_formula_and_does_not_ask_how_large_cells_are(rng, monkeypatch):
    usage = rng.gamma(0.3, size=(50, 5)).astype(np.float32)
    usage[:4] = 0
    shares = usage[4:].astype(np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    expected = (shares**2).sum(axis=0) ** 2 / (shares**4).sum(axis=0)
    np.testing.assert_allclose(support(usage), expected, rtol=1e-12)
    np.testing.assert_allclose(support(usage * rng.gamma(1, size=(50, 1))), expected, rtol=1e-4)
    monkeypatch.setattr(module, "CELLS_AT_A_TIME", 7)
    np.testing.assert_allclose(support(usage), expected, rtol=1e-12)


def test_tiny_usage_does_not_vanish():
    usage = np.full((20, 2), 1e-30, dtype=np.float32)
    np.testing.assert_allclose(support(usage), [20, 20])
