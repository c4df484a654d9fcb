"""Gradients that autograd has left at tensors, and factors that get none."""

from collections.abc import Sequence

from torch import Tensor


def hold_earlier(factors: Sequence[Tensor]) -> None:
    """Let training leave all but the last of these factors, an entry a layer, alone."""
    for factor in factors[:-1]:
        factor.requires_grad_(False)


def gradient_of(tensor: Tensor) -> Tensor:
    """The gradient of the loss by ``tensor`` after a backward pass; shaped like the tensor.

    Raises
    ------
    ValueError
        There is none: the loss does not depend on the tensor, or no backward pass was made.
    """
    if tensor.grad is None:
        raise ValueError("there is no gradient: call backward() on a loss that depends on it")
    return tensor.grad
