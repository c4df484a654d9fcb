"""A start for the first layer from the singular vectors of the cells' profiles.

Random starts leave planted programs merged that no later step separates; the singular vectors tell
them apart (docs/poisson.md, as for least squares: benchmarks/README.md, "Starts").
"""

from __future__ import annotations

import torch
from torch import Tensor

from neuralNMF.cells.counts import Counts
from neuralNMF.cells.products import Products
from neuralNMF.cells.svd import nndsvd_theta, singular_vectors
from neuralNMF.poisson.em import gene_totals

# Share of the start that is noise: an entry of zero would stay zero.
_NOISE = 0.2
_TINY = 1e-30


def singular_starts(
    counts: Counts, products: Products, rank: int, generator: torch.Generator, number: int
) -> list[tuple[Tensor, Tensor]]:
    """Pairs of theta (N, rank) and programs_t (M, rank), columns at sum one; they differ by noise.

    products: of the same cells, their profiles at one total and the genes as they are. The signed
    halves of the singular vectors (Boutsidis & Gallopoulos 2008) give the usage; the mean profile
    of the cells weighted by it is the program.
    """
    halves = nndsvd_theta(*singular_vectors(products, rank, generator))
    programs_t = products.transposed_times(halves).clamp_(min=0)
    # What a program's usage explains by least squares, so that the programs are comparable.
    squares = halves.square().sum(0, dtype=torch.float64).cpu()
    halves = halves * (programs_t.sum(0) / squares.clamp(min=_TINY)).to(halves)
    programs_t /= programs_t.sum(0).clamp(min=_TINY)
    shares = _shares(halves).to(counts.device)
    totals = (counts.totals / counts.scale.clamp(min=_TINY)).to(shares)[:, None]
    genes = gene_totals(counts)[:, None]

    def blurred() -> tuple[Tensor, Tensor]:
        # Drawn on the host, so that every device starts alike.
        usage = torch.rand(shares.shape, generator=generator, dtype=torch.float32).to(shares)
        noise = torch.rand(programs_t.shape, generator=generator, dtype=torch.float64) * genes
        noise /= noise.sum(0).clamp(min=_TINY)
        theta = ((1 - _NOISE) * shares + _NOISE * _shares(usage)).mul_(totals)
        mixed = (1 - _NOISE) * programs_t + _NOISE * noise
        return theta, mixed / mixed.sum(0).clamp(min=_TINY)

    return [blurred() for _ in range(number)]


def _shares(usage: Tensor) -> Tensor:
    """Rows (N, k) at sum one; a row of zeros is shared out evenly."""
    total = usage.sum(1, keepdim=True)
    even = torch.full_like(usage, 1.0 / usage.shape[1])
    return torch.where(total > 0, usage / total.clamp(min=_TINY), even)
