"""What a model says of cells that it was not fitted to, and its programs for other tools.

docs/new_cells.md.
"""
