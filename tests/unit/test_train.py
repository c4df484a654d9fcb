"""The training loop: the best is kept, the reason for the end is right, failures are sentences."""

import logging
import math

import numpy as np
import pytest
import torch
from neuralNMF.cells.products import tensor_products
from neuralNMF.errors import NeuralNMFError
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import make_optimizer
from neuralNMF.training.loop import Status, train

CELLS, GENES = 50, 40


@pytest.fixture
def products():
    rng = np.random.default_rng(0)
    mean = rng.gamma(0.5, 1.0, (CELLS, 3)) @ rng.gamma(0.5, 2.0, (3, GENES))
    return tensor_products(torch.tensor(rng.poisson(mean).astype(np.float64)))


def start(depth=2, loss="reconstruction"):
    rng = np.random.default_rng(1)
    shapes = [(CELLS, 5), (5, 3)][:depth]
    network = NeuralNMF([torch.tensor(rng.random(shape)) for shape in shapes], loss=loss)
    network.settle()
    return network


def run(network, products, kind="auto", lr="auto", **options):
    optimizer = make_optimizer(kind, network, products, lr=lr)
    options = {"epochs": 30, "tol": 0.0, "patience": 1000, **options}
    return train(network, optimizer, CELLS * GENES, **options)


@pytest.mark.parametrize("loss", ["nested", "reconstruction", "energy"])
@pytest.mark.parametrize(("kind", "lr"), [("adam", 3.0), ("gd", 2e4), ("gd", 1.0), ("auto", 1.0)])
def test_the_network_is_left_at_the_best_point_that_was_seen(products, kind, lr, loss):
    network = start(loss=loss)
    result = run(network, products, kind, lr)
    found = network(products)
    assert found.loss.item() / (CELLS * GENES) == pytest.approx(min(result.loss), rel=1e-9)
    best = int(np.argmin(result.loss))
    assert found.error.item() / (CELLS * GENES) == pytest.approx(result.mse[best], rel=1e-9)
    assert len(result.loss) == len(result.mse) == 31


@pytest.mark.parametrize(("kind", "lr"), [("adam", 3.0), ("gd", 2e4)])
def test_a_rate_that_is_too_high_goes_up_and_still_does_not_end_worse(products, kind, lr):
    network = start()
    run(network, products, epochs=60)
    before = network(products).loss.item() / (CELLS * GENES)
    result = run(network, products, kind, lr)
    assert result.loss[-1] > 1.01 * before
    assert network(products).loss.item() / (CELLS * GENES) <= before * (1 + 1e-12)


def test_history_is_per_entry_and_begins_before_the_first_epoch(products):
    network = start()
    before = network(products).loss.item() / (CELLS * GENES)
    result = run(network, products, epochs=3)
    assert result.loss[0] == before
    assert len(result.loss) == 4
    assert result.mse == result.loss


def test_no_epochs_leave_the_start(products):
    network = start()
    before = [theta.detach().clone() for theta in network.thetas]
    result = run(network, products, epochs=0)
    assert result.status is Status.LIMIT
    assert len(result.loss) == 1
    for theta, old in zip(network.thetas, before, strict=True):
        assert torch.equal(theta, old)


def test_the_limit_of_epochs_is_said(products):
    assert run(start(), products, epochs=2, tol=1e-4, patience=10).status is Status.LIMIT


def test_training_ends_once_the_loss_has_settled(products):
    result = run(start(), products, epochs=2000, tol=1e-3, patience=5)
    assert result.status is Status.CONVERGED
    losses = np.array(result.loss)
    assert 5 <= len(losses) - 1 < 2000
    fall = (losses[:-5] - losses[5:]) / losses[:-5]
    assert fall[-1] <= 1e-3
    assert (fall[:-1] > 1e-3).all()


def test_a_smaller_tolerance_trains_longer(products):
    lengths = [
        len(run(start(), products, epochs=2000, tol=t, patience=5).loss) for t in (1e-2, 1e-4)
    ]
    assert lengths[0] < lengths[1]


def test_the_end_is_said_where_no_step_lowers_the_loss():
    class Stuck:
        def __init__(self, network, products):
            self.found = network(products)

        def epoch(self):
            return False

    network = start(1)
    products = tensor_products(torch.ones((CELLS, GENES), dtype=torch.float64))
    options = {"epochs": 9, "tol": 0.0, "patience": 10}
    result = train(network, Stuck(network, products), CELLS * GENES, **options)
    assert result.status is Status.MINIMUM
    assert len(result.loss) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_in_one_sentence(products, value):
    class Diverging:
        def __init__(self, network):
            self.found = network(products)

        def epoch(self):
            self.found.loss = self.found.loss * value
            return True

    network = start()
    with pytest.raises(
        NeuralNMFError, match=r"^the loss of layer 2 is \w+ at epoch 1: .*lower 'lr'"
    ):
        train(network, Diverging(network), 1.0, epochs=5, tol=0, patience=9, name="layer 2")


@pytest.mark.parametrize("kind", ["adam", "gd"])
def test_an_absurd_rate_ends_in_a_sentence_or_at_the_best(products, kind):
    network = start()
    before = network(products).loss.item()
    try:
        run(network, products, kind, 1e200, epochs=5)
    except NeuralNMFError as error:
        assert "lower 'lr'" in str(error)
    else:
        assert network(products).loss.item() <= before


def test_the_log_has_a_line_every_ten_epochs_and_the_reason_for_the_end(products, caplog):
    with caplog.at_level(logging.INFO, logger="neuralNMF.training.loop"):
        run(start(), products, epochs=25, name="layer 2")
    epochs = [r.getMessage() for r in caplog.records if "epoch " in r.getMessage()]
    assert [line.split(":")[0] for line in epochs] == [
        f"layer 2 epoch {epoch}" for epoch in (0, 10, 20)
    ]
    assert "raise 'epochs'" in caplog.records[-1].getMessage()
    assert "(25 epochs)" in caplog.records[-1].getMessage()


def test_without_a_name_nothing_is_logged(products, caplog):
    with caplog.at_level(logging.INFO, logger="neuralNMF.training.loop"):
        run(start(), products, epochs=3)
    assert not caplog.records


def test_the_progress_bar_shows_only_where_asked_for(products, capsys, monkeypatch):
    monkeypatch.setattr("neuralNMF.progress.watched", lambda: True)
    run(start(), products, epochs=3)
    assert capsys.readouterr().err == ""
    run(start(), products, epochs=3, progress=True, name="layer 2")
    assert "layer 2" in capsys.readouterr().err
