"""A start for a later layer: programs merged two by two, those first that are most alike.

Agglomerative information bottleneck (Slonim & Tishby 1999, NIPS 12): every merger is the one that
raises the deviance least. Random starts of this small problem end up several per cent apart, once
all layers are trained (docs/poisson.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

_NOISE = 0.1
_TINY = 1e-30


def merged_start(
    entries: Tensor, rank: int, generator: torch.Generator, beside: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(theta (n, rank), programs_t (M, rank), columns at sum one) of a grouping of the rows.

    Shape: entries (n, M) float64, expected counts, rank <= n; beside (n, any): counts of something
    else, classes for example, that are to be alike within a group too. A little noise keeps every
    entry above zero, which no update would leave.
    """
    group = merge_rows(entries if beside is None else torch.cat([entries, beside], 1), rank)
    masses = entries.sum(1, keepdim=True)
    member = torch.nn.functional.one_hot(group, rank).double()
    even = torch.rand(member.shape, generator=generator, dtype=torch.float64)
    even /= even.sum(1, keepdim=True)
    theta = ((1 - _NOISE) * member + _NOISE * even) * masses
    totals = member.T @ entries
    programs_t = totals.T / totals.sum(1).clamp(min=_TINY)
    noise = torch.rand(programs_t.shape, generator=generator, dtype=torch.float64)
    noise *= entries.sum(0)[:, None]
    programs_t = (1 - _NOISE) * programs_t + _NOISE * noise / noise.sum(0).clamp(min=_TINY)
    return theta, programs_t / programs_t.sum(0).clamp(min=_TINY)


def merge_rows(entries: Tensor, groups: int) -> Tensor:
    """The group (n,) int64 of each row; the deviance within groups is that of their mean profiles.

    With h(r) = sum r log r - (sum r) log(sum r), merging rows a and b raises half the deviance by
    h(a) + h(b) - h(a + b).
    """
    number = entries.shape[0]
    rows, group = entries.clone(), torch.arange(number)
    own = _entropy(rows)
    cost = torch.stack([own[a] + own - _entropy(rows[a] + rows) for a in range(number)])
    cost.fill_diagonal_(torch.inf)
    for _ in range(number - groups):
        a, b = sorted(divmod(int(cost.argmin()), number))
        rows[a] += rows[b]
        group[group == b] = a
        own[a] = _entropy(rows[a])
        cost[b], cost[:, b] = torch.inf, torch.inf
        fresh = own[a] + own - _entropy(rows[a] + rows)
        gone = cost[a].isinf()
        cost[a] = torch.where(gone, torch.inf, fresh)
        cost[:, a] = cost[a]
    return torch.unique(group, return_inverse=True)[1]


def _entropy(rows: Tensor) -> Tensor:
    total = rows.sum(-1)
    return torch.xlogy(rows, rows).sum(-1) - torch.xlogy(total, total)
