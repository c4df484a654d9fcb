"""The form that a model is saved in: the same product, unit row sums, a fixed order."""

import numpy as np
import pytest
from neuralNMF.canonical import canonical


def factors(ranks=(6, 4, 3), cells=40, genes=25, seed=0):
    """Factors with nothing in common but their shapes: the betas need not come from the thetas."""
    rng = np.random.default_rng(seed)
    rows = [cells, *ranks[:-1]]
    thetas = [
        rng.gamma(0.5, 2.0, (row, rank)) * rng.gamma(1.0, 3.0, rank)
        for row, rank in zip(rows, ranks, strict=True)
    ]
    betas = [rng.gamma(0.3, 5.0, (rank, genes)) for rank in ranks]
    return thetas, betas


def product(thetas, beta):
    return np.linalg.multi_dot([*thetas, beta]) if len(thetas) > 1 else thetas[0] @ beta


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_product_of_every_depth_is_unchanged(depth):
    thetas, betas = factors((6, 4, 3)[:depth])
    form = canonical(thetas, betas)
    for last in range(1, depth + 1):
        np.testing.assert_allclose(
            product(form.thetas[:last], form.betas[last - 1]),
            product(thetas[:last], betas[last - 1]),
            rtol=1e-10,
        )


def test_rows_of_every_beta_sum_to_one():
    form = canonical(*factors())
    for beta in form.betas:
        np.testing.assert_allclose(beta.sum(axis=1), 1, rtol=1e-12)
    assert not any(dead.any() for dead in form.dead)


def test_programs_are_ordered_by_their_total_usage():
    form = canonical(*factors())
    usage = np.ones(40)
    for theta in form.thetas:
        usage = usage @ theta
        assert (np.diff(usage) < 0).all()


def test_rows_of_the_next_theta_follow_the_order_of_the_programs():
    # Two programs that change places; each coarse program is made up of one fine program.
    thetas = [np.array([[1.0, 5.0], [2.0, 9.0]]), np.array([[1.0, 0.0], [0.0, 3.0]])]
    betas = [np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]), np.array([[1.0, 0, 0], [0, 0.5, 0.5]])]
    form = canonical(thetas, betas)
    np.testing.assert_allclose(form.thetas[0], [[5, 1], [9, 2]])
    np.testing.assert_allclose(form.betas[0], [[0, 0.5, 0.5], [1, 0, 0]])
    np.testing.assert_allclose(form.thetas[1], [[3, 0], [0, 1]])
    np.testing.assert_allclose(form.betas[1], [[0, 0.5, 0.5], [1, 0, 0]])


def test_a_form_does_not_depend_on_the_order_and_scale_it_came_in():
    thetas, betas = factors((6, 4))
    rng = np.random.default_rng(1)
    first, second = rng.permutation(6), rng.permutation(4)
    scale, other = rng.gamma(1.0, 1.0, 6), rng.gamma(1.0, 1.0, 4)
    moved = canonical(
        [
            (thetas[0] / scale)[:, first],
            (scale[:, None] * thetas[1] / other)[first][:, second],
        ],
        [(scale[:, None] * betas[0])[first], (other[:, None] * betas[1])[second]],
    )
    form = canonical(thetas, betas)
    for one, two in zip(moved.thetas + moved.betas, form.thetas + form.betas, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10)


@pytest.mark.parametrize("reason", ["no cell uses it", "its program is zero"])
def test_a_dead_program_comes_last_and_is_zero(reason):
    thetas, betas = factors((6, 4))
    if reason == "no cell uses it":
        thetas[0][:, 1] = 0
    else:
        betas[0][1] = 0
    form = canonical(thetas, betas)
    np.testing.assert_array_equal(form.dead[0], [False] * 5 + [True])
    assert not form.dead[1].any()
    assert (form.thetas[0][:, -1] == 0).all()
    assert (form.betas[0][-1] == 0).all()
    assert (form.thetas[1][-1] == 0).all()
    np.testing.assert_allclose(form.betas[0][:-1].sum(axis=1), 1)
    # What went through the dead program is gone; nothing else has changed.
    alive = [0, 2, 3, 4, 5]
    np.testing.assert_allclose(
        product(form.thetas, form.betas[1]),
        thetas[0][:, alive] @ thetas[1][alive] @ betas[1],
        rtol=1e-10,
    )


def test_a_dead_program_of_the_last_layer():
    thetas, betas = factors((6, 4))
    thetas[1][:, 2] = 0
    form = canonical(thetas, betas)
    np.testing.assert_array_equal(form.dead[1], [False, False, False, True])
    assert (form.thetas[1][:, -1] == 0).all()
    assert (form.betas[1][-1] == 0).all()
    assert not form.dead[0].any()


def test_everything_dead_makes_no_nan():
    thetas, betas = factors((6, 4))
    form = canonical([np.zeros_like(theta) for theta in thetas], betas)
    for array in form.thetas + form.betas:
        assert (array == 0).all()
    assert all(dead.all() for dead in form.dead)


def test_the_type_of_theta_is_kept_and_the_input_left_alone():
    thetas, betas = factors((6, 4))
    thetas[0] = thetas[0].astype(np.float32)
    copies = [array.copy() for array in thetas + betas]
    form = canonical(thetas, betas)
    assert [theta.dtype for theta in form.thetas] == [np.float32, np.float64]
    for array, copy in zip(thetas + betas, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_the_product_stays_after_a_layer_of_one_program():
    rng = np.random.default_rng(0)
    thetas, betas = [rng.random((6, 1)), np.array([[0.2]])], [rng.random((1, 5)) for _ in range(2)]
    found = canonical(thetas, betas)
    for before, after in (
        (thetas[0] @ betas[0], found.thetas[0] @ found.betas[0]),
        (thetas[0] @ thetas[1] @ betas[1], found.thetas[0] @ found.thetas[1] @ found.betas[1]),
    ):
        np.testing.assert_allclose(after, before, rtol=1e-12)


@pytest.mark.parametrize("overwrite", [False, True])
def test_some_cells_at_a_time_and_in_place(monkeypatch, overwrite):
    thetas, betas = factors()
    given = [theta.copy() for theta in thetas]
    whole = canonical(thetas, betas)
    monkeypatch.setattr("neuralNMF.canonical._CHUNK", 7)
    form = canonical(thetas, betas, overwrite=overwrite)
    for part, wanted in zip(form.thetas + form.betas, whole.thetas + whole.betas, strict=True):
        np.testing.assert_allclose(part, wanted, rtol=1e-12)
    assert np.shares_memory(form.thetas[0], thetas[0]) == overwrite
    for theta, before in zip(thetas[int(overwrite) :], given[int(overwrite) :], strict=True):
        np.testing.assert_array_equal(theta, before)
