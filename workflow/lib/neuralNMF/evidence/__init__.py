"""What helps to judge a program: in how many cells it lives, and which genes mark it.

Arrays in, arrays out. N cells, M genes, k programs of a layer; usage U (N, k), programs beta
(k, M).
"""
