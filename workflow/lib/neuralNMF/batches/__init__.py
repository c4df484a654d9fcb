"""Batches of cells: which cell is of which, and a factor for each batch and gene.

docs/batches.md. N cells, M genes, B batches, K groups of cells that are alike.
"""
