"""The threads of a fit: all pieces are done, failures come through, and nothing is left changed."""

import threading

import pytest
import torch
from neuralNMF.threads import Threads, threads_of_a_fit


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_piece_is_done_and_results_are_in_order(count):
    threads = Threads(count)
    assert threads.run(lambda a, b: a * b, [(n, 2) for n in range(50)]) == list(range(0, 100, 2))
    assert threads.run(lambda a: a, []) == []
    threads.close()


@pytest.mark.parametrize("count", [1, 3])
def test_a_failure_in_any_thread_comes_through(count):
    def fails(number: int) -> int:
        if number == 7:
            raise ValueError("the seventh")
        return number

    threads = Threads(count)
    for _ in range(5):
        with pytest.raises(ValueError, match="the seventh"):
            threads.run(fails, [(n,) for n in range(10)])
    threads.close()


def test_a_piece_may_share_out_pieces_of_its_own():
    threads = Threads(2)
    sums = threads.run(
        lambda n: sum(threads.run(lambda m: n * m, [(m,) for m in range(4)])),
        [(n,) for n in range(6)],
    )
    assert sums == [6 * n for n in range(6)]
    threads.close()


@pytest.mark.parametrize(("size", "unit"), [(0, 1), (1, 8), (7, 8), (64, 8), (1000, 64)])
def test_ranges_cover_all_items_and_begin_at_multiples_of_the_unit(size, unit):
    ranges = Threads(3).split(size, unit)
    assert [item for first, past in ranges for item in range(first, past)] == list(range(size))
    assert all(first % unit == 0 and past > first for first, past in ranges)


def test_fits_in_several_threads_take_turns_and_leave_torchs_threads_as_they_were():
    before = torch.get_num_threads()
    seen = []

    def fit() -> None:
        with threads_of_a_fit(None) as threads:
            seen.append((threads.count, torch.get_num_threads()))

    try:
        torch.set_num_threads(3)
        with threads_of_a_fit(None) as threads:
            assert (threads.count, torch.get_num_threads()) == (3, 1)
            with threads_of_a_fit(2) as inner:
                assert (inner.count, torch.get_num_threads()) == (2, 1)
            others = [threading.Thread(target=fit) for _ in range(3)]
            for other in others:
                other.start()
            assert not seen, "they wait for their turn"
        for other in others:
            other.join()
        assert torch.get_num_threads() == 3
        assert {torches for _, torches in seen} == {1}
        assert len(seen) == 3
    finally:
        torch.set_num_threads(before)
