"""Programs that are found again: fits of random parts of the cells, and what they have in common.

N cells, M genes, K programs that a layer is asked for, k that are found again.
"""
