"""Sums over cells that do not depend on how the cells are shared out."""

import math

import numpy as np
import pytest
from neuralNMF.cells.exact import ExactSums
from neuralNMF.team import Team
from neuralNMF.threads import threads_of_a_fit

CELLS, COLUMNS = 5000, 7


@pytest.fixture(scope="module")
def terms() -> tuple[np.ndarray, np.ndarray]:
    """Numbers of many magnitudes, whose sums lose most digits where they are added up plainly."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((CELLS, COLUMNS)) * 10.0 ** rng.integers(-12, 12, (CELLS, 1))
    return rows.astype(np.float32), rng.random(CELLS)


def exact(rows: np.ndarray, scale: np.ndarray) -> list[float]:
    products = scale[:, None] * rows.astype(np.float64)
    return [math.fsum(column) for column in products.T.tolist()]


class Other(Team):
    """A team whose other processes have added up these parts already."""

    def __init__(self, rank: int, parts: list[ExactSums]) -> None:
        self.rank, self.size, self.others = rank, len(parts), parts

    def add(self, *arrays: np.ndarray) -> None:
        for rank, other in enumerate(self.others):
            if rank != self.rank:
                arrays[0][rank] = other._parts


@pytest.mark.parametrize("cuts", [[], [3, 777], [2500], [4999]])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_sums_are_those_of_all_digits(terms, cuts, threads):
    rows, scale = terms
    with threads_of_a_fit(threads) as shared:
        sums = ExactSums(COLUMNS, shared)
        for first, past in zip([0, *cuts], [*cuts, CELLS], strict=True):
            sums.add(rows[first:past], scale[first:past])
    assert sums.total().tolist() == exact(rows, scale)
    assert (scale @ rows.astype(np.float64)).tolist() != exact(rows, scale)


@pytest.mark.parametrize("rank", [0, 2])
def test_several_processes_have_the_sums_of_one(terms, rank):
    rows, scale = terms
    parts = []
    for first, past in ((0, 1000), (1000, 1001), (1001, CELLS)):
        parts.append(ExactSums(COLUMNS))
        parts[-1].add(rows[first:past], scale[first:past])
    assert parts[rank].total(Other(rank, parts)).tolist() == exact(rows, scale)


def test_a_factor_for_each_row():
    with pytest.raises(ValueError, match="3 factors for 2 rows"):
        ExactSums(1).add(np.ones((2, 1)), np.ones(3))


def test_without_a_scale_and_without_cells():
    sums = ExactSums(2)
    sums.add(np.array([[1e16, 1.0], [1.0, 2.0], [-1e16, 3.0]]))
    sums.add(np.zeros((0, 2), np.float32))
    assert sums.total().tolist() == [1.0, 6.0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_seen(value):
    sums = ExactSums(2)
    sums.add(np.array([[1.0, 1.0], [value, 1.0]]))
    first, second = sums.total().tolist()
    assert not np.isfinite(first) and second == 2.0
