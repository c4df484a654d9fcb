"""What putting programs together costs, against least squares written out."""

import numpy as np
import pytest
from neuralNMF.evidence.levels import gaps, merge_costs


def error(usage: np.ndarray, programs: np.ndarray, groups: list[list[int]]) -> float:
    """Of the counts by the best programs for the summed usage of groups."""
    counts = usage @ programs
    summed = np.stack([usage[:, group].sum(axis=1) for group in groups], axis=1)
    solved = np.linalg.lstsq(summed, counts, rcond=None)[0]
    return float(np.square(counts - summed @ solved).sum())


def merged(groups: list[list[int]]) -> list[list[list[int]]]:
    """All ways to put two groups together."""
    return [
        [group for n, group in enumerate(groups) if n not in (i, j)] + [groups[i] + groups[j]]
        for i in range(len(groups))
        for j in range(i)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_costs_are_those_of_least_squares(seed):
    rng = np.random.default_rng(seed)
    usage, programs = rng.gamma(0.5, 1.0, (90, 7)), rng.gamma(0.5, 1.0, (7, 30))
    costs = merge_costs(usage.astype(np.float32), programs)
    groups, before = [[k] for k in range(7)], 0.0
    for left in range(6, 0, -1):
        groups = min(merged(groups), key=lambda each: error(usage, programs, each))
        now = error(usage, programs, groups)
        assert costs[left] == pytest.approx(now - before, rel=1e-5)
        before = now
    assert np.isnan(costs[0]) and costs.shape == (7,)


def planted(families: int, members: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Usage of one family a cell, and programs that share most genes within a family."""
    count = families * members
    shared, own = rng.gamma(2.0, 1.0, (families, 40)), rng.gamma(2.0, 1.0, (count, 40))
    parent = np.arange(count) % families
    programs = np.zeros((count, 40 * (families + count)))
    for k in range(count):
        programs[k, 40 * parent[k] : 40 * (parent[k] + 1)] = shared[parent[k]]
        programs[k, 40 * (families + k) : 40 * (families + k + 1)] = 0.5 * own[k]
    usage = rng.gamma(0.3, 1.0, (600, count))
    usage[rng.integers(families, size=600)[:, None] != parent] = 0
    return usage, programs


@pytest.mark.parametrize(("families", "members"), [(4, 3), (5, 2), (2, 6)])
def test_the_largest_gap_is_at_the_planted_families(families, members):
    rng = np.random.default_rng(0)
    found = gaps(merge_costs(*planted(families, members, rng)))
    assert np.nanargmax(found) == families and found[families] > 3
    assert np.nanmax(np.delete(found, families)) < found[families] / 3


def test_what_cells_do_not_use_and_what_is_there_twice_costs_nothing():
    rng = np.random.default_rng(0)
    usage, programs = rng.random((50, 5)), rng.random((5, 20))
    usage[:, 4] = 0
    programs[1] = programs[0]
    costs = merge_costs(usage, programs)
    np.testing.assert_allclose(costs[[4, 3]], 0, atol=1e-9 * costs[2])
    assert (costs[1:3] > 0).all()
    # Nor do they make a level.
    np.testing.assert_allclose(gaps(costs), [np.nan, np.nan, costs[1] / costs[2], np.nan, np.nan])


def test_fewer_than_three_programs_have_no_gap():
    rng = np.random.default_rng(0)
    for rank in (1, 2):
        found = gaps(merge_costs(rng.random((9, rank)), rng.random((rank, 4))))
        assert found.shape == (rank,) and np.isnan(found).all()
