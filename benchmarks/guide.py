"""Types of the blood cells from a tenth of the labels: guided fits beside a classifier afterwards.

Accuracy on the other cells. Without a guide, logistic regression is fitted to the labelled cells'
usage afterwards: with rows at mean one, as the guide's own classifier sees them, and with rows at
sum one, where the same penalty weighs 400 times as much. A seed is that of the split and the fit.
"""

import numpy as np
from neuralNMF.io.dataset import Dataset
from sklearn.linear_model import LogisticRegression

from benchmarks.common import fit_layers, on_blood_cells

LAYERS = (20,)
WEIGHTS = (1, 10, 100)
SHARE = 0.1
SEEDS = 5
WITHOUT = "no guide"


def classified(rows: np.ndarray, truth: np.ndarray, known: np.ndarray) -> np.ndarray:
    return LogisticRegression(max_iter=1000).fit(rows[known], truth[known]).predict(rows)


def measure(dataset: Dataset, weights: tuple[float, ...] = WEIGHTS, seeds: int = SEEDS) -> dict:
    truth = dataset.obs["celltype"].astype(str).to_numpy()
    accuracy: dict[str, list[float]] = {}
    for seed in range(seeds):
        known = np.random.default_rng(seed).permutation(truth.size) < SHARE * truth.size
        dataset.obs["known"] = np.where(known, truth, "")
        keys = {"beta": "learned", "loss": "poisson", "labels": "known", "seed": seed}
        usage = fit_layers(dataset, LAYERS, **keys).usages[0]
        shares = usage / np.maximum(usage.sum(axis=1, keepdims=True), 1e-12)
        predicted = {
            WITHOUT: classified(shares * usage.shape[1], truth, known),
            f"{WITHOUT}, rows at sum one": classified(shares, truth, known),
        }
        for weight in weights:
            model = fit_layers(dataset, LAYERS, guide=float(weight), **keys)
            predicted[f"guide {weight}"] = model.obs["predicted_label"].to_numpy()
        for name, labels in predicted.items():
            accuracy.setdefault(name, []).append(float((labels == truth)[~known].mean()))
    gains = {name: np.subtract(of, accuracy[WITHOUT]) for name, of in accuracy.items()}
    return {
        name: {
            "accuracy": of,
            "mean": float(np.mean(of)),
            "mean_gain": float(gains[name].mean()),
            "least_gain": float(gains[name].min()),
        }
        for name, of in accuracy.items()
    }


if __name__ == "__main__":
    on_blood_cells("guide", measure)
