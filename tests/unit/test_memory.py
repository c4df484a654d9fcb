"""The estimate of a fit's memory, and what is said where there is too little."""

from dataclasses import replace

import pytest
from neuralNMF.errors import InputError
from neuralNMF.memory import Demand, check_memory

MILLION = Demand(
    cells=1_000_000,
    genes=2000,
    nonzeros=100_000_000,
    rank=20,
    item=4,
    dense=False,
    held=1_000_000,
    threads=2,
)


def test_estimate_is_the_documented_formula():
    # 1.3 x (8 bytes a non-zero + 4 copies of Theta_1) + 250 bytes a cell + 0.6 GB, and the genes.
    main = 1.3 * (8 * 1e8 + 4 * 1e6 * 20 * 4) + 250 * 1e6 + 0.6e9
    assert main <= MILLION.total <= 1.01 * main


def test_estimate_of_dense_data_and_of_streamed_data():
    dense = replace(MILLION, dense=True)
    # The rows that the matrix is made of are there beside it.
    formed = 4 * 1e6 * 2000 + 8 * MILLION.nonzeros
    assert dense.total - dense.fixed == pytest.approx(1.3 * formed)
    streamed = replace(MILLION, held=50_000)
    assert streamed.total - streamed.fixed == pytest.approx(0.05 * (MILLION.total - MILLION.fixed))


def test_enough_memory_passes():
    check_memory(MILLION, MILLION.total)


def test_too_little_memory_names_a_size_that_fits():
    available = 0.7 * MILLION.total
    with pytest.raises(
        InputError, match=r"about 2\.3 GB.*1\.6 GB are available.*data_mem_size: \d+"
    ) as said:
        check_memory(MILLION, available)
    size = int(str(said.value).split("data_mem_size: ")[1].split("'")[0])
    assert 1 <= size < MILLION.cells
    check_memory(replace(MILLION, held=size), available)


def test_hopeless_memory_says_so():
    with pytest.raises(InputError, match="even streamed it would not fit"):
        check_memory(MILLION, 1e8)
