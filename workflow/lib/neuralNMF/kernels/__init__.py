"""Compiled loops (numba) behind the CPU path: arrays in, arrays out, nothing else."""

from pathlib import Path

from neuralNMF.kernels.cache import forget_stale

_HERE = Path(__file__).parent
forget_stale(_HERE, _HERE.parent)
