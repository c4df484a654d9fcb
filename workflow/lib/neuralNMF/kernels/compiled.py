"""How the loops are compiled: one set of options, and one place where the results are kept.

``compiled`` marks a loop that Python calls; ``inlined`` a piece of such loops. Every loop contains
its pieces: a piece that several loops shared as a function of its own would be linked to whichever
copy the process happens to load first, and copies differ by rounding.
"""

import numba

from neuralNMF.kernels.cache import keep

# Nothing is assumed about NaN and infinities: what is not finite in the data must reach the result.
# Sums are taken in the order written (`vectors` says where they may run over vectors): in another
# one, the pivots of dependent variables rise above rounding. Without the interpreter's lock, so
# that several threads may run a loop at a time.
OPTIONS = {
    "fastmath": {"contract", "nsz"},
    "error_model": "numpy",
    "nogil": True,
}


def compiled(function):
    """A loop over arrays, compiled at the first call with arguments of some types, then kept."""
    return keep(numba.njit(**OPTIONS)(function))


def inlined(function):
    """A piece of compiled loops, part of the machine code of each loop that uses it."""
    return numba.njit(**OPTIONS, forceinline=True)(function)
