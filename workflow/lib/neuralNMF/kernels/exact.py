"""Sums that keep what each addition rounds away."""

from neuralNMF.kernels.compiled import compiled_as_written


@compiled_as_written
def add_exactly(first, past, terms, scale, high, low):
    """high + low (k,) += the sum of scale[i] terms[i] over the rows ``first`` to ``past``.

    Shape: terms (n, k), scale (n,). What an addition rounds away is itself a double (Knuth, TAOCP
    2, section 4.2.2, theorem B); the sum of these is ``low``. A product is rounded before it is
    added, as it would be if it were formed elsewhere.
    """
    for i in range(first, past):
        for q in range(high.size):
            before, term = high[q], scale[i] * terms[i, q]
            after = before + term
            added = after - before
            low[q] += (before - (after - added)) + (term - added)
            high[q] = after
