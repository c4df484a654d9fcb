"""The tree of the layers: parents, and an order in which families stand together."""

import numpy as np
import pytest
from neuralNMF.evidence.tree import NO_PARENT, tree_of


@pytest.fixture
def planted():
    """Three layers, 8 -> 4 -> 2 programs, shuffled; each parent's children are known."""
    rng = np.random.default_rng(3)
    fine = rng.permutation(np.repeat(np.arange(4), 2))
    middle = np.array([1, 0, 1, 0])
    theta_2, theta_3 = np.full((8, 4), 0.05), np.full((4, 2), 0.1)
    theta_2[np.arange(8), fine] = 0.85
    theta_3[np.arange(4), middle] = 0.9
    betas = [rng.gamma(0.2, size=(k, 30)) for k in (8, 4, 2)]
    last = [np.zeros(k, dtype=bool) for k in (8, 4, 2)]
    return [np.ones((5, 8)), theta_2, theta_3], betas, last, fine, middle


def changes(values):
    return int((np.diff(values) != 0).sum())


def test_families_stand_together_through_all_layers(planted):
    thetas, betas, last, fine, middle = planted
    tree = tree_of(thetas, betas, last)
    np.testing.assert_array_equal(tree.parents[0], fine)
    np.testing.assert_array_equal(tree.parents[1], middle)
    np.testing.assert_array_equal(tree.ancestors(1, 3), middle[fine])
    first, second, third = tree.orders
    assert [sorted(order) for order in tree.orders] == [[*range(8)], [*range(4)], [*range(2)]]
    assert changes(fine[first]) == 3 and changes(middle[fine][first]) == 1
    assert changes(middle[second]) == 1
    # Families in the order of their parents.
    np.testing.assert_array_equal(fine[first][::2], second)
    np.testing.assert_array_equal(middle[second][::2], third)


def test_noise_stands_last_and_what_has_nothing_has_no_parent(planted):
    thetas, betas, last, fine, _ = planted
    last[0][2], last[1][1] = True, True
    thetas[1][5] = 0
    tree = tree_of(thetas, betas, last)
    assert tree.orders[0][-1] == 2 and tree.orders[0][-2] == 5
    assert tree.orders[1][-1] == 1
    assert tree.parents[0][5] == tree.ancestors(1, 3)[5] == NO_PARENT
    assert changes(fine[[k for k in tree.orders[0] if k not in (2, 5)]]) <= 3


def test_siblings_lean_to_their_neighbours():
    theta = np.array([[0.6, 0.0, 0.4], [0.9, 0.1, 0.0], [0.0, 0.2, 0.8], [0.4, 0.0, 0.6]])
    # The coarse programs are alike in the order 0, 1, 2.
    coarse = np.array([[4, 3, 0, 0, 0], [0, 3, 4, 3, 0], [0, 0, 0, 3, 4.0]])
    tree = tree_of([theta, theta], [coarse, coarse], [np.zeros(4, bool), np.zeros(3, bool)])
    assert list(tree.orders[1]) == [0, 1, 2]
    assert list(tree.orders[0]) == [1, 0, 3, 2]


def test_programs_that_are_alike_stand_near_each_other():
    rng = np.random.default_rng(0)
    places = rng.permutation(np.arange(12))
    beta = np.exp(-((np.arange(60) / 5 - places[:, None]) ** 2))
    (order,) = tree_of([beta], [beta], [np.zeros(12, dtype=bool)]).orders
    along = places[order]
    assert list(along) in ([*range(12)], [*range(12)][::-1])
    assert list(order).index(0) < 6


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_and_empty_programs(count):
    beta = np.zeros((count, 4))
    for last in (np.zeros(count, dtype=bool), np.ones(count, dtype=bool)):
        assert list(tree_of([beta], [beta], [last]).orders[0]) == list(range(count))
