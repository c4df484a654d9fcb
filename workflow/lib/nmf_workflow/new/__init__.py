"""A config for a file of counts, written after a look into it: ``python -m nmf_workflow.new``.

A command of its own: it opens data files, so nothing that the Snakefile imports may import it.
"""
