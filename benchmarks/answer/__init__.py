"""The answer: are the programs of each layer real, and do they say what the labels say?

`measures` has the measures, functions of arrays; `ours` and `peers` fit; `answer` measures what
they give; `run` makes the table, `picture` draws it.
"""
