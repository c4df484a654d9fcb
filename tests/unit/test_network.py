"""The whole network: its gradient, its losses beside plain formulas, and what leaves them alone."""

import itertools

import numpy as np
import pytest
import scipy.optimize
import torch
from neuralNMF.cells.products import tensor_products
from neuralNMF.least_squares.network import NeuralNMF, residual

CELLS, GENES = 14, 11
RANKS = (6, 4, 2)
DEPTHS = [1, 2, 3]
LOSSES = ["nested", "reconstruction", "energy"]


def nnls(theta, target):
    return np.stack([scipy.optimize.nnls(theta, column)[0] for column in target.T], axis=1)


def plain_betas(thetas, X):
    betas, before = [], X
    for theta in thetas:
        before = nnls(theta, before)
        betas.append(before)
    return betas


def plain_reconstruction(thetas, X):
    result = plain_betas(thetas, X)[-1]
    for theta in reversed(thetas):
        result = theta @ result
    return ((X - result) ** 2).sum()


def plain_energy(thetas, X):
    units = [theta / np.linalg.norm(theta, axis=0) for theta in thetas]
    betas = plain_betas(units, X)
    return sum(
        ((before - theta @ beta) ** 2).sum()
        for before, theta, beta in zip([X, *betas], units, betas, strict=False)
    )


def usages(thetas):
    return list(itertools.accumulate(thetas, np.matmul))


def plain_nested(thetas, X):
    return sum(((X - usage @ nnls(usage, X)) ** 2).sum() for usage in usages(thetas))


def solves(thetas, X, loss):
    """What stands left and right of each solve for a beta."""
    if loss == "nested":
        return [(usage, X) for usage in usages(thetas)]
    if loss == "energy":
        thetas = [theta / np.linalg.norm(theta, axis=0) for theta in thetas]
    return list(zip(thetas, [X, *plain_betas(thetas, X)], strict=False))


def distance_to_a_border(theta, target):
    """How far the nearest entry of beta is from entering or leaving its support."""
    beta = nnls(theta, target)
    descent = theta.T @ (theta @ beta - target)
    return np.where(beta > 0, beta, descent).min()


def problem(depth, loss="reconstruction"):
    """Theta_1 ... Theta_L and X', with entries both in and off the supports, far from a border."""
    for seed in range(3000):
        rng = np.random.default_rng(seed)
        shapes = zip((CELLS, *RANKS), RANKS, strict=False)
        thetas = [rng.random(shape) for shape in shapes][:depth]
        X = rng.gamma(0.5, 2.0, (CELLS, GENES))
        pairs = solves(thetas, X, loss)
        off = [(nnls(*pair) == 0).mean() for pair in pairs]
        distance = min(distance_to_a_border(*pair) for pair in pairs)
        if distance > 1e-3 and min(off) > 0.05 and max(off) < 0.7:
            return thetas, X
    raise AssertionError("no such problem found")


def build(thetas, *, loss="reconstruction"):
    return NeuralNMF([torch.tensor(theta) for theta in thetas], loss=loss)


