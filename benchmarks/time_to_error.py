"""Seconds to an error, pretraining included: beside the prototype's kind of run and scikit-learn's.

The clock runs over `fit_layer` for both layers, with several limits of the joint epochs.
"""

import time
import warnings

import numpy as np
import torch
from neuralNMF.fit import fit_layer
from NeuralNMF.model import Neural_NMF
from neuralNMF.options import LayerOptions
from NeuralNMF.train import train_unsupervised
from sklearn.decomposition import NMF

from benchmarks.common import dense, example_dataset, folders, save

PROTOTYPE_ERROR = 91.0
PROTOTYPE_EPOCHS = 300


def two_layers(dataset, epochs: int) -> tuple[float, float]:
    """(seconds, final mean squared error) of [20, 10] with at most ``epochs`` joint epochs each."""
    before = time.perf_counter()
    model = None
    for rank in (20, 10):
        options = LayerOptions(rank=rank, epochs=epochs)
        model = fit_layer(dataset, model, options, progress=False)
    return time.perf_counter() - before, model.info["mse"]


def main() -> None:
    data, out = folders()
    dataset = example_dataset(data, out)
    matrix = dense(dataset)
    two_layers(dataset, 1)  # compiles
    torch.manual_seed(0)
    peer = Neural_NMF([1000, 20, 10]).double()
    before = time.perf_counter()
    train_unsupervised(peer, matrix.double(), epoch=2, lr=1e-9, verbose=False)
    peer_epoch = (time.perf_counter() - before) / 2
    sklearn_seconds, errors = [], []
    warnings.simplefilter("ignore")
    for start, seed in (("nndsvda", 0), ("random", 0), ("random", 1), ("random", 2)):
        nmf = NMF(10, init=start, random_state=seed, max_iter=300)
        before = time.perf_counter()
        usage = nmf.fit_transform(matrix.numpy())
        sklearn_seconds.append(time.perf_counter() - before)
        errors.append(float(((matrix.numpy() - usage @ nmf.components_) ** 2).mean()))
    best = min(errors)
    runs = {}
    for epochs in (0, 5, 10, 20, 40, 300):
        turns = [two_layers(dataset, epochs) for _ in range(3)]
        runs[epochs] = (float(np.median([t[0] for t in turns])), turns[0][1])
    reached = [seconds for seconds, error in runs.values() if error <= 1.01 * best]
    below = [seconds for seconds, error in runs.values() if error <= PROTOTYPE_ERROR]
    figures = {
        "sklearn_best_mse": best,
        "sklearn_fit_seconds": dict(
            zip(("nndsvda", "r0", "r1", "r2"), sklearn_seconds, strict=True)
        ),
        "sklearn_mse": errors,
        "ours_seconds_and_mse_by_joint_epochs": runs,
        "seconds_to_1.01": min(reached),
        "ratio_to_sklearn_median_fit": min(reached) / float(np.median(sklearn_seconds)),
        "peer_epoch_seconds": peer_epoch,
        "seconds_to_91": min(below),
        "peer_300_epochs_over_ours_to_91": PROTOTYPE_EPOCHS * peer_epoch / min(below),
    }
    save(out, "time_to_error", figures)


main()
