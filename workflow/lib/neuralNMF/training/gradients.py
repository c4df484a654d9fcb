"""Gradients that autograd has left at tensors."""

from torch import Tensor


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
