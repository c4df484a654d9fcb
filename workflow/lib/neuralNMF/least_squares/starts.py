"""The start of the first layer of a least-squares fit, from an NMF of X'.

Several starts are tried, and the best is kept: the loss has many minima. They are tried on a sample
of cells, so that trying costs the same whatever N is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from neuralNMF.cells.products import Products
from neuralNMF.cells.svd import nndsvd_theta, singular_vectors
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.least_squares.optimize import Auto
from neuralNMF.solvers.descent import descend
from neuralNMF.solvers.gram import gram
from neuralNMF.solvers.hals import Factors, LowRank, hals
from neuralNMF.team import Team
from neuralNMF.threads import Threads
from neuralNMF.training.loop import Training, train

_FIRST_EPOCHS = 2
_BLUR = 5.0
_SOLVE_SWEEPS = 30
# Singular vectors that the starts are tried on, for each program.
_DETAIL = 2
# How many starts are tried, and how many of them go on.
_STARTS = 6
_TRIAL_EPOCHS = 12
_FINAL_EPOCHS = 30


def random_theta(
    rows: int,
    rank: int,
    generator: torch.Generator,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Draw a usage uniformly from (0, 1), on the host so that every device starts alike.

    Parameters
    ----------
    rows, rank : int
    generator : torch.Generator
        On the host.
    device, dtype
        Of the result.

    Returns
    -------
    Tensor, shape (rows, rank)
    """
    return torch.rand((rows, rank), generator=generator, dtype=dtype).to(device)


def first_programs(sample: Products, rank: int, generator: torch.Generator) -> Tensor:
    """Programs that layer 1 starts from: the best of several NMFs of a sample of cells.

    Parameters
    ----------
    sample : Products
        Of n cells.
    rank : int
        k_1.
    generator : torch.Generator

    Returns
    -------
    Tensor, shape (M, k_1)
        beta_1 transposed, float64 on the host.

    Notes
    -----
    The NMFs are those of the sample's leading singular vectors, which cost the same whatever the
    number of non-zeros. Each begins with the start that follows from the singular vectors
    (`cells.svd`), blurred by uniform noise. Random starts leave programs merged that no later step
    separates; singular vectors alone lead to one minimum, often not the lowest
    (benchmarks/README.md, "Starts").
    """
    left, values, right = singular_vectors(sample, _DETAIL * rank, generator)
    matrix = LowRank(left * values.to(left), right.to(left))
    base = nndsvd_theta(left[:, :rank], values, right)
    level = _BLUR * base.mean(dim=0)

    def blurred() -> Tensor:
        noise = random_theta(
            base.shape[0], base.shape[1], generator, device=base.device, dtype=base.dtype
        )
        return base + level * noise

    best, *_ = best_of(matrix, blurred, _STARTS, 1, sample.threads)
    return best.programs_t.double().cpu()


def usage_of(programs_t: Tensor, products: Products) -> Tensor:
    """Usage of given programs: for each cell the least squares over theta >= 0.

    By coordinate descent from zero, near enough for a start, in one pass over X'.

    Parameters
    ----------
    programs_t : Tensor, shape (M, k)
        float64 on the host.
    products : Products

    Returns
    -------
    Tensor, shape (N, k)
        On the device, in the precision of the fit.
    """
    linear = -products.times(programs_t)
    theta = torch.zeros_like(linear)
    descend(theta, linear, gram(programs_t), _SOLVE_SWEEPS, products.threads)
    return theta


def pretrain_first(
    programs_t: Tensor,
    products: Products,
    *,
    tol: float,
    patience: int,
) -> tuple[Tensor, Training]:
    """Train layer 1 alone for a few epochs, from given programs.

    Parameters
    ----------
    programs_t : Tensor, shape (M, k_1)
        beta_1 transposed, float64 on the host.
    products : Products
    tol, patience
        As for `training.loop.train`.

    Returns
    -------
    theta : Tensor, shape (N, k_1)
        With columns of unit length.
    record : Training
    """
    usage = usage_of(programs_t, products)
    network = NeuralNMF([usage], threads=products.threads, team=products.team)
    run = train(
        network,
        Auto(network, products),
        products.entries,
        epochs=_FIRST_EPOCHS,
        tol=tol,
        patience=patience,
        keep_best=False,
    )
    return unit_usages([network.thetas[0].detach()], products.team)[0], run


def unit_usages(thetas: Sequence[Tensor], team: Team) -> list[Tensor]:
    """The same model with the columns of every usage U_l = Theta_1 ... Theta_l at unit length.

    Then a program of beta_l counts, in the solve of the next layer, by the length of its
    contribution. A column of zeros stays.

    Parameters
    ----------
    thetas : sequence of Tensor
        Shaped as for `NeuralNMF`; left as they are.
    team : Team
        The processes that hold the cells.

    Returns
    -------
    list of Tensor
    """
    result = []
    before = torch.ones(1, dtype=torch.float64)
    total = torch.zeros(0)
    for layer, theta in enumerate(thetas):
        if layer == 0:
            total = gram(theta)
            team.add(total.numpy())
        else:
            total = theta.T @ total @ theta
            theta = theta * before[:, None]
        lengths = total.diagonal().sqrt()
        lengths = torch.where(lengths > 0, lengths, 1.0)
        result.append(theta / lengths.to(device=theta.device, dtype=theta.dtype))
        before = lengths
    return result


def best_of(
    matrix: LowRank, start: Callable[[], Tensor], starts: int, kept: int, threads: Threads
) -> list[Factors]:
    """The best NMFs of a matrix of low rank: all starts for some epochs, few of them to the end.

    Parameters
    ----------
    matrix : LowRank
    start : callable
        Draws a Theta to begin with.
    starts, kept : int
        How many are tried, and how many of them go on.
    threads : Threads

    Returns
    -------
    list of Factors
        ``kept`` of them, the best first.
    """
    trials = [hals(matrix, start(), _TRIAL_EPOCHS, threads=threads) for _ in range(starts)]
    trials.sort(key=lambda trial: trial.error)
    ends = []
    for trial in trials[:kept]:
        end = hals(matrix, trial.theta, _FINAL_EPOCHS, threads=threads)
        ends.append(min(trial, end, key=lambda factors: factors.error))
    return sorted(ends, key=lambda factors: factors.error)
