"""Compiled loops (numba) behind the CPU path: arrays in, arrays out, nothing else."""
