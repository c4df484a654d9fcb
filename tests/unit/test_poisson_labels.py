"""The classifier on the usage: encoding, loss, optimum, and what it does to the factors."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from neuralNMF.cells.counts import Counts, rows_counts
from neuralNMF.cells.products import rows_products
from neuralNMF.cells.stream import CountsSample
from neuralNMF.errors import InputError
from neuralNMF.poisson.deviance import poisson_deviance
from neuralNMF.poisson.em import kl_nmf
from neuralNMF.poisson.guided_start import class_totals, guided_start
from neuralNMF.poisson.labels import UNLABELLED, LabelHead, encode_labels, relative_usage
from sklearn.linear_model import LogisticRegression


@pytest.mark.parametrize(
    "column",
    [
        ["b", None, "a", "", "b", " "],
        np.array(["b", np.nan, "a", "", "b", None], dtype=object),
        pd.Series(["b", None, "a", None, "b", None], dtype="category"),
        pd.Series(["b", pd.NA, "a", pd.NA, "b", pd.NA], dtype="string"),
    ],
)
def test_missing_labels_are_left_out(column):
    labels = encode_labels(column)
    assert labels.classes == ["a", "b"]
    np.testing.assert_array_equal(labels.codes, [1, -1, 0, -1, 1, -1])


def test_numbers_are_labels_too():
    assert encode_labels([2.0, np.nan, 1.0]).classes == ["1.0", "2.0"]


@pytest.mark.parametrize("column", [["a", "a", None], [None, np.nan, ""]])
def test_one_class_is_refused(column):
    with pytest.raises(InputError, match="at least two classes"):
        encode_labels(column)


@pytest.fixture
def groups():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 200)
    usage = rng.gamma(1, 1, (200, 5)) + 2 * np.eye(5)[codes] * rng.gamma(1, 1, (200, 1))
    partly = np.where(rng.uniform(size=200) < 0.5, codes, -1)
    return torch.tensor(usage), torch.tensor(codes), torch.tensor(partly)


def test_rows_scale_to_mean_one_and_an_empty_cell_stays_empty():
    usage = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    np.testing.assert_allclose(relative_usage(usage), [[0.5, 1.5], [0.0, 0.0]])
    np.testing.assert_allclose(relative_usage(7 * usage), relative_usage(usage))


def test_the_fit_equals_logistic_regression(groups):
    usage, _, partly = groups
    head = LabelHead(5, 3, ridge=1e-2, dtype=torch.float64)
    value = head.fit(usage, partly, iterations=500)
    seen = (partly >= 0).numpy()
    reference = LogisticRegression(C=1 / (1e-2 * seen.sum()), tol=1e-10, max_iter=2000)
    features = relative_usage(usage).numpy()
    reference.fit(features[seen], partly.numpy()[seen])
    np.testing.assert_allclose(
        head.predict_proba(usage), reference.predict_proba(features), atol=1e-4
    )
    assert value < np.log(3)


def test_loss_and_its_gradient(groups):
    usage, _, partly = groups
    usage = usage.requires_grad_()
    head = LabelHead(5, 3, dtype=torch.float64)
    assert head.loss(usage, partly).item() == pytest.approx(np.log(3), rel=1e-12)
    with torch.no_grad():
        head.weight += torch.randn(
            (5, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
    assert torch.autograd.gradcheck(
        lambda u, w: torch.func.functional_call(_Loss(head), {"head.weight": w}, (u, partly[:12])),
        (usage[:12].detach().requires_grad_(), head.weight.detach().requires_grad_()),
    )
    head.loss(usage, partly).backward()
    assert (usage.grad[partly < 0] == 0).all()
    assert (usage.grad[partly >= 0] != 0).any(1).all()


class _Loss(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, usage, codes):
        return self.head.loss(usage, codes)


def sample_of(counts: Counts, matrix: scipy.sparse.csr_matrix) -> CountsSample:
    return CountsSample(
        torch.arange(matrix.shape[0]), counts, rows_products(matrix, dtype=counts.dtype)
    )


def held_out_accuracy(seed, *, guided, cells=300):
    """A label's program beside a stronger one that has nothing to do with it, for two programs."""
    rng = np.random.default_rng(seed)
    codes, other = rng.integers(0, 2, (2, cells))
    rate = np.full((cells, 60), 0.3)
    for group, block in ((codes == 0, slice(0, 15)), (codes == 1, slice(15, 30))):
        rate[:, block] += 1.5 * group[:, None]
    for group, block in ((other == 0, slice(30, 45)), (other == 1, slice(45, 60))):
        rate[:, block] += 1.8 * group[:, None]
    matrix = scipy.sparse.csr_matrix(rng.poisson(rate).astype(np.float64))
    counts = rows_counts(matrix, dtype=torch.float64)
    known = np.where(np.arange(cells) < cells // 10, codes, UNLABELLED)
    generator = torch.Generator().manual_seed(seed)
    starts = 3
    if guided:
        totals = class_totals(counts, known)
        starts = [guided_start(sample_of(counts, matrix), totals, known, 2, generator)]
    found = kl_nmf(counts, 2, generator=generator, starts=starts)
    theta = found.theta.sqrt().requires_grad_()
    programs_t = found.programs_t.sqrt().requires_grad_()
    head, known = LabelHead(2, 2, dtype=torch.float64), torch.tensor(known)
    adam = torch.optim.Adam([theta, programs_t, *head.parameters()], lr=0.02)
    for _ in range(40 if guided else 0):
        adam.zero_grad()
        loss = poisson_deviance(theta.square(), programs_t.square(), counts) / found.deviance
        (loss + 0.1 * head.loss(theta.square(), known)).backward()
        adam.step()
    usage = theta.detach().square()
    head.fit(usage, known)
    predicted = head.predict_proba(usage).argmax(1).numpy()
    return (predicted == codes)[cells // 10 :].mean()


def test_a_tenth_of_the_labels_beats_none_on_held_out_cells():
    guided, alone = (
        [held_out_accuracy(seed, guided=guided) for seed in range(3)] for guided in (True, False)
    )
    assert np.mean(guided) > 0.85
    assert np.mean(guided) > np.mean(alone) + 0.2


@pytest.mark.parametrize("rank", [2, 3, 7])
def test_a_start_from_labels_follows_the_classes(rank):
    """With two programs for three classes, the two that are alike share one."""
    rng = np.random.default_rng(3)
    codes = np.repeat([0, 1, 2, UNLABELLED], 10)
    profiles = rng.gamma(0.3, 5, (4, 30))
    profiles[2] = 0.8 * profiles[0] + 0.2 * profiles[2]
    x = scipy.sparse.csr_matrix(rng.poisson(profiles[codes]).astype(np.float32))
    scale = rng.uniform(0.5, 2, 40)
    counts = rows_counts(x, scale, dtype=torch.float64)
    totals = class_totals(counts, codes)
    dense = x.toarray()
    for c, mine in enumerate([0, 1, 2, UNLABELLED]):
        np.testing.assert_allclose(totals[:, c], dense[codes == mine].sum(0), rtol=1e-6)
    generator = torch.Generator().manual_seed(0)
    theta, programs_t = guided_start(sample_of(counts, x), totals, codes, rank, generator)
    assert theta.shape == (40, rank) and programs_t.shape == (30, rank)
    np.testing.assert_allclose(scale * theta.sum(1).numpy(), dense.sum(1), rtol=1e-2)
    np.testing.assert_allclose(programs_t.sum(0), 1, rtol=1e-12)
    assert (theta > 0).all() and (programs_t[dense.sum(0) > 0, : min(rank, 3)] > 0).all()
    own = [0, 1, 0] if rank == 2 else [0, 1, 2]
    for c in range(3):
        fits = [np.corrcoef(totals[:, c], programs_t[:, q])[0, 1] for q in range(max(own) + 1)]
        assert np.argmax(fits) == own[c]
        others = [q for q in range(max(own) + 1) if q != own[c]]
        assert (theta[codes == c][:, others].sum(1) < 0.3 * theta[codes == c][:, own[c]]).all()


def test_a_start_without_labels_is_refused():
    counts = rows_counts(scipy.sparse.csr_matrix(np.ones((4, 3), np.float32)))
    for codes, message in (([UNLABELLED] * 4, "No cell is labelled"), ([0, 1], "2 labels")):
        with pytest.raises(InputError, match=message):
            class_totals(counts, np.array(codes))
