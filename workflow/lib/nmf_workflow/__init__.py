"""What the Snakefile needs to know: the checked config, targets, params and resources of each rule.

Imported while the Snakefile is parsed, by every submitted job again and perhaps where torch is not
installed: nothing here imports torch or anndata or opens a data file.
"""
