"""Poisson passes and epochs at 200,000 x 2,000, 5 % non-zero, k = 20, beside least squares.

Processor seconds of one thread, which other work on the machine changes little; the tasks take
turns.
"""

import statistics
import time

import torch
from neuralNMF.cells.counts import rows_counts, tensor_counts
from neuralNMF.cells.products import rows_products
from neuralNMF.threads import threads_of_a_fit

from benchmarks.common import folders, save, sparse_counts, timed
from benchmarks.poisson_scale import GENES, PER_CELL, RANK, optimizer

CELLS = 200_000
TURNS = 5
BASE = "least squares, scipy"


def measure(cells: int = CELLS, turns: int = TURNS) -> dict:
    matrix = sparse_counts(cells, GENES, PER_CELL)
    generator = torch.Generator().manual_seed(0)
    theta = torch.rand((cells, RANK), generator=generator) + 0.01
    programs_t = torch.rand((GENES, RANK), generator=generator, dtype=torch.float64) + 0.01
    left, right = theta.numpy(), programs_t.float().numpy()
    products, counts = rows_products(matrix), rows_counts(matrix)
    gathered = tensor_counts(matrix)
    tasks = {
        BASE: lambda: (matrix @ right, matrix.T @ left),
        "least squares, compiled": lambda: (
            products.times(programs_t),
            products.transposed_times(theta),
        ),
        "value": lambda: counts.rates(theta, programs_t),
        "value, both gradients": lambda: counts.rates(theta, programs_t, rows=True, columns=True),
        "value, gradient by programs_t": lambda: counts.rates(theta, programs_t, columns=True),
        "pmf: curvature": lambda: counts.curvature(theta, programs_t, programs_t),
        "pmf: hessian": lambda: counts.hessian(theta, programs_t),
        "value, both gradients, torch gathers": lambda: gathered.rates(
            theta, programs_t, rows=True, columns=True
        ),
        "epoch, learned": optimizer("learned", counts).epoch,
        "epoch, pmf": optimizer("pmf", counts).epoch,
    }
    for task in tasks.values():
        task()  # compiles
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(turns):
        for name, task in tasks.items():
            taken[name].append(timed(task, time.process_time)[1])
    rows = {}
    for name, seconds in taken.items():
        middle = statistics.median(seconds)
        ratios = [own / base for own, base in zip(seconds, taken[BASE], strict=True)]
        rows[name] = {
            "seconds": middle,
            "nanoseconds_per_nonzero": 1e9 * middle / matrix.nnz,
            "over_least_squares": statistics.median(ratios),
        }
    return {"nonzeros": int(matrix.nnz), "rank": RANK, "threads": 1, "tasks": rows}


if __name__ == "__main__":
    with threads_of_a_fit(1):
        save(folders()[1], "poisson_passes", measure())
