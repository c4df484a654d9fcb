"""Sums that come out the same to the last digit, in whatever order and by whomever they are made.

Reproducible summation with bins of fixed width (Demmel & Nguyen 2015, IEEE Transactions on
Computers 64:2060), with two bins whose place follows from a bound that is known beforehand.
"""

import math

import numpy as np

# Bits of a double that a bin uses, and those by which the second bin is finer. The rest is room for
# the sum of a million remainders.
_BITS, _FINER = 51, 30


class OrderFreeSums:
    """Sums of numbers a gene over chunks of cells: exact sums of numbers rounded to 80 bits.

    Parameters
    ----------
    genes : int
        M.
    bound : float
        No sum gets larger than that, in either direction.

    Attributes
    ----------
    bins : ndarray, (2, M)
        Multiples of a coarse and of a fine unit.
    """

    def __init__(self, genes: int, bound: float) -> None:
        self.bins = np.zeros((2, genes))
        self._unit = 2.0 ** (math.frexp(bound)[1] - _BITS)

    def add(self, values: np.ndarray) -> None:
        """Take in the sums of a chunk, (M,)."""
        whole = np.rint(values / self._unit) * self._unit
        fine = self._unit * 2.0**-_FINER
        self.bins[0] += whole
        self.bins[1] += np.rint((values - whole) / fine) * fine

    def total(self) -> np.ndarray:
        """The sums, (M,)."""
        return self.bins[0] + self.bins[1]
