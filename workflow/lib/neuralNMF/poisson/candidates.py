"""Pairs of Theta and W that KL-NMF may start from: noise, singular vectors, merged programs.

Random starts leave planted programs merged that no later step separates; the singular vectors tell
them apart. For a later layer, programs are merged two by two, those first that are most alike
(agglomerative information bottleneck; Slonim & Tishby 1999, NIPS 12): random starts of this small
problem end up several per cent apart, once all layers are trained. Figures:
docs/poisson_measurements.md.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts
from neuralNMF.cells.products import Products
from neuralNMF.cells.svd import nndsvd_theta, singular_vectors
from neuralNMF.poisson.em import TINY, unit_columns, usage_totals

# Share of a start that is noise: an entry of zero would stay zero.
_SINGULAR_NOISE, _MERGED_NOISE = 0.2, 0.1

Pair = tuple[Tensor, Tensor]


def random_starts(counts: Counts, rank: int, generator: torch.Generator, number: int) -> list[Pair]:
    """Noise around the cells' totals and the genes' totals.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes.
    rank : int
        Programs k.
    generator : torch.Generator
        On the host, so that every device starts alike.
    number : int
        How many pairs.

    Returns
    -------
    list of (theta, programs_t)
        Shapes (N, k), on the device of the counts, and (M, k), float64 on the host, columns at sum
        one.
    """

    def exponential(rows: int) -> Tensor:
        draw = torch.rand((rows, rank), generator=generator, dtype=torch.float32)
        return draw.clamp_(min=1e-7).log_().neg_()

    genes = gene_totals(counts)[:, None]
    totals = usage_totals(counts)
    pairs = []
    for _ in range(number):
        programs_t = unit_columns(exponential(counts.shape[1]).double() * genes)
        theta = exponential(counts.shape[0]).to(counts.dtype)
        theta.mul_((totals / theta.sum(1, dtype=torch.float64)).to(counts.dtype)[:, None])
        pairs.append((theta.to(counts.device), programs_t))
    return pairs


def singular_starts(
    counts: Counts, products: Products, rank: int, generator: torch.Generator, number: int
) -> list[Pair]:
    """The leading singular vectors of the cells' profiles; the pairs differ by a fifth of noise.

    The signed halves of the vectors (Boutsidis & Gallopoulos 2008, Pattern Recognition 41(4)) give
    the usage; the mean profile of the cells weighted by it is the program.

    Parameters
    ----------
    counts : Counts
        X (N, M) with the library sizes.
    products : Products
        Of the same cells: their profiles at one total, the genes as they are.
    rank, generator, number
        As in `random_starts`.

    Returns
    -------
    list of (theta, programs_t)
        As from `random_starts`.
    """
    halves = nndsvd_theta(*singular_vectors(products, rank, generator))
    programs_t = products.transposed_times(halves).clamp_(min=0)
    # What a program's usage explains by least squares, so that the programs are comparable.
    squares = halves.square().sum(0, dtype=torch.float64).cpu()
    halves = halves * (programs_t.sum(0) / squares.clamp(min=TINY)).to(halves)
    programs_t = unit_columns(programs_t)
    shares = _shares(halves).to(counts.device)
    totals = usage_totals(counts).to(shares)[:, None]
    genes = gene_totals(counts)[:, None]

    def blurred() -> Pair:
        # Drawn on the host, so that every device starts alike.
        usage = torch.rand(shares.shape, generator=generator, dtype=torch.float32).to(shares)
        noise = torch.rand(programs_t.shape, generator=generator, dtype=torch.float64) * genes
        noise = unit_columns(noise)
        theta = (1 - _SINGULAR_NOISE) * shares + _SINGULAR_NOISE * _shares(usage)
        mixed = (1 - _SINGULAR_NOISE) * programs_t + _SINGULAR_NOISE * noise
        return theta.mul_(totals), unit_columns(mixed)

    return [blurred() for _ in range(number)]


def merged_start(
    entries: Tensor,
    rank: int,
    generator: torch.Generator,
    class_counts: Tensor | None = None,
) -> Pair:
    """Rows merged into ``rank`` groups, each a program, with a tenth of noise.

    Parameters
    ----------
    entries : Tensor, shape (n, M)
        Expected counts, float64; ``rank`` <= n.
    rank : int
        Programs k.
    generator : torch.Generator
    class_counts : Tensor, shape (n, classes), optional
        Counts of each class in each row: rows of the same classes are merged first.

    Returns
    -------
    theta : Tensor, shape (n, k)
    programs_t : Tensor, shape (M, k)
        Both float64 and above zero; columns at sum one.
    """
    evidence = entries if class_counts is None else torch.cat([entries, class_counts], 1)
    member = torch.nn.functional.one_hot(merge_rows(evidence, rank), rank).double()
    even = torch.rand(member.shape, generator=generator, dtype=torch.float64)
    even /= even.sum(1, keepdim=True)
    theta = (1 - _MERGED_NOISE) * member + _MERGED_NOISE * even
    theta = theta * entries.sum(1, keepdim=True)
    totals = member.T @ entries
    programs_t = totals.T / totals.sum(1).clamp(min=TINY)
    noise = torch.rand(programs_t.shape, generator=generator, dtype=torch.float64)
    noise *= entries.sum(0)[:, None]
    noise = _MERGED_NOISE * noise / noise.sum(0).clamp(min=TINY)
    programs_t = (1 - _MERGED_NOISE) * programs_t + noise
    return theta, unit_columns(programs_t)


def merge_rows(entries: Tensor, groups: int) -> Tensor:
    """Merge the two rows that cost least, again and again, until ``groups`` are left.

    With h(r) = sum r log r - (sum r) log(sum r), merging rows a and b raises half the deviance of
    the rows under their groups' mean profiles by h(a) + h(b) - h(a + b).

    Parameters
    ----------
    entries : Tensor, shape (n, M)
        Counts or expected counts, float64; ``groups`` <= n.
    groups : int

    Returns
    -------
    Tensor, shape (n,)
        The group of each row, int64, numbered from zero.
    """
    number = entries.shape[0]
    rows, group = entries.clone(), torch.arange(number)
    entropy = _entropy(rows)
    cost = torch.stack([entropy[a] + entropy - _entropy(rows[a] + rows) for a in range(number)])
    cost.fill_diagonal_(torch.inf)
    for _ in range(number - groups):
        a, b = sorted(divmod(int(cost.argmin()), number))
        rows[a] += rows[b]
        group[group == b] = a
        entropy[a] = _entropy(rows[a])
        cost[b], cost[:, b] = torch.inf, torch.inf
        with_a = entropy[a] + entropy - _entropy(rows[a] + rows)
        # Infinite: a itself, and the rows that are part of another already.
        cost[a] = torch.where(cost[a].isinf(), torch.inf, with_a)
        cost[:, a] = cost[a]
    return torch.unique(group, return_inverse=True)[1]


def gene_totals(counts: Counts) -> Tensor:
    """Counts of each gene (M,), float64 on the host, by one pass.

    With rates s_i the derivative of sum x log(rate) by the programs is sum_i x_ij.
    """
    ones = torch.ones((counts.shape[0], 1), device=counts.device, dtype=counts.dtype)
    plain = torch.ones((counts.shape[1], 1), dtype=torch.float64)
    return counts.rates(ones, plain, columns=True).columns[:, 0]


def _entropy(rows: Tensor) -> Tensor:
    total = rows.sum(-1)
    return torch.xlogy(rows, rows).sum(-1) - torch.xlogy(total, total)


def _shares(usage: Tensor) -> Tensor:
    """Rows (N, k) at sum one; a row of zeros is shared out evenly."""
    total = usage.sum(1, keepdim=True)
    even = torch.full_like(usage, 1.0 / usage.shape[1])
    return torch.where(total > 0, usage / total.clamp(min=TINY), even)
