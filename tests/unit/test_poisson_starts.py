"""Where layers of a Poisson model start, and what the starts are worth."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from neuralNMF.cells.counts import rows_counts
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset
from neuralNMF.options import LayerOptions
from neuralNMF.poisson.candidates import merge_rows, merged_start, random_starts
from neuralNMF.poisson.deviance import poisson_deviance
from neuralNMF.poisson.em import kl_nmf, programs_given, usage_given
from scipy.optimize import linear_sum_assignment

from benchmarks.planted import simulate_hierarchy

CELLS, GENES, FINE, COARSE = 2500, 400, 20, 10


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("planted") / "planted.h5ad"
    rng = np.random.default_rng(0)
    simulate_hierarchy(path, CELLS, GENES, FINE, COARSE, rng=rng, density=0.1)
    return path


def least_cosine(found: np.ndarray, truth: np.ndarray) -> float:
    """Of the best one-to-one match of programs (rows)."""
    units = [b / np.linalg.norm(b, axis=1, keepdims=True).clip(1e-30) for b in (found, truth)]
    cosines = units[0] @ units[1].T
    return cosines[linear_sum_assignment(-cosines)].min()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("beta", ["learned", "pmf"])
def test_all_planted_programs_are_found(planted, beta, seed):
    """Each from the usage of its own layer: the product has no more programs than the last one."""
    dataset, truth = open_dataset(planted), np.load(planted.with_name("planted_truth.npz"))
    keys = {"beta": beta, "loss": "poisson", "threads": 1, "seed": seed}
    if beta == "pmf":
        keys["epochs"] = 5
    first = fit_layer(dataset, None, LayerOptions(rank=FINE, **keys), progress=False)
    second = fit_layer(dataset, first, LayerOptions(rank=COARSE, **keys), progress=False)
    assert least_cosine(first.betas[0], truth["fine"]) >= 0.95
    assert least_cosine(second.betas[0], truth["fine"]) >= 0.95
    assert least_cosine(second.betas[1], truth["coarse"]) >= 0.95


def test_random_starts_leave_planted_programs_merged(planted):
    """If they did not, the test above would say nothing about the singular vectors."""
    dataset, truth = open_dataset(planted), np.load(planted.with_name("planted_truth.npz"))
    counts = rows_counts(dataset.rows(0, CELLS))
    generator = torch.Generator().manual_seed(0)
    found = kl_nmf(counts, random_starts(counts, FINE, generator, 3))
    assert least_cosine(found.programs_t.numpy().T, truth["fine"]) < 0.5


def test_a_sample_of_the_cells_is_enough(planted, monkeypatch):
    """Starts are tried on a sample; the other cells get their usage of its programs."""
    dataset = open_dataset(planted)
    options = LayerOptions(rank=FINE, beta="learned", loss="poisson", threads=1)
    whole = fit_layer(dataset, None, options, progress=False)
    monkeypatch.setattr("neuralNMF.cells.stream.SAMPLE_CELLS", 1500)
    part = fit_layer(dataset, None, options, progress=False)
    assert part.info["deviance"] == pytest.approx(whole.info["deviance"], rel=2e-3)
    joint = part.history.query("phase == 'joint'")["loss"]
    assert joint.iloc[0] <= 1.05 * joint.iloc[-1]  # they were near the end at once


def test_usage_and_programs_given_the_other_are_at_their_minimum():
    """Kuhn and Tucker's conditions of one factor with the other held, empty cells and genes too."""
    rng = np.random.default_rng(0)
    theta, beta = rng.gamma(0.5, 1, (80, 4)), rng.gamma(0.3, 2, (4, 50))
    x = rng.poisson(theta @ beta).astype(np.float64)
    x[7], x[:, 9] = 0, 0
    sizes = rng.uniform(0.5, 2, 80)
    sizes[7] = 0
    counts = rows_counts(sp.csr_matrix(x), sizes, dtype=torch.float64)
    known = torch.from_numpy(beta.T / beta.sum(1))
    usage = usage_given(counts, known, passes=3000)
    leaf = usage.clone().requires_grad_()
    poisson_deviance(leaf, known, counts).backward()
    assert _broken(leaf, torch.outer(counts.scale, known.sum(0))) < 2e-2
    assert (usage[7] == 0).all()
    generator = torch.Generator().manual_seed(0)
    first = torch.rand((50, 4), generator=generator, dtype=torch.float64)
    programs_t = programs_given(counts, usage, first, passes=3000)
    leaf = programs_t.clone().requires_grad_()
    poisson_deviance(usage, leaf, counts).backward()
    assert _broken(leaf, counts.weights(usage).expand_as(leaf)) < 2e-2
    assert (programs_t[9] == 0).all()


def _broken(factor: torch.Tensor, cost: torch.Tensor) -> float:
    """How far the conditions are from holding; an entry counts by its share of its column.

    cost: the positive part of half the gradient.
    """
    slope = torch.where(cost > 0, factor.grad / (2 * cost), 0.0)
    share = (factor / factor.sum(0)).detach()
    return float(
        torch.maximum((share * slope).abs().sum(0), -slope.min(0).values.clamp(max=0)).max()
    )


def test_rows_that_are_alike_are_merged():
    rng = np.random.default_rng(0)
    group = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    profiles, masses = rng.gamma(0.3, 1, (3, 40)), rng.uniform(1, 50, (8, 1))
    entries = torch.from_numpy(masses * (profiles[group] + 0.02 * rng.random((8, 40))))
    assert merge_rows(entries, 3).tolist() == group.tolist()
    assert merge_rows(entries, 8).tolist() == list(range(8))
    theta, programs_t = merged_start(entries, 3, torch.Generator().manual_seed(0))
    assert theta.argmax(1).tolist() == group.tolist()
    assert (theta > 0).all() and (programs_t > 0).all()
    np.testing.assert_allclose(theta.sum(1), entries.sum(1), rtol=1e-12)
    np.testing.assert_allclose(programs_t.sum(0), 1, rtol=1e-12)


def test_the_first_merger_is_the_one_that_costs_least():
    """Against the deviance of every merger, written out."""
    entries = torch.from_numpy(np.random.default_rng(1).gamma(0.5, 2, (6, 15)))

    def cost(a: int, b: int) -> float:
        pair = entries[[a, b]]
        mean = pair.sum(1, keepdim=True) * pair.sum(0) / pair.sum()
        return float((pair * (pair / mean).log()).sum())

    pairs = [(a, b) for a in range(6) for b in range(a + 1, 6)]
    a, b = min(pairs, key=lambda pair: cost(*pair))
    group = merge_rows(entries, 5)
    assert group[a] == group[b] and group.unique().numel() == 5
