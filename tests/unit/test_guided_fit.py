"""Labels of some cells guide a fit: the others' are predicted better than without."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from neuralNMF.cells.counts import rows_counts
from neuralNMF.errors import InputError
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import Dataset, open_dataset
from neuralNMF.io.dataset_writer import write_dataset
from neuralNMF.options import LayerOptions
from neuralNMF.poisson.guide import Guide, LabelClassifier
from neuralNMF.poisson.labels import encode_labels
from neuralNMF.poisson.network import LearnedPoisson
from neuralNMF.poisson.optimize import Multiplicative

CELLS, GENES = 300, 60


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts in which the class is a weaker signal beside a stronger one of nothing to do with it.

    Returns counts (N, M) and the classes (N,).
    """
    rng = np.random.default_rng(seed)
    kind, other = rng.integers(0, 2, (2, CELLS))
    rates = np.full((CELLS, GENES), 0.3)
    for group, block in ((kind == 0, slice(0, 15)), (kind == 1, slice(15, 30))):
        rates[:, block] += 1.5 * group[:, None]
    for group, block in ((other == 0, slice(30, 45)), (other == 1, slice(45, 60))):
        rates[:, block] += 1.8 * group[:, None]
    return rng.poisson(rates), np.where(kind == 1, "T", "B")


def dataset_of(counts: np.ndarray, labels: np.ndarray, path: Path) -> Dataset:
    totals = counts.sum(axis=1)
    obs = pd.DataFrame(
        {"total_counts": totals, "selected_counts": totals, "kind": labels},
        index=[f"cell{i}" for i in range(len(counts))],
    )
    var = pd.DataFrame(index=[f"gene{j}" for j in range(counts.shape[1])])
    write_dataset(path, sp.csr_matrix(counts.astype(np.float32)), obs, var)
    return open_dataset(path)


def held_out(usage: np.ndarray, truth: np.ndarray, known: np.ndarray) -> float:
    """Accuracy, on the other cells, of a classifier fitted to the known cells' usage afterwards."""
    labels = encode_labels(np.where(known, truth, ""))
    classifier = LabelClassifier(usage.shape[1], 2, ridge=1e-3, dtype=torch.float64)
    values = torch.as_tensor(usage, dtype=torch.float64)
    classifier.fit(values[known], torch.from_numpy(labels.codes[known]), steps=100)
    found = np.array(labels.classes)[classifier.probabilities(values).argmax(1).numpy()]
    return float((found == truth)[~known].mean())


def test_a_tenth_of_the_labels_beats_none(tmp_path):
    with_labels, without = [], []
    for seed in range(3):
        counts, truth = draw(seed)
        known = np.random.default_rng(seed).random(CELLS) < 0.1
        dataset = dataset_of(counts, np.where(known, truth, ""), tmp_path / f"{seed}.h5ad")
        plain = LayerOptions(
            rank=2, beta="learned", loss="nested_poisson", epochs=20, seed=seed, threads=1
        )
        guided = LayerOptions(
            **{**vars(plain), "labels": "kind", "guide": 10.0},
        )
        without.append(
            held_out(fit_layer(dataset, None, plain, progress=False).usages[0], truth, known)
        )
        model = fit_layer(dataset, None, guided, progress=False)
        right = model.obs["predicted_label"].to_numpy() == truth
        with_labels.append(right[~known].mean())
        assert model.obs["predicted_probability"].between(0.5, 1).all()
    assert np.mean(with_labels) > np.mean(without) + 0.2
    assert np.mean(with_labels) > 0.8


