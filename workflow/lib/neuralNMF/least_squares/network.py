"""The network of least squares: Theta_1 ... Theta_L as parameters, every beta solved from them.

Inside the library the programs are held as programs_t, beta transposed (M, k), so that a gene's
entries lie together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neuralNMF.cells.block import Sums
from neuralNMF.cells.products import CellSums, Products
from neuralNMF.kernels.gram import gram_and_products
from neuralNMF.solvers.gram import gram as gram_of
from neuralNMF.solvers.nnls import DEPENDENT, WarmStart, nnls
from neuralNMF.team import ALONE, Team
from neuralNMF.threads import SERIAL, Threads


@dataclass
class Pass:
    """The result of one forward pass.

    Parameters
    ----------
    loss : Tensor
        Scalar, differentiable, in units of the sum of squares of X'.
    error : Tensor
        Scalar: ||X' - Theta_1 ... Theta_L beta_L||^2.
    programs_t : list of Tensor
        beta_l transposed (M, k_l), l = 1 ... L.
    gram : Tensor, shape (k_1, k_1)
        Theta_1^T Theta_1.
    curvatures : list of Tensor, (k_l, k_l) each, l = 1 ... L
        Second derivative of the halved loss by a row of U_l = Theta_1 ... Theta_l, with every beta
        held.
    """

    loss: Tensor
    error: Tensor
    programs_t: list[Tensor]
    gram: Tensor
    curvatures: list[Tensor]


class NeuralNMF(nn.Module):
    """X' ~ Theta_1 Theta_2 ... Theta_L beta_L with every beta solved from the Theta.

    Parameters
    ----------
    thetas : sequence of Tensor
        Theta_1 (N, k_1) on any device; Theta_l (k_{l-1}, k_l), l = 2 ... L, float64 on the host.
    loss : {"nested", "reconstruction", "energy"}
        What is minimised, see the notes.
    threads : Threads
    team : Team
        The processes that hold the cells, each the rows of Theta_1 of its own.

    Notes
    -----
    ``nested``: sum_l ||X' - U_l beta_l||^2 with the usage U_l = Theta_1 ... Theta_l (N, k_l) and
    beta_l = argmin_{beta >= 0} ||X' - U_l beta||^2 (k_l, M). Every layer is a factorization of the
    data, and the layers are nested by their usage. X' is seen through G = Theta_1^T Theta_1 and
    B = Theta_1^T X' alone, since U_l^T U_l and U_l^T X' are those times Theta_2 ... Theta_l; each
    beta_l minimises its own term, so nothing comes back through it (envelope theorem).

    ``reconstruction``: ||X' - Theta_1 ... Theta_L beta_L||^2 with beta_0 = X',
    beta_l = argmin_{beta >= 0} ||beta_{l-1} - Theta_l beta||^2.

    ``energy``: sum_l ||beta_{l-1} - Theta_l beta_l||^2 with these beta (Will et al., arXiv
    2303.00058). It is taken with the columns of every Theta at unit length: otherwise the errors of
    the later layers could be made as small as one likes by moving the scale from beta_1 into
    Theta_1.
    """

    def __init__(
        self,
        thetas: Sequence[Tensor],
        *,
        loss: str = "nested",
        threads: Threads = SERIAL,
        team: Team = ALONE,
    ) -> None:
        super().__init__()
        self.thetas = nn.ParameterList([nn.Parameter(theta) for theta in thetas])
        self._factors = list(self.thetas)  # read many times an epoch, and slow to take from there
        self._later = self._factors[1:]
        self.loss = loss
        self._dependent = DEPENDENT[thetas[0].dtype]
        self._threads, self._team = threads, team
        self._starts = [WarmStart() for _ in thetas]
        # Of `_nested`: the sums that it saw last, and what the held layers give by these.
        self._seen: Tensor | None = None
        self._of_held: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def factors(self) -> list[nn.Parameter]:
        """All parameters that training may change."""
        return self._factors

    def extra_repr(self) -> str:
        """The layers and shapes, for `repr`."""
        shapes = [tuple(theta.shape) for theta in self.thetas]
        return f"layers={[shape[1] for shape in shapes]}, theta={shapes}, loss={self.loss}"

    def forward(self, products: Products) -> Pass:
        """Evaluate at the parameters: one pass over X', two with the backward pass."""
        gram, cross = CellSums.apply(self.thetas[0], products)
        return self.evaluate(gram, cross, products.square_sum)

    def evaluate(self, gram: Tensor, cross: Tensor, square_sum: float) -> Pass:
        """Evaluate from the sums over cells, differentiable by them and by Theta_2 ... Theta_L.

        Parameters
        ----------
        gram : Tensor, shape (k_1, k_1)
            Theta_1^T Theta_1, float64 on the host.
        cross : Tensor, shape (M, k_1)
            X'^T Theta_1, float64 on the host.
        square_sum : float
            Sum of the squares of X'.

        Returns
        -------
        Pass
        """
        if self.loss == "nested":
            return self._nested(gram, cross, square_sum)
        if self.loss == "energy":
            return self._energy(gram, cross, square_sum)
        return self._reconstruction(gram, cross, square_sum)

    def _nested(self, gram: Tensor, cross: Tensor, square_sum: float) -> Pass:
        if self._seen is not gram:
            self._seen, self._of_held = gram, []
        programs_t, errors, curvatures = [], [], []
        held = True
        for layer, usage_gram, usage_cross in usage_sums(gram, cross, self._later):
            held = held and not self._factors[layer].requires_grad
            if held and layer < len(self._of_held):
                solved, error, curvature = self._of_held[layer]
            else:
                # It minimises this very error: nothing comes back through it (envelope theorem).
                solved = self._solve(layer, usage_gram.detach(), usage_cross.detach())
                error, curvature = residual(square_sum, usage_gram, usage_cross, solved)
                if held:
                    self._of_held.append((solved, error.detach(), curvature))
            programs_t.append(solved)
            errors.append(error)
            curvatures.append(curvature)
        return Pass(
            torch.stack(errors).sum(), errors[-1], programs_t, gram, behind(self._later, curvatures)
        )

    def _reconstruction(self, gram: Tensor, cross: Tensor, square_sum: float) -> Pass:
        if self._later:
            programs_t = [self._solve(0, gram, cross)]
        else:
            # As in `_nested`: of one layer, the two losses are the same.
            programs_t = [self._solve(0, gram.detach(), cross.detach())]
        for layer, theta in enumerate(self._later, start=1):
            programs_t.append(self._solve(layer, theta.T @ theta, programs_t[-1] @ theta))
        reconstruction = programs_t[-1]
        for theta in reversed(self._later):
            reconstruction = reconstruction @ theta.T
        error, curvature = residual(square_sum, gram, cross, reconstruction)
        curvatures = [curvature]
        if self._later:
            last = [None] * (len(self._later) - 1) + [gram_of(programs_t[-1].detach())]
            curvatures += behind(self._later[1:], last)
        return Pass(error, error, programs_t, gram, curvatures)

    def _energy(self, gram: Tensor, cross: Tensor, square_sum: float) -> Pass:
        scale = _inverse_lengths(gram)
        gram, cross = gram * scale[:, None] * scale, cross * scale
        programs_t = [self._solve(0, gram, cross)]
        loss, curvature = residual(square_sum, gram, cross, programs_t[0])
        curvatures, units = [curvature], []
        for layer, theta in enumerate(self._later, start=1):
            units.append(theta * _inverse_lengths(theta.T @ theta))
            before = programs_t[-1]
            programs_t.append(self._solve(layer, units[-1].T @ units[-1], before @ units[-1]))
            loss = loss + (before - programs_t[-1] @ units[-1].T).square().sum()
            # Each layer is fitted to the one before it.
            curvatures.append(gram_of(programs_t[-1].detach()))
        reconstruction = programs_t[-1]
        for theta in reversed(units):
            reconstruction = reconstruction @ theta.T
        error, _ = residual(square_sum, gram, cross, reconstruction)
        return Pass(loss, error, programs_t, gram, curvatures)

    def settle(self, sums: Sums | None = None) -> None:
        """Bring the columns of every Theta to unit length after a step, where the loss asks for it.

        Parameters
        ----------
        sums : Sums, optional
            Of Theta_1, where they are known: scaled with it.
        """
        if self.loss == "energy":
            self._to_unit_length(sums)

    def memory(self) -> dict[str, Any]:
        """Where the next solves begin: see `training.loop.Network`."""
        return {"supports": [start.support for start in self._starts]}

    def recall(self, memory: dict[str, Any]) -> None:
        """See `training.loop.Network`."""
        for start, support in zip(self._starts, memory["supports"], strict=True):
            start.support = support

    @torch.no_grad()
    def _to_unit_length(self, sums: Sums | None) -> None:
        first = self.thetas[0]
        if sums is None:
            gram = gram_of(first)
            self._team.add(gram.numpy())
        else:
            gram = sums.gram
        lengths = _inverse_lengths(gram)
        # Not in place: what training started from is left as it is.
        first.data = first.data * lengths.to(device=first.device, dtype=first.dtype)
        if sums is not None:
            sums.gram *= lengths[:, None] * lengths
            sums.cross *= lengths
        for theta in self._later:
            theta.data = theta.data * _inverse_lengths(theta.T @ theta)

    @torch.no_grad()
    def curvatures(self, evaluated: Pass) -> list[tuple[Tensor | None, Tensor]]:
        """Second derivatives of the halved loss by each Theta, with every beta held.

        Returns
        -------
        list of (Tensor or None, Tensor)
            Of each Theta the matrices (left, right) of the map d -> left d right; None stands for
            the identity.

        Notes
        -----
        Theta_1 has (None, C_1) and Theta_l (U_{l-1}^T U_{l-1}, C_l), C_l those of `Pass`. With
        ``energy``, where each layer is fitted to the one before it, Theta_l has (identity, C_l).
        """
        if self.loss != "energy":
            return two_sided(self._later, evaluated)
        first, *later = evaluated.curvatures
        identities = [torch.eye(theta.shape[0], dtype=torch.float64) for theta in self._later]
        return [(None, first), *zip(identities, later, strict=True)]

    def _solve(self, layer: int, gram: Tensor, cross: Tensor) -> Tensor:
        return nnls(
            gram,
            cross,
            dependent=self._dependent,
            start=self._starts[layer],
            threads=self._threads,
        )


