"""The cells' side of a fit: X in blocks of cells, and all that is summed over it."""