def test_predictions_come_from_the_counts_alone(tmp_path):
    """Labels that mean nothing are met in training, by the usage of their own cells only."""
    counts, truth = draw(0)
    shuffled = np.random.default_rng(0).permutation(truth)
    known = np.arange(CELLS) < 100
    dataset = dataset_of(counts, np.where(known, shuffled, ""), tmp_path / "d.h5ad")
    options = LayerOptions(
        rank=4,
        beta="learned",
        loss="nested_poisson",
        labels="kind",
        guide=1000.0,
        epochs=50,
        threads=1,
    )
    model = fit_layer(dataset, None, options, progress=False)
    labels = encode_labels(np.where(known, shuffled, ""))
    classifier = LabelClassifier(4, 2, ridge=1e-3, dtype=torch.float64)
    usage = torch.as_tensor(model.usages[0], dtype=torch.float64)[known]
    codes = torch.from_numpy(labels.codes[known])
    classifier.fit(usage, codes, steps=100)
    assert classifier.loss(usage, codes) < 0.1
    assert (model.obs["predicted_label"].to_numpy() == shuffled)[known].mean() < 0.8


@pytest.mark.parametrize("layer", [1, 2])
def test_the_guided_loss_never_rises_and_its_gradient_is_right(layer):
    counts, truth = draw(0)
    counts, truth = counts[:60], truth[:60]
    labels = encode_labels(np.where(np.arange(60) < 30, truth, ""))
    generator = torch.Generator().manual_seed(0)
    first, second, last = (
        torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1
        for shape in [(60, 4), (4, 3), (GENES, 3)]
    )
    matrix = rows_counts(sp.csr_matrix(counts.astype(np.float64)), dtype=torch.float64)
    guide = Guide(labels, layer, 30.0)
    network = LearnedPoisson(
        [first * 20, second / second.sum(1, keepdim=True)],
        [last / last.sum(0)],
        guide,
        nested=False,
    )
    for _ in range(20):  # until the classifier is that of this usage
        found = network(matrix)
    found.loss.backward()
    for factor in list(network.thetas)[:layer]:
        values = []
        for step in (1e-4, -1e-4):
            with torch.no_grad():
                factor[1, 1] += step
                for _ in range(20):
                    value = float(network(matrix).loss)
                values.append(value)
                factor[1, 1] -= step
        slope = (values[0] - values[1]) / 2e-4
        assert factor.grad[1, 1].item() == pytest.approx(slope, rel=2e-2, abs=0.05)
    optimizer = Multiplicative(network, matrix)
    losses = [optimizer.found.loss.item()]
    for _ in range(20):
        if not optimizer.epoch():
            break
        losses.append(optimizer.found.loss.item())
    assert (np.diff(losses) <= 0).all() and losses[-1] < 0.98 * losses[0]


def test_a_missing_column_or_class_is_said(tmp_path):
    counts, truth = draw(0)
    options = LayerOptions(
        rank=2, beta="learned", loss="nested_poisson", guide=1.0, labels="type", threads=1
    )
    dataset = dataset_of(counts, truth, tmp_path / "d.h5ad")
    with pytest.raises(
        InputError, match="no column 'type', which the config names .*; the columns are: .*kind"
    ):
        fit_layer(dataset, None, options, progress=False)
    dataset = dataset_of(counts, np.where(truth == "T", "T", ""), tmp_path / "one.h5ad")
    options = LayerOptions(**{**vars(options), "labels": "kind"})
    with pytest.raises(InputError, match="at least two classes"):
        fit_layer(dataset, None, options, progress=False)


def test_guided_by_layer_two(tmp_path):
    """Layer 1 has no classifier then; the model of both layers predicts."""
    counts, truth = draw(1)
    dataset = dataset_of(counts, truth, tmp_path / "d.h5ad")
    options = LayerOptions(
        rank=4,
        beta="learned",
        loss="nested_poisson",
        guide=100.0,
        guide_layer=2,
        labels="kind",
        epochs=20,
        threads=1,
    )
    first = fit_layer(dataset, None, options, progress=False)
    assert "predicted_label" not in first.obs
    second = fit_layer(dataset, first, LayerOptions(**{**vars(options), "rank": 2}), progress=False)
    assert (second.obs["predicted_label"].to_numpy() == truth).mean() > 0.8