class _Residual(torch.autograd.Function):
    """`residual`, with each of its products formed once, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, square_sum: float, gram: Tensor, cross: Tensor, reconstruction: Tensor
    ) -> tuple[Tensor, Tensor]:
        arrays = [tensor.contiguous().numpy() for tensor in (reconstruction, cross, gram)]
        total = np.zeros(gram.shape)
        fit, square = gram_and_products(*arrays, total)
        curvature = torch.from_numpy(total)
        ctx.save_for_backward(gram, cross, reconstruction, curvature)
        ctx.mark_non_differentiable(curvature)
        return torch.from_numpy(np.array(square_sum - 2.0 * fit + square)), curvature

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gram, cross, reconstruction, curvature = ctx.saved_tensors
        _, by_gram, by_cross, by_reconstruction = ctx.needs_input_grad
        share = grad.item()
        return (
            None,
            curvature * share if by_gram else None,
            reconstruction * (-2.0 * share) if by_cross else None,
            share * (reconstruction @ (gram + gram.T) - 2.0 * cross) if by_reconstruction else None,
        )


def residual(
    square_sum: float, gram: Tensor, cross: Tensor, reconstruction: Tensor
) -> tuple[Tensor, Tensor]:
    """The squared error of X' ~ Theta_1 R, from the sums over cells; differentiable once.

    Parameters
    ----------
    square_sum : float
        ||X'||^2.
    gram : Tensor, shape (k_1, k_1)
        Theta_1^T Theta_1, float64 on the host, as are the next two.
    cross : Tensor, shape (M, k_1)
        X'^T Theta_1.
    reconstruction : Tensor, shape (M, k_1)
        R transposed.

    Returns
    -------
    error : Tensor
        ||X' - Theta_1 R||^2, a scalar.
    curvature : Tensor, shape (k_1, k_1)
        R R^T, of a row of Theta_1; carries no gradient.

    Notes
    -----
    ||X' - Theta_1 R||^2 = ||X'||^2 - 2 <R^T, X'^T Theta_1> + <R R^T, Theta_1^T Theta_1>.
    """
    return _Residual.apply(square_sum, gram, cross, reconstruction)


def usage_sums(
    gram: Tensor, cross: Tensor, later: Sequence[Tensor]
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The sums over cells of each layer's usage, from those of the first; differentiable.

    Parameters
    ----------
    gram : Tensor, shape (k_1, k_1)
        Theta_1^T Theta_1.
    cross : Tensor, shape (M, k_1)
        X'^T Theta_1.
    later : sequence of Tensor
        Theta_l (k_{l-1}, k_l), l = 2 ... L.

    Yields
    ------
    layer : int
        From 0 on.
    gram : Tensor, shape (k_l, k_l)
        U_l^T U_l.
    cross : Tensor, shape (M, k_l)
        X'^T U_l.
    """
    yield 0, gram, cross
    for layer, theta in enumerate(later, start=1):
        gram, cross = theta.T @ gram @ theta, cross @ theta
        yield layer, gram, cross


