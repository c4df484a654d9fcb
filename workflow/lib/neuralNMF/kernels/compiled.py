"""The decorators that compile the loops, with one set of options for all of them.

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
    """Compile a loop over arrays at its first call with arguments of some types, and keep it."""
    return keep(numba.njit(**OPTIONS)(function))


def compiled_as_written(function):
    """As `compiled`, for loops in which a product must not become part of an addition."""
    return keep(numba.njit(**{**OPTIONS, "fastmath": False})(function))


def inlined(function):
    """Make a piece of compiled loops, inlined into the machine code of each loop that uses it."""
    return numba.njit(**OPTIONS, forceinline=True)(function)
