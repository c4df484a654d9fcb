"""Loops that numba compiles, for all heavy work on the CPU: arrays in, arrays out, nothing else.

Each loop does the work of one thread on a range of rows; the callers share the ranges out among
threads. So the number of threads cannot change what is computed.
"""

from neuralNMF.kernels import cache

# All at once: a source that changes later, while a long job runs, meets nothing left to import.
from neuralNMF.kernels import cells, descent, gram, nnls, poisson, sparse  # isort: skip

__all__ = ["cells", "descent", "gram", "nnls", "poisson", "sparse"]

cache.check_sources()