def behind(later: Sequence[Tensor], own: Sequence[Tensor | None]) -> list[Tensor]:
    """C_l = own_l + Theta_{l+1} C_{l+1} Theta_{l+1}^T: curvature by a row of each layer's usage.

    Parameters
    ----------
    later : sequence of Tensor
        Theta_2 ... Theta_L, from the second layer of ``own`` on.
    own : sequence of Tensor or None, (k_l, k_l) each
        What each layer's own error adds, beta_l beta_l^T; None: it has none. The last has one.

    Returns
    -------
    list of Tensor, (k_l, k_l) each
    """
    *earlier, last = own
    assert last is not None
    result = [last]
    for theta, part in zip(reversed(list(later)), reversed(earlier), strict=True):
        through = theta.detach() @ result[-1] @ theta.detach().T
        result.append(through if part is None else part + through)
    return result[::-1]


def two_sided(later: Sequence[Tensor], evaluated: Pass) -> list[tuple[Tensor | None, Tensor]]:
    """The pairs (U_{l-1}^T U_{l-1}, C_l) of `NeuralNMF.curvatures`."""
    before = evaluated.gram.detach()
    result: list[tuple[Tensor | None, Tensor]] = [(None, evaluated.curvatures[0])]
    for theta, right in zip(later, evaluated.curvatures[1:], strict=True):
        result.append((before, right))
        before = theta.T @ before @ theta
    return result


def _inverse_lengths(gram: Tensor) -> Tensor:
    """1 / length (k,) of every column, from their Gram matrix (k, k); 0 for a dead factor."""
    squares = gram.diagonal()
    alive = squares > 0
    # The inner `where` keeps the gradient of the root finite where it is not used.
    return torch.where(alive, torch.where(alive, squares, 1.0).rsqrt(), 0.0)
