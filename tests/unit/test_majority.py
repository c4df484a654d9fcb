"""The label that more than half of a program's cells have."""

import numpy as np
from neuralNMF.evidence.majority import NOTHING, majority


def test_a_label_of_half_of_the_cells_is_none():
    main = np.array([0, 0, 0, 1, 1, 1, 1, 2, -1])
    codes = np.array([1, 1, 0, 0, 0, 1, 2, 2, 0])
    label, share = majority(main, codes, 4)
    assert label.tolist() == [1, NOTHING, 2, NOTHING]
    np.testing.assert_allclose(share, [2 / 3, 0.5, 1, 0])