def products_of(X):
    return tensor_products(torch.tensor(X))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_gradcheck_through_the_whole_network(depth, loss):
    thetas, X = problem(depth, loss)
    network, products = build(thetas, loss=loss), products_of(X)

    def outputs(*leaves):
        values = {f"thetas.{layer}": leaf for layer, leaf in enumerate(leaves)}
        found = torch.func.functional_call(network, values, (products,))
        # Some genes stand for all: each output of a gradcheck costs a backward pass.
        return found.loss, found.error, found.programs_t[-1][:3]

    leaves = [torch.tensor(theta, requires_grad=True) for theta in thetas]
    assert torch.autograd.gradcheck(outputs, leaves, eps=1e-7, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_loss_is_the_error_of_the_plainly_computed_product(depth):
    thetas, X = problem(depth)
    found = build(thetas)(products_of(X))
    assert found.loss.item() == pytest.approx(plain_reconstruction(thetas, X), rel=1e-10)
    assert found.error.item() == found.loss.item()
    for program_t, beta in zip(found.programs_t, plain_betas(thetas, X), strict=True):
        np.testing.assert_allclose(program_t.detach().numpy().T, beta, atol=1e-10)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_nested_loss_is_the_sum_of_the_errors_of_all_usages(depth):
    thetas, X = problem(depth)
    found = build(thetas, loss="nested")(products_of(X))
    assert found.loss.item() == pytest.approx(plain_nested(thetas, X), rel=1e-10)
    usage = usages(thetas)[-1]
    last = ((X - usage @ nnls(usage, X)) ** 2).sum()
    assert found.error.item() == pytest.approx(last, rel=1e-10)
    for program_t, usage in zip(found.programs_t, usages(thetas), strict=True):
        np.testing.assert_allclose(program_t.detach().numpy().T, nnls(usage, X), atol=1e-10)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_energy_is_the_sum_of_the_plainly_computed_errors(depth):
    thetas, X = problem(depth, "energy")
    found = build(thetas, loss="energy")(products_of(X))
    assert found.loss.item() == pytest.approx(plain_energy(thetas, X), rel=1e-10)
    units = [theta / np.linalg.norm(theta, axis=0) for theta in thetas]
    assert found.error.item() == pytest.approx(plain_reconstruction(units, X), rel=1e-10)


def test_all_losses_of_one_layer_are_the_same():
    thetas, X = problem(1)
    products = products_of(X)
    losses = [build(thetas, loss=loss)(products).loss.item() for loss in LOSSES]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-12)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_reconstruction_does_not_depend_on_the_units_of_the_last_programs(depth):
    thetas, X = problem(depth)
    scaled = [*thetas[:-1], thetas[-1] * np.logspace(-3, 3, thetas[-1].shape[1])]
    products = products_of(X)
    loss = build(thetas)(products).loss.item()
    assert build(scaled)(products).loss.item() == pytest.approx(loss, rel=1e-10)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_energy_does_not_depend_on_the_units_of_any_program(depth):
    thetas, X = problem(depth)
    scaled = [theta * np.logspace(-3, 3, theta.shape[1]) for theta in thetas]
    products = products_of(X)
    loss = build(thetas, loss="energy")(products).loss.item()
    assert build(scaled, loss="energy")(products).loss.item() == pytest.approx(loss, rel=1e-10)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_nested_loss_does_not_depend_on_the_units_of_the_usages(depth):
    thetas, X = problem(depth)
    units = [np.logspace(-3, 3, theta.shape[1]) for theta in thetas]
    before = [np.ones(CELLS), *units]
    scaled = [t * u / b[:, None] for t, u, b in zip(thetas, units, before, strict=False)]
    products = products_of(X)
    loss = build(thetas, loss="nested")(products).loss.item()
    assert build(scaled, loss="nested")(products).loss.item() == pytest.approx(loss, rel=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_does_not_depend_on_the_order_of_programs_cells_and_genes(loss):
    thetas, X = problem(3)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(n) for n in (CELLS, *RANKS)]
    moved = [
        theta[rows][:, columns]
        for theta, rows, columns in zip(thetas, orders, orders[1:], strict=False)
    ]
    before = build(thetas, loss=loss)(products_of(X)).loss.item()
    other = build(moved, loss=loss)(products_of(X[orders[0]][:, ::-1].copy()))
    assert other.loss.item() == pytest.approx(before, rel=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_dead_factor_is_as_if_it_were_not_there_and_makes_no_nan(layer, loss):
    thetas, X = problem(3)
    thetas[layer][:, 1] = 0
    without = [theta.copy() for theta in thetas]
    without[layer] = np.delete(without[layer], 1, axis=1)
    if layer < 2:
        # Its row of beta is zero, which the next layer must make up of nothing.
        thetas[layer + 1][1] = 0
        without[layer + 1] = np.delete(without[layer + 1], 1, axis=0)
    network = build(thetas, loss=loss)
    found = network(products_of(X))
    assert (found.programs_t[layer][:, 1] == 0).all()
    other = build(without, loss=loss)(products_of(X))
    assert found.loss.item() == pytest.approx(other.loss.item(), rel=1e-10)
    found.loss.backward()
    for theta in network.thetas:
        assert torch.isfinite(theta.grad).all()
    assert (network.thetas[layer].grad[:, 1] == 0).all()
    network.settle()
    for theta in network.thetas:
        assert torch.isfinite(theta).all()


def test_a_matrix_of_zeros_and_dead_factors_everywhere_make_no_nan():
    for thetas, X in (
        (problem(2)[0], np.zeros((CELLS, GENES))),
        ([np.zeros((CELLS, 4)), np.zeros((4, 2))], np.ones((CELLS, GENES))),
    ):
        for loss in LOSSES:
            network = build(thetas, loss=loss)
            found = network(products_of(X))
            found.loss.backward()
            times = len(thetas) if loss == "nested" else 1
            assert found.loss.item() == pytest.approx(times * (X**2).sum())
            assert all(torch.isfinite(theta.grad).all() for theta in network.thetas)


def test_at_a_border_the_gradient_of_one_layer_is_still_that_of_its_loss():
    # Along the path the second program leaves beta at t = 0.
    X = np.array([[1.0], [1.0], [0.0]])
    base = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    direction = np.array([[0.0, -1.0], [0.0, 0.0], [0.0, 0.0]])
    products = products_of(X)

    def loss(t):
        return plain_reconstruction([base + t * direction], X)

    assert nnls(base + 1e-3 * direction, X)[1, 0] == 0
    network = build([base])
    network(products).loss.backward()
    slope = (network.thetas[0].grad.numpy() * direction).sum()
    assert slope == pytest.approx((loss(1e-6) - loss(-1e-6)) / 2e-6, abs=1e-5)
    assert torch.isfinite(network.thetas[0].grad).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_supports_kept_from_one_pass_to_the_next_do_not_change_it(loss):
    thetas, X = problem(3)
    network, products = build(thetas, loss=loss), products_of(X)
    rng = np.random.default_rng(0)
    for _ in range(3):
        moved = [theta + 0.3 * rng.random(theta.shape) for theta in thetas]
        with torch.no_grad():
            for parameter, theta in zip(network.thetas, moved, strict=True):
                parameter.copy_(torch.tensor(theta))
        fresh = build(moved, loss=loss)(products).loss.item()
        assert network(products).loss.item() == pytest.approx(fresh, rel=1e-12)


@pytest.mark.parametrize("held", [1, 2])
def test_held_layers_are_solved_once_for_the_same_sums(held, monkeypatch):
    thetas, X = problem(3, "nested")
    factors = [torch.from_numpy(theta) for theta in thetas]
    sums = [
        tensor_products(torch.from_numpy(target), np.ones(CELLS), np.ones(GENES)).sums(factors[0])
        for target in (X, X[:, ::-1].copy())
    ]
    network = NeuralNMF(factors)
    for theta in network.thetas[:held]:
        theta.requires_grad_(False)
    solved = []
    solve = NeuralNMF._solve
    monkeypatch.setattr(
        NeuralNMF, "_solve", lambda self, *of: (solved.append(of[0]), solve(self, *of))[1]
    )
    for now, expected in ((sums[0], [0, 1, 2]), (sums[0], [0, 1, 2][held:]), (sums[1], [0, 1, 2])):
        with torch.no_grad():
            network.thetas[2].mul_(torch.linspace(0.5, 2.0, RANKS[2]))
        solved.clear()
        found = network.evaluate(now.gram, now.cross, 1.0)
        found.loss.backward()
        assert solved == expected
        anew = NeuralNMF([theta.detach() for theta in network.thetas])
        plain = anew.evaluate(now.gram, now.cross, 1.0)
        plain.loss.backward()
        torch.testing.assert_close(found.loss, plain.loss)
        for one, other in zip(found.programs_t, plain.programs_t, strict=True):
            torch.testing.assert_close(one, other)
        for one, other in zip(found.curvatures, plain.curvatures, strict=True):
            torch.testing.assert_close(one, other)
        torch.testing.assert_close(network.thetas[2].grad, anew.thetas[2].grad)
        network.thetas[2].grad = None


def test_settle_puts_the_unit_length_of_the_energy_into_the_parameters():
    thetas, X = problem(3)
    network, products = build(thetas, loss="energy"), products_of(X)
    loss = network(products).loss.item()
    network.settle()
    for theta in network.thetas:
        np.testing.assert_allclose(theta.detach().norm(dim=0), 1, rtol=1e-12)
    assert network(products).loss.item() == pytest.approx(loss, rel=1e-12)
    other = build(thetas)
    other.settle()
    for theta, before in zip(other.thetas, thetas, strict=True):
        np.testing.assert_array_equal(theta.detach(), before)


@pytest.mark.parametrize("loss", ["nested", "reconstruction"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_curvatures_are_those_of_the_error_with_beta_held(depth, loss):
    thetas, X = problem(depth)
    network = build(thetas, loss=loss)
    found = network(products_of(X))
    betas = [program_t.detach().numpy().T for program_t in found.programs_t]

    def halved(changed):
        errors = [
            ((X - usage @ beta) ** 2).sum()
            for usage, beta in zip(usages(changed), betas, strict=True)
        ]
        return 0.5 * (sum(errors) if loss == "nested" else errors[-1])

    rng = np.random.default_rng(0)
    for layer, (left, right) in enumerate(network.curvatures(found)):
        step = rng.standard_normal(thetas[layer].shape)
        values = [
            halved([*thetas[:layer], thetas[layer] + t * step, *thetas[layer + 1 :]])
            for t in (-1, 0, 1)
        ]
        second = values[0] - 2 * values[1] + values[2]
        left = np.eye(CELLS) if left is None else left.numpy()
        assert np.trace(left @ step @ right.numpy() @ step.T) == pytest.approx(second, rel=1e-8)


@pytest.mark.parametrize("rank", [1, 4, 5])
def test_residual_and_curvature(rank):
    rng = np.random.default_rng(0)
    X, theta, programs_t = rng.random((12, 70)), rng.random((12, rank)), rng.random((70, rank))
    leaves = [torch.tensor(a) for a in (theta.T @ theta, X.T @ theta, programs_t)]
    error, curvature = residual((X**2).sum(), *leaves)
    assert error.item() == pytest.approx(((X - theta @ programs_t.T) ** 2).sum())
    np.testing.assert_allclose(curvature, programs_t.T @ programs_t)
    assert not curvature.requires_grad

    def of_symmetric(gram, cross, reconstruction):
        return residual((X**2).sum(), gram + gram.T, cross, reconstruction)[0]

    for leaf in leaves:
        leaf.requires_grad_()
    assert torch.autograd.gradcheck(of_symmetric, leaves)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", range(3))
def test_what_is_not_finite_reaches_the_residual(place, value):
    tensors = [torch.ones(shape, dtype=torch.float64) for shape in [(3, 3), (70, 3), (70, 3)]]
    tensors[place][1, 1] = value
    assert not torch.isfinite(residual(1.0, *tensors)[0])


def test_single_precision_follows_double():
    thetas, X = problem(3)
    double = build(thetas)
    loss = double(products_of(X)).loss
    loss.backward()
    tensors = [torch.tensor(thetas[0]).float(), *map(torch.tensor, thetas[1:])]
    single = NeuralNMF(tensors, loss="reconstruction")
    other = single(tensor_products(torch.tensor(X).float())).loss
    other.backward()
    assert other.dtype == torch.float64
    assert other.item() == pytest.approx(loss.item(), rel=1e-5)
    for one, two in zip(double.thetas, single.thetas, strict=True):
        np.testing.assert_allclose(two.grad, one.grad, atol=1e-3 * one.grad.abs().max())
