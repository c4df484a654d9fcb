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
from neuralNMF.poisson.guide import LabelClassifier, relative_usage
from neuralNMF.poisson.labels import (
    UNLABELLED,
    Labels,
    class_shares,
    class_totals,
    encode_labels,
    start_from_labels,
)
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
    return torch.tensor(usage), torch.tensor(codes)


def test_rows_scale_to_mean_one_and_an_empty_cell_stays_empty():
    usage = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    np.testing.assert_allclose(relative_usage(usage), [[0.5, 1.5], [0.0, 0.0]])
    np.testing.assert_allclose(relative_usage(7 * usage), relative_usage(usage))


def test_the_fit_equals_logistic_regression(groups):
    usage, codes = groups
    classifier = LabelClassifier(5, 3, ridge=1e-2, dtype=torch.float64)
    classifier.fit(usage, codes, steps=500)
    reference = LogisticRegression(C=1 / (1e-2 * len(codes)), tol=1e-10, max_iter=2000)
    features = relative_usage(usage).numpy()
    reference.fit(features, codes.numpy())
    np.testing.assert_allclose(
        classifier.probabilities(usage), reference.predict_proba(features), atol=1e-4
    )
    assert classifier.loss(usage, codes) < np.log(3)


def test_loss_and_its_gradient(groups):
    usage, codes = (part[:12] for part in groups)
    classifier = LabelClassifier(5, 3, ridge=1e-3, dtype=torch.float64)
    assert classifier.loss(usage, codes).item() == pytest.approx(np.log(3), rel=1e-12)
    with torch.no_grad():
        classifier.weight += torch.randn(
            (5, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
    parameters = {"classifier.weight": classifier.weight.detach().requires_grad_()}
    assert torch.autograd.gradcheck(
        lambda u, w: torch.func.functional_call(
            _Loss(classifier), dict.fromkeys(parameters, w), (u, codes)
        ),
        (usage.clone().requires_grad_(), *parameters.values()),
    )


class _Loss(torch.nn.Module):
    def __init__(self, classifier):
        super().__init__()
        self.classifier = classifier

    def forward(self, usage, codes):
        return self.classifier.loss(usage, codes)


def sample_of(counts: Counts, matrix: scipy.sparse.csr_matrix) -> CountsSample:
    products = rows_products(matrix, dtype=counts.dtype)
    cells = matrix.shape[0]
    return CountsSample(torch.arange(cells), counts, products, slice(0, cells))


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
    labels = Labels(codes, ["a", "b", "c"])
    totals = class_totals(counts, labels)
    dense = x.toarray()
    for column, code in enumerate([0, 1, 2, UNLABELLED]):
        np.testing.assert_allclose(totals[:, column], dense[codes == code].sum(0), rtol=1e-6)
    generator = torch.Generator().manual_seed(0)
    sample = sample_of(counts, x)
    theta, programs_t = start_from_labels(counts, sample, labels, rank, generator)
    assert theta.shape == (40, rank) and programs_t.shape == (30, rank)
    np.testing.assert_allclose(scale * theta.sum(1).numpy(), dense.sum(1), rtol=1e-2)
    np.testing.assert_allclose(programs_t.sum(0), 1, rtol=1e-12)
    assert (theta > 0).all() and (programs_t[dense.sum(0) > 0, : min(rank, 3)] > 0).all()
    program_of = [0, 1, 0] if rank == 2 else [0, 1, 2]
    led = range(max(program_of) + 1)
    for c in range(3):
        fits = [np.corrcoef(totals[:, c], programs_t[:, q])[0, 1] for q in led]
        assert np.argmax(fits) == program_of[c]
        others = [q for q in led if q != program_of[c]]
        usage = theta[codes == c]
        assert (usage[:, others].sum(1) < 0.3 * usage[:, program_of[c]]).all()


def test_shares_of_the_classes_in_what_labelled_cells_use():
    """Beside sums written out; a program that no labelled cell uses has none."""
    rng = np.random.default_rng(0)
    codes = np.array([0, 1, UNLABELLED, 1, 0, UNLABELLED])
    scale, second = rng.uniform(0.5, 2, 6), rng.gamma(1, 1, (3, 2))
    first = rng.gamma(1, 1, (6, 3))
    first[codes != UNLABELLED, 2] = 0
    matrix = scipy.sparse.csr_matrix(rng.poisson(2.0, (6, 4)).astype(np.float32))
    counts = rows_counts(matrix, scale, dtype=torch.float64)
    labels = Labels(codes, ["a", "b"])
    for thetas in ([first], [first, second]):
        usage = scale[:, None] * (first if len(thetas) == 1 else first @ second)
        sums = np.stack([usage[codes == c].sum(0) for c in (0, 1)], axis=1)
        wanted = sums / np.maximum(sums.sum(1, keepdims=True), 1e-30)
        shares = class_shares(counts, labels, [torch.tensor(theta) for theta in thetas])
        np.testing.assert_allclose(shares, wanted, rtol=1e-12)
