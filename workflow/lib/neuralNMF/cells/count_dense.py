"""Dense non-negative input: the expected programs of the layer below, or a matrix without zeros."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuralNMF.cells.count_rows import CountSums
from neuralNMF.cells.counts import FLOOR, Counts


@dataclass
class DenseBlock:
    """Rows of a dense X on any device; its entries need not be whole numbers.

    Shape: entries (n, M), scale (n,). Forms matrices of the size of the block.
    """

    entries: Tensor
    scale: Tensor

    def rates(self, theta, programs_t, floor, rows, columns) -> float:  # noqa: D102
        scaled, small = self._prepared(theta, programs_t)
        rate = scaled @ small.T + floor
        wide = torch.float32 if rate.device.type == "mps" else torch.float64
        log_sum = float(torch.xlogy(self.entries, rate).sum(dtype=wide))
        ratio = _ratio(self.entries, rate)
        if rows is not None:
            torch.mm(ratio, small, out=rows).mul_(self.scale.to(rows)[:, None])
        if columns is not None:
            columns += (ratio.T @ scaled).cpu().double()
        return log_sum

    def curvature(self, theta, programs_t, direction, floor, rows, columns) -> None:  # noqa: D102
        scaled, small = self._prepared(theta, programs_t)
        direction = direction.to(small)
        rate = scaled @ small.T + floor
        ratio = _ratio(self.entries, rate)
        bend = _ratio(ratio * (scaled @ direction.T), rate)
        if rows is not None:
            torch.mm(ratio, direction, out=rows).addmm_(bend, small, alpha=-1)
            rows.mul_(self.scale.to(rows)[:, None])
        columns += (bend.T @ scaled).cpu().double()

    def hessian(self, theta, programs_t, floor, out) -> None:  # noqa: D102
        scaled, small = self._prepared(theta, programs_t)
        rate = scaled @ small.T + floor
        weight = _ratio(_ratio(self.entries, rate), rate)
        low, high = torch.tril_indices(theta.shape[1], theta.shape[1], device=theta.device)
        # A few rows at a time: the products of pairs of programs are k (k + 1) / 2 wide.
        for part, w in zip(scaled.split(1024), weight.split(1024), strict=True):
            out += (w.T @ (part[:, low] * part[:, high])).cpu().double()

    def sums(self) -> CountSums:  # noqa: D102
        entries = self.entries.cpu()
        return CountSums.of(entries.reshape(-1), entries.sum(1, dtype=torch.float64))

    def _prepared(self, theta: Tensor, programs_t: Tensor) -> tuple[Tensor, Tensor]:
        scaled = theta.detach() * self.scale.to(theta)[:, None]
        return scaled, programs_t.detach().to(theta)


def dense_counts(
    entries: Tensor, scale: np.ndarray | None = None, *, floor: float = FLOOR, rows: int = 8192
) -> Counts:
    """Counts of a dense tensor, where it is and in its precision, in blocks of ``rows`` rows.

    Shape: entries (n, M), non-negative; scale (n,), ones by default.
    """
    entries = entries.detach()
    sizes = np.ones(entries.shape[0]) if scale is None else np.asarray(scale, dtype=np.float64)
    factors = torch.as_tensor(sizes).to(entries)
    blocks = []
    for start in range(0, entries.shape[0], rows):
        stop = min(start + rows, entries.shape[0])
        blocks.append((start, stop, DenseBlock(entries[start:stop], factors[start:stop])))
    return Counts(
        lambda: blocks,
        tuple(entries.shape),
        sizes,
        floor=floor,
        device=entries.device,
        dtype=entries.dtype,
    )


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    # Without a floor, 0 / 0 is an entry of zero that the model expects: it adds nothing.
    return torch.where(top == 0, torch.zeros_like(top), top / bottom)
