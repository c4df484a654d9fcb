"""Seconds to an error, starts included: beside the prototype's kind of run and scikit-learn's.

The clock runs over `fit_layer` for both layers, with several limits of the joint epochs, in turns
with scikit-learn's fits of rank 10 on the same number of threads and on one, whichever is faster:
its threads wait in busy loops, which other work on the machine slows down tenfold.
"""

import statistics
import warnings

import torch
from NeuralNMF.model import Neural_NMF
from NeuralNMF.train import train_unsupervised
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from benchmarks.common import dense, example_dataset, fit_layers, folders, save, timed

PROTOTYPE_ERROR = 91.0
PROTOTYPE_EPOCHS = 300
TURNS = 5
EPOCHS = (0, 1, 2, 3, 4, 6, 10, 20, 300)
# scikit-learn's defaults, which stop early; and random starts, of which the best is the lowest.
THEIRS = {
    "default": {},
    **{f"random {s}": {"init": "random", "random_state": s, "max_iter": 300} for s in range(3)},
}


def theirs(matrix, options: dict) -> tuple[float, float]:
    """(mean squared error, seconds) of a fit."""
    seconds = []
    for threads in (1, torch.get_num_threads()):
        nmf = NMF(10, **options)
        with threadpool_limits(threads):
            usage, taken = timed(lambda nmf=nmf: nmf.fit_transform(matrix))
        seconds.append(taken)
    return float(((matrix - usage @ nmf.components_) ** 2).mean()), min(seconds)


def first_below(runs: dict, error: float) -> float:
    """The least seconds of ours whose error is at most this."""
    return min(run["seconds"] for run in runs.values() if run["mse"] <= error)


def main() -> None:
    data, out = folders()
    dataset = example_dataset(data, out)
    matrix = dense(dataset)
    fit_layers(dataset, (20, 10), epochs=1)  # compiles
    torch.manual_seed(0)
    peer = Neural_NMF([1000, 20, 10]).double()
    _, peer_seconds = timed(
        lambda: train_unsupervised(peer, matrix.double(), epoch=3, lr=1e-9, verbose=False)
    )
    warnings.simplefilter("ignore", ConvergenceWarning)
    ours: dict = {epochs: [] for epochs in EPOCHS}
    peers: dict = {name: [] for name in THEIRS}
    for _ in range(TURNS):
        for name, options in THEIRS.items():
            peers[name].append(theirs(matrix.numpy(), options))
        for epochs in EPOCHS:
            model, seconds = timed(lambda e=epochs: fit_layers(dataset, (20, 10), epochs=e))
            ours[epochs].append((model.info["mse"], seconds))

    def summary(found: list) -> dict:
        return {"mse": found[0][0], "seconds": statistics.median(s for _, s in found)}

    runs = {epochs: summary(found) for epochs, found in ours.items()}
    fits = {name: summary(found) for name, found in peers.items()}
    best = min(fits.values(), key=lambda fit: fit["mse"])
    # The fits that come to the best error: what scikit-learn needs for it.
    reach = statistics.median(
        f["seconds"] for f in fits.values() if f["mse"] <= 1.001 * best["mse"]
    )
    seconds = first_below(runs, 1.01 * best["mse"])
    default = first_below(runs, 1.01 * fits["default"]["mse"])
    below = first_below(runs, PROTOTYPE_ERROR)
    figures = {
        "threads": torch.get_num_threads(),
        "scikit_learn": fits,
        "ours_by_joint_epochs": runs,
        "seconds_to_1.01_of_best": seconds,
        "ratio_to_the_fits_that_reach_it": seconds / reach,
        "seconds_to_1.01_of_default": default,
        "ratio_to_default": default / fits["default"]["seconds"],
        "peer_epoch_seconds": peer_seconds / 3,
        "peer_300_epochs_over_ours_to_91": PROTOTYPE_EPOCHS * peer_seconds / 3 / below,
    }
    save(out, "time_to_error", figures)


main()
